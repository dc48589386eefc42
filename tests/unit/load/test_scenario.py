import json
from typing import Any

import pytest
from pydantic import ValidationError

from modem.load.scenario import Lengths, Scenario


def scenario(**values: Any) -> Scenario:
    """Return a scenario as a file would give it: by way of JSON, in which lists are tuples."""
    given = {"duration_s": 60, "rate": 2} | values
    kept = {key: value for key, value in given.items() if value is not None}
    return Scenario.model_validate_json(json.dumps(kept), strict=True)


def test_little_is_needed() -> None:
    found = scenario()
    assert found.loop == "open"
    assert found.rate_curve is not None
    assert found.rate_curve.total == 120
    assert found.users_curve is None
    assert found.streaming_share == 1.0


def test_users_make_a_closed_loop() -> None:
    found = scenario(rate=None, users=[[0, 2], [30, 2], [30, 8]], think_s=1.5)
    assert found.loop == "closed"
    assert found.rate_curve is None
    assert found.users_curve is not None
    assert [found.users_curve.at(t_s) for t_s in (0, 29, 30, 60)] == [2, 2, 8, 8]


def test_a_replay_knows_its_own_length() -> None:
    found = scenario(rate=None, duration_s=None, replay={"trace": "a.jsonl"})
    assert found.loop == "open"
    assert found.rate_curve is None
    assert found.duration_s is None


def test_a_number_is_a_fixed_length() -> None:
    assert scenario(output_tokens=64).output_tokens == Lengths(median=64, sigma=0, max=64)
    assert scenario(prompt_tokens=500).prompt_tokens == Lengths(median=500, sigma=0, max=500)
    assert scenario(prompt_tokens={"median": 500, "sigma": 0.5}).prompt_tokens == Lengths(
        median=500, sigma=0.5
    )


def test_saturation_rises_in_steps() -> None:
    found = scenario(duration_s=50, saturation={"step_s": 20, "growth": 2})
    assert found.rate_curve is not None
    assert [found.rate_curve.at(t_s) for t_s in (0, 19.9, 20, 39.9, 40, 50)] == pytest.approx(
        [2, 2, 4, 4, 8, 8]
    )
    assert found.rate_curve.total == pytest.approx(20 * 2 + 20 * 4 + 10 * 8)


def test_it_tells_all_of_its_settings() -> None:
    found = scenario(rate=[[0, 1], [10, 2]], sessions={"turns": [1, 3]})
    told = found.to_json()
    assert told["rate"] == [[0.0, 1.0], [10.0, 2.0]]
    assert told["loop"] == "open"
    assert told["sessions"] == {"turns": [1, 3], "think_s": 3.0}
    del told["loop"]
    assert Scenario.model_validate_json(json.dumps(told), strict=True) == found


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": None}, "give one of rate, users, replay"),
        ({"users": 3}, "users and rate exclude each other"),
        ({"replay": {"trace": "a"}}, "replay and rate exclude each other"),
        ({"duration_s": None}, "duration_s is missing"),
        ({"duration_s": 0}, "greater than 0"),
        ({"rate": -1}, "greater than or equal to 0"),
        ({"rate": []}, "at least 1 item"),
        ({"rate": [[10, 1], [5, 1]]}, "the times 10, 5 do not ascend"),
        ({"rate": [[5, 1], [5, 2], [5, 3]]}, "more than two points at one time"),
        ({"arrivals": "even"}, "'constant', 'poisson' or 'gamma'"),
        ({"cv": 2}, "cv goes with arrivals: gamma"),
        ({"mix": "math"}, "'math' is no DOMAIN=WEIGHT"),
        ({"targets": "fast"}, "'fast' is no target"),
        ({"think_s": 1}, "think_s goes with users"),
        ({"rate": None, "users": 2, "mix": "math=1 to other=1"}, "in a closed loop nobody knows"),
        ({"saturation": {}, "rate": [[0, 1]]}, "saturation needs rate: one number"),
        ({"saturation": {"growth": 1}}, "greater than 1"),
        ({"sessions": {"turns": [3, 1]}}, "turns goes from 3 to 1"),
        ({"sessions": {"turns": [0, 1]}}, "greater than or equal to 1"),
        ({"rate": None, "replay": {"trace": "a"}, "sessions": {"turns": [1, 2]}}, "sessions cannot be made"),
        ({"streaming_share": 1.5}, "less than or equal to 1"),
        ({"prompt_tokens": 0}, "greater than or equal to 1"),
        ({"prompt_tokens": True}, "should be an object"),
        ({"rates": 3}, "Extra inputs are not permitted"),
    ],
)
def test_what_does_not_go_together_is_an_error(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        scenario(**values)


def test_a_mix_that_stands_still_goes_with_users() -> None:
    assert scenario(rate=None, users=2, mix="math=1,other=1 to math=2,other=2").loop == "closed"
