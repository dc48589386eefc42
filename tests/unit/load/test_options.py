"""Changes to a scenario."""

from pathlib import Path

import pytest

from modem.errors import ConfigError
from modem.load.options import Options, scaled
from modem.load.scenario import Scenario
from modem.load.scenarios import read_scenario


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("duration_s: 10\nrate: [[0, 1], [10, 3]]\nseed: 4\n")
    return path


def test_without_changes_it_is_the_file(file: Path) -> None:
    assert Options(str(file)).read() == read_scenario(str(file))


def test_named_changes_and_others(file: Path) -> None:
    found = Options(
        str(file), duration_s=3, seed=9, sets=("streaming_share=0.5", "sessions.turns = [2, 3]")
    ).read()
    assert (found.duration_s, found.seed, found.streaming_share) == (3, 9, 0.5)
    assert found.sessions is not None
    assert found.sessions.turns == (2, 3)


def test_the_rate_is_scaled_at_each_point(file: Path) -> None:
    assert Options(str(file), rate_scale=2).read().rate == ((0, 2), (10, 6))


def test_users_are_scaled_as_well() -> None:
    found = scaled(Scenario(duration_s=1, users=4), 0.5)
    assert (found.users, found.rate) == (2, None)


def test_a_trace_and_its_speed() -> None:
    found = Options("replay", trace="diurnal", speed=3, duration_s=5)
    assert dict(found._overrides()) == {"duration_s": 5, "replay.trace": "diurnal", "replay.speed": 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate_scale": 0.0}, "--rate-scale 0: must be more than 0"),
        ({"rate_scale": -1.0}, "--rate-scale -1: must be more than 0"),
        ({"sets": ("rate",)}, "--set 'rate': write key=value"),
        ({"sets": ("=3",)}, "--set '=3': write key=value"),
        ({"sets": ("ratte=3",)}, "ratte"),
        ({"duration_s": -1.0}, "duration_s"),
    ],
)
def test_a_wrong_change_is_refused(file: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Options(str(file), **options).read()  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_a_replay_has_the_rate_of_its_trace() -> None:
    with pytest.raises(ConfigError, match="use --speed"):
        scaled(Scenario.model_validate({"replay": {"trace": "x"}}), 2)
