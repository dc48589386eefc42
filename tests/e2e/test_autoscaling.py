"""Each expert scales on its own load: it grows, shrinks, sleeps and wakes, and the others never move."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.builders import DOMAINS, expert, front, mixture
from tests.cluster import Cluster
from tests.e2e.scaling import Watch, answered, ask, eventually, load, look, states

pytestmark = pytest.mark.ray

SWIFT = {
    "min_replicas": 0,
    "initial_replicas": 0,
    "max_replicas": 3,
    "target_ongoing_requests": 2,
    "metrics_interval_s": 0.5,
    "look_back_period_s": 2,
    "upscale_delay_s": 0.5,
    # Longer than a machine stands still: else the last client's silence looks like the end of its load.
    "downscale_delay_s": 6,
    "downscale_to_zero_delay_s": 10,
}
"""The shape of the shipped settings on a time scale of seconds."""
SLOW_START_S = 6
SMALL = {"max_ongoing_requests": 4}
"""A replica that a burst overfills."""
PAIR = {**SWIFT, "max_replicas": 2}
SECOND_PER_ANSWER: dict[str, Any] = {"ttft_s": 0.05, "tpot_s": 0.02, "output_tokens": 50}


def config() -> dict[str, Any]:
    return mixture(
        [
            front(limits={"start_timeout_s": 60}),
            expert("other", autoscaling={"max_replicas": 2}),
            expert("math", autoscaling=SWIFT, **SECOND_PER_ANSWER),
            expert("health", SMALL, PAIR, startup_s=SLOW_START_S, **SECOND_PER_ANSWER),
            expert(
                "science",
                SMALL,
                # Just above 1: ceil() makes it two replicas from zero, and nothing of it elsewhere.
                {**PAIR, "upscaling_factor": 1.001},
                startup_s=SLOW_START_S,
                **SECOND_PER_ANSWER,
            ),
            {
                **expert("coding", SMALL, PAIR, startup_s=SLOW_START_S, **SECOND_PER_ANSWER),
                # Of an application, not of a deployment: only there may a policy say how many wake.
                "autoscaling_policy": {
                    "policy_function": "deployments.autoscaling:TokenLoad",
                    "policy_kwargs": {"hold_s": 4, "interval_s": 0.5},
                },
            },
        ],
        port=0,
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(config()) as running:
        yield running


def test_load_on_one_domain_moves_that_expert_alone_up_down_and_to_sleep(cluster: Cluster) -> None:
    before = look(cluster, DOMAINS)
    assert {domain: before.count(domain) for domain in DOMAINS} == {
        "other": 1, "math": 0, "health": 0, "science": 0, "coding": 0,
    }  # fmt: skip
    with Watch(cluster, DOMAINS) as watch:
        with load(cluster, "math", num_clients=12) as many:
            eventually(lambda: watch.now("math") == 3)
            eventually(lambda: len(states(cluster, "math", "RUNNING")) == 3)
        # What is left fits one replica. It goes on while the other two are taken away.
        with load(cluster, "math", num_clients=1) as few:
            eventually(lambda: watch.now("math") == 1)
            time.sleep(1)
        eventually(lambda: watch.now("math") == 0)
    assert answered(many, "math") > 12
    assert answered(few, "math") > 1
    numbers = watch.counts("math")
    peak = numbers.index(3)
    # From zero one starts, then what the load asks for; down to the last one, then to none. No flapping.
    assert numbers[: peak + 1] == sorted(set(numbers))
    assert numbers[peak:] == sorted(set(numbers[peak:]), reverse=True)
    assert (numbers[:2], numbers[-2:]) == ([0, 1], [1, 0])
    others = [domain for domain in DOMAINS if domain != "math"]
    assert {tuple(seen.up[domain] for domain in others) for seen in watch.seen} == {
        tuple(before.up[domain] for domain in others)
    }


def test_a_request_to_a_sleeping_expert_is_answered_by_one_replica_which_sleeps_again(
    cluster: Cluster,
) -> None:
    with Watch(cluster, DOMAINS) as watch:
        reply = ask(cluster, "coding", 1, max_tokens=5)
        assert (reply.status_code, reply.json()["model"]) == (200, "coding")
        eventually(lambda: watch.now("coding") == 0)
    assert watch.counts("coding") == [0, 1, 0]


@pytest.mark.parametrize(
    ("domain", "start_together"),
    [
        pytest.param("health", False, id="serve"),
        pytest.param("science", True, id="upscaling_factor"),
        pytest.param("coding", True, id="policy of the application"),
    ],
)
def test_a_burst_on_a_sleeping_expert_loses_nothing_and_need_not_wait_for_two_starts_in_a_row(
    cluster: Cluster, domain: str, start_together: bool
) -> None:
    assert look(cluster, DOMAINS).count(domain) == 0
    started: dict[str, float] = {}

    def both_have_started() -> bool:
        found = cluster.replicas(f"expert-{domain}")
        started.update({replica["replica_id"]: replica["start_time_s"] for replica in found})
        return len(started) == 2

    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(ask, cluster, domain, number) for number in range(12)]
        eventually(both_have_started)
        replies = [each.result() for each in asked]
    assert {(reply.status_code, reply.json()["model"]) for reply in replies} == {(200, domain)}
    first, second = sorted(started.values())
    # By default Serve starts one replica from zero and no other until that one runs.
    assert (second - first < SLOW_START_S) == start_together
