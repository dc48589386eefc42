"""The smallest fixed fleet, and what autoscaling saves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.simulation import serve_controllers
from modem.errors import ConfigError
from modem.simulation.setup import Platform
from modem.simulation.simulate import simulate
from modem.slo import parse_slo
from modem.traces.lengths import LognormalLengths
from modem.tuning.measure import measure
from modem.tuning.plan import (
    Day,
    Load,
    _Nobody,
    least_replicas,
    parse_lengths,
    parse_rates,
    plan_day,
    smallest_fleet,
)
from modem.tuning.settings import Settings
from tests.unit.simulation.builders import expert, profile
from tests.unit.tuning.builders import SLO, scaled

LENGTHS = LognormalLengths(prompt_median_tokens=300, output_median_tokens=20, sigma=0.3)


def load(rate_rps: float, cv: float = 1.0, duration_s: float = 120.0) -> Load:
    return Load(rate_rps=rate_rps, lengths=LENGTHS, cv=cv, duration_s=duration_s)


@pytest.mark.parametrize("rate_rps", [0.5, 4.0, 12.0])
def test_one_replica_less_would_not_do(rate_rps: float) -> None:
    found = smallest_fleet(expert(), Platform(), load(rate_rps), SLO, (0, 1))
    assert found.score.holds()
    assert found.score.num_seeds == 2
    if found.replicas > 1:
        shares = []
        for seed in (0, 1):
            fewer = expert(num_replicas=found.replicas - 1)
            result = simulate([fewer], load(rate_rps).trace(seed, "math"), _Nobody(), seed, Platform())
            shares.append(float(measure(result, 0, SLO).shares()[0]))
        assert min(shares) < 0.9


def test_more_requests_and_more_bursts_need_more() -> None:
    calm, more, bursty = (
        smallest_fleet(expert(), Platform(), each, SLO, (0,)).replicas
        for each in (load(4.0), load(12.0), load(4.0, cv=6.0))
    )
    assert calm < more
    assert calm < bursty


def test_what_no_fleet_can_do_is_said() -> None:
    with pytest.raises(ConfigError, match=r"math: 512 replicas do not hold ttft_p90<0.001s: 0.0 %"):
        smallest_fleet(expert(), Platform(), load(0.5, duration_s=60), parse_slo("ttft_p90<1ms"), (0,))


def test_the_work_alone_needs_so_many() -> None:
    # 0.3 s a prompt at 1,000 tokens a second.
    assert least_replicas(profile(), load(10.0).trace(0, "math")) in (3, 4)
    assert least_replicas(profile(), load(0.01).trace(0, "math")) == 1


def test_a_day_is_compared_with_a_fleet_for_its_peak() -> None:
    day = Day(peak_ratio=9.0, period_s=600.0)
    assert day.peak == pytest.approx(1.8)
    found = plan_day(
        scaled(),
        Platform(),
        load(5.0, duration_s=60.0),
        day,
        SLO,
        Settings("token_load"),
        (0,),
        serve_controllers,
    )
    at_peak = smallest_fleet(scaled(), Platform(), load(9.0, duration_s=60.0), SLO, (0,))
    assert found.peak.replicas == at_peak.replicas > 1
    assert found.fixed_hours == pytest.approx(at_peak.replicas * 600 / 3600, rel=0.1)
    assert 0 < found.least_hours < found.scaled.cost_hours
    assert found.saved == pytest.approx(1 - found.scaled.cost_hours / found.fixed_hours)


def test_rates_and_lengths_are_read() -> None:
    assert parse_rates("math=2, health=0.5") == {"math": 2.0, "health": 0.5}
    assert parse_lengths("prompt=100,output=10,sigma=0") == LognormalLengths(100, 10, 0)


@given(mean=st.floats(50, 5000), sigma=st.floats(0, 1))
def test_lengths_are_means(mean: float, sigma: float) -> None:
    found = parse_lengths(f"prompt={mean},output=50,sigma={sigma}")
    assert found.prompt_median_tokens * pow(2.718281828459045, sigma**2 / 2) == pytest.approx(mean)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("math", "'math' is no DOMAIN=RATE"),
        ("math=x", "'math=x' is no"),
        ("math=0", "'math=0' is no"),
        ("math=-1", "'math=-1' is no"),
        ("math=nan", "'math=nan' is no"),
        ("math=inf", "'math=inf' is no"),
        ("math=1,math=2", "'math' stands there twice"),
        ("", "'' is no"),
    ],
)
def test_a_wrong_rate_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match="--rates") as error:
        parse_rates(text)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prompt=1", "output is missing"),
        ("prompt=1,output=1,x=1", "no 'x'"),
        ("prompt=1,output=a", "'output=a'"),
    ],
)
def test_a_wrong_length_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match="--lengths") as error:
        parse_lengths(text)
    assert says in str(error.value)
