"""The simulator decides as the live controller did, on every tick of a real cluster under bursts."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from deployments.simulation import serve_controllers
from tests.cluster import Cluster
from tests.parity.live import bursts, parity_config, targets
from tests.parity.replay import replay_folder

pytestmark = pytest.mark.ray

TARGETS = targets(num_experts=4, num_crowd=6)
DURATION_S = 40.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of one run."""
    folder = tmp_path_factory.mktemp("records")
    with Cluster(parity_config(TARGETS, folder, seed=1)) as cluster:
        statuses = Counter(asyncio.run(bursts(cluster, TARGETS, DURATION_S, gap_s=10, seed=1)))
    assert statuses[200] > 30
    assert set(statuses) <= {200, 429}
    return folder


@pytest.mark.parametrize("skip", [False, True], ids=["every tick", "ticks that could change something"])
def test_every_decision_is_the_live_controllers(folder: Path, skip: bool) -> None:
    with serve_controllers() as make:
        outcome = replay_folder(folder, make, skip)
    assert outcome.mismatches == ()
    assert outcome.num_ticks > 50 * len(TARGETS)
    assert outcome.num_changes > 10
    assert (outcome.num_skipped > 0) == skip
