import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.config import SimulatedExpertConfig
from modem.errors import ConfigError
from modem.simulation.profile import (
    Decode,
    Startup,
    committed_profile,
    load_profile,
    parse_profile,
    simulated_profile,
)
from tests.unit.simulation.builders import profile

COMMITTED = ("70b-h100-tp4", "70b-h200-tp4", "simulated", "simulated-slow", "smollm2-135m-cpu")


def test_steps_are_linear_between_points_and_beyond_the_last() -> None:
    decode = Decode(batch=(2, 4, 8), step_s=(0.02, 0.03, 0.07))
    assert [decode.at(b) for b in (0, 1, 2, 3, 4, 6, 8, 16)] == pytest.approx(
        [0.02, 0.02, 0.02, 0.025, 0.03, 0.05, 0.07, 0.15]
    )


def test_one_point_holds_for_any_batch() -> None:
    assert {Decode(batch=(4,), step_s=(0.02,)).at(b) for b in (1, 4, 99)} == {0.02}


@given(st.lists(st.integers(1, 500), min_size=1, max_size=6, unique=True), st.integers(0, 600), st.data())
def test_rising_points_give_rising_steps(batch: list[int], at: int, data: st.DataObject) -> None:
    steps = sorted(data.draw(st.lists(st.floats(0, 1), min_size=len(batch), max_size=len(batch))))
    decode = Decode(batch=tuple(sorted(batch)), step_s=tuple(steps))
    assert decode.at(at) <= decode.at(at + 1) + 1e-12


def test_a_start_is_one_of_the_samples() -> None:
    rng = np.random.default_rng(1)
    drawn = {Startup(samples=(3.0, 5.0)).draw(rng) for _ in range(50)}
    assert drawn == {3.0, 5.0}
    assert Startup(samples=(3.0, 5.0, 9.0)).median_s == 5


def test_a_start_follows_the_quantiles() -> None:
    startup = Startup(quantiles={"0": 10, "0.5": 20, "1": 60})
    drawn = [startup.draw(np.random.default_rng(seed)) for seed in range(2000)]
    assert min(drawn) >= 10
    assert max(drawn) <= 60
    assert np.quantile(drawn, 0.5) == pytest.approx(20, rel=0.05)
    assert np.quantile(drawn, 0.75) == pytest.approx(40, rel=0.05)
    assert startup.median_s == 20


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_profiles_are_whole_and_say_where_they_are_from(name: str) -> None:
    found = committed_profile(name)
    assert len(found.method) > 50
    assert found.source in ("measured", "derived", "configured")
    assert parse_profile(found.to_json(), "again") == found


def test_an_unknown_committed_profile_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no committed profile '70b'; there are 70b-h100-tp4"):
        committed_profile("70b")


def test_a_simulated_experts_settings_are_its_profile() -> None:
    found = simulated_profile(
        SimulatedExpertConfig(model_id="math", ttft_s=0.2, tpot_s=0.03, startup_s=7, max_num_seqs=3)
    )
    assert (found.prefill.overhead_s, found.prefill.parallel) == (0.2, True)
    assert found.decode.at(3) == 0.03
    assert found.startup_s.median_s == 7
    assert found.max_num_seqs == 3


def test_the_committed_simulated_profile_has_the_settings_defaults() -> None:
    defaults = simulated_profile(SimulatedExpertConfig(model_id="math"))
    kept = committed_profile("simulated")
    assert (kept.prefill, kept.decode) == (defaults.prefill, defaults.decode)
    assert (kept.max_num_seqs, kept.startup_s) == (defaults.max_num_seqs, defaults.startup_s)


def write(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "p.json"
    fields = {**json.loads(profile().to_json()), **changes}
    path.write_text(json.dumps({key: value for key, value in fields.items() if value != "gone"}, indent=1))
    return path


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"max_num_seqs": "gone"}, None, "max_num_seqs: Field required"),
        ({"max_num_seqs": 0}, "max_num_seqs", "max_num_seqs: Input should be greater than or equal to 1"),
        ({"speed": 3}, "speed", "speed: Extra inputs are not permitted"),
        ({"source": "guessed"}, "source", "source: Input should be 'measured', 'derived' or 'configured'"),
        (
            {"usd_per_gpu_hour": float("nan")},
            "usd_per_gpu_hour",
            "usd_per_gpu_hour: Input should be a finite",
        ),
        ({"prefill": {"tokens_per_s": -5}}, "tokens_per_s", "prefill.tokens_per_s: Input should be greater"),
        ({"decode": {"batch": [1, 2], "step_s": [1]}}, "decode", "batch has 2 values and step_s has 1"),
        ({"decode": {"batch": [2, 2], "step_s": [1, 1]}}, "decode", "batch must ascend"),
        ({"decode": {"batch": [1], "step_s": [-1]}}, "decode", "step_s must not be negative"),
        ({"startup_s": {}}, "startup_s", "give either samples or quantiles"),
        ({"startup_s": {"samples": [-1]}}, "startup_s", "seconds must not be negative"),
        ({"startup_s": {"quantiles": {"0.1": 5, "0.9": 4}}}, "startup_s", "quantiles must not descend"),
        ({"startup_s": {"quantiles": {"7": 5}}}, "startup_s", "probabilities from 0 to 1"),
    ],
)
def test_what_is_wrong_in_a_profile_is_named_by_its_line(
    tmp_path: Path, changes: dict[str, Any], key: str | None, message: str
) -> None:
    path = write(tmp_path, **changes)
    lines = path.read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if f'"{key}"' in text) if key else 1
    with pytest.raises(ConfigError) as error:
        load_profile(path)
    assert f"{path}:{line}: " in str(error.value)
    assert message in str(error.value)


def test_a_profile_that_is_no_json_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('{\n"name": "x",\n}')
    with pytest.raises(ConfigError, match=r"p\.json:3: not JSON"):
        load_profile(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_profile(tmp_path / "gone.json")
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_profile(path)
    path.write_text("[]")
    with pytest.raises(ConfigError, match="the whole file"):
        load_profile(path)
