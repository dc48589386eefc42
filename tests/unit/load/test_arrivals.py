"""Arrival processes against their own distributions, with seeds; a sound one fails none of these seeds."""

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from modem.errors import ConfigError
from modem.load.arrivals import arrivals
from modem.load.curve import Curve, Point
from modem.load.scenario import Process

LEAST_P = 0.001
"""A right process is below it once in a thousand seeds."""

SHAPES: dict[str, tuple[list[Point], float]] = {
    "level": ([(0.0, 5.0)], 400.0),
    "ramp": ([(0.0, 0.0), (400.0, 10.0)], 400.0),
    "step": ([(0.0, 2.0), (200.0, 2.0), (200.0, 8.0)], 400.0),
    "spike": ([(0.0, 3.0), (100.0, 3.0), (100.0, 30.0), (130.0, 30.0), (130.0, 3.0)], 400.0),
    "pause": ([(0.0, 8.0), (100.0, 0.0), (200.0, 0.0), (400.0, 12.0)], 400.0),
}
PROCESSES: list[tuple[Process, float]] = [("constant", 1.0), ("poisson", 1.0), ("gamma", 0.5), ("gamma", 3.0)]


def curve(shape: str) -> Curve:
    points, span_s = SHAPES[shape]
    return Curve.of(points, span_s)


def made(process: Process, cv: float, rate: Curve, seed: int) -> NDArray[np.float64]:
    return arrivals(process, cv, rate, np.random.default_rng(seed))


@cache
def steps(shape: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return many moments, and how many arrivals are to be expected until each: summed up, not solved."""
    rate = curve(shape)
    coarse = np.linspace(0, rate.span_s, 4001)
    fine = np.linspace(0, rate.span_s, 400_001)
    values = np.interp(fine, coarse, [rate.at(float(t_s)) for t_s in coarse])
    return fine, np.concatenate(([0.0], np.cumsum((values[1:] + values[:-1]) / 2 * np.diff(fine))))


def integrals(shape: str, t_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many arrivals are to be expected until these times."""
    return np.asarray(np.interp(t_s, *steps(shape)), dtype=np.float64)


def fits(gaps: NDArray[np.float64], wanted: Any, above: float) -> bool:
    """Whether gaps are of a distribution, those apart that are too short for the times' precision."""
    below = wanted.cdf(above)
    clear = gaps[gaps > above]
    assert stats.binomtest(len(clear), len(gaps), 1 - below).pvalue > LEAST_P
    found = stats.kstest(clear, lambda gap: (wanted.cdf(gap) - below) / (1 - below))
    return bool(found.pvalue > LEAST_P)


@pytest.mark.parametrize("seed", range(3))
def test_poisson_gaps_are_exponential(seed: int) -> None:
    gaps = np.diff(made("poisson", 1.0, curve("level"), seed))
    assert stats.kstest(gaps, stats.expon(scale=1 / 5).cdf).pvalue > LEAST_P


@pytest.mark.parametrize(("seed", "cv"), list(product(range(3), (0.5, 2.0, 4.0))))
def test_gamma_gaps_have_the_wanted_distribution(seed: int, cv: float) -> None:
    gaps = np.diff(made("gamma", cv, curve("level"), seed))
    assert fits(gaps, stats.gamma(1 / cv**2, scale=cv**2 / 5), above=1e-6)


def test_the_test_can_tell_processes_apart() -> None:
    gaps = np.diff(made("gamma", 1.3, curve("level"), 1))
    assert stats.kstest(gaps, stats.expon(scale=1 / 5).cdf).pvalue < LEAST_P


@pytest.mark.parametrize("seed", range(3))
def test_the_gaps_of_a_poisson_process_do_not_hang_together(seed: int) -> None:
    gaps = np.diff(made("poisson", 1.0, Curve.of([(0.0, 5.0)], 2000.0), seed))
    assert abs(float(np.corrcoef(gaps[1:], gaps[:-1])[0, 1])) < 4 / len(gaps) ** 0.5


@pytest.mark.parametrize("seed", range(3))
def test_counts_of_a_poisson_process_are_poisson(seed: int) -> None:
    times = made("poisson", 1.0, Curve.of([(0.0, 3.0)], 1500.0), seed)
    counts = np.bincount(times.astype(int), minlength=1500)
    observed = np.array([*(np.sum(counts == number) for number in range(8)), np.sum(counts >= 8)])
    expected = np.array([*stats.poisson(3).pmf(range(8)), stats.poisson(3).sf(7)]) * 1500
    assert stats.chisquare(observed, expected).pvalue > LEAST_P


def test_constant_gaps_are_even() -> None:
    times = made("constant", 1.0, Curve.of([(0.0, 4.0)], 10.0), 0)
    assert len(times) == 40
    assert times[0] == pytest.approx(0.125)
    assert np.diff(times) == pytest.approx(np.full(39, 0.25))


@pytest.mark.parametrize(("shape", "seed"), list(product(SHAPES, range(3))))
def test_a_poisson_process_follows_the_rate(shape: str, seed: int) -> None:
    rate = curve(shape)
    times = made("poisson", 1.0, rate, seed)
    # Given their number, the arrivals are independent, distributed like the rate.
    assert stats.kstest(integrals(shape, times) / rate.total, stats.uniform.cdf).pvalue > LEAST_P


@pytest.mark.parametrize(("shape", "seed"), list(product(SHAPES, range(3))))
def test_counts_follow_a_moving_rate(shape: str, seed: int) -> None:
    rate = curve(shape)
    times = made("poisson", 1.0, rate, seed)
    bounds = np.linspace(0, rate.span_s, 21)
    expected = np.diff(integrals(shape, bounds))
    observed = np.histogram(times, bounds)[0]
    # Intervals without any rate, but for the smallness of the steps, are not for chi-square.
    used = expected > 1
    assert observed[expected < 1e-6].sum() == 0
    scaled = expected[used] * observed[used].sum() / expected[used].sum()
    assert stats.chisquare(observed[used], scaled).pvalue > LEAST_P


@pytest.mark.parametrize(("shape", "seed"), list(product(SHAPES, range(3))))
def test_bursts_stay_bursts_when_the_rate_moves(shape: str, seed: int) -> None:
    rate = curve(shape)
    gaps = np.diff(integrals(shape, made("gamma", 3.0, rate, seed)))
    # Counted in expected arrivals rather than seconds, the gaps are those of the process at rate 1. Below a
    # hundredth the integral's small steps blur them.
    assert fits(gaps, stats.gamma(1 / 9, scale=9), above=0.01)


@pytest.mark.parametrize(("process", "cv"), PROCESSES)
@pytest.mark.parametrize("shape", SHAPES)
def test_as_many_arrive_as_the_rate_says(process: Process, cv: float, shape: str) -> None:
    rate = curve(shape)
    counts = [len(made(process, cv, rate, seed)) for seed in range(60)]
    spread = cv * rate.total**0.5 / 60**0.5 if process != "constant" else 1.0
    assert np.mean(counts) == pytest.approx(rate.total, abs=4 * spread)


def test_the_start_of_bursty_traffic_is_like_the_rest() -> None:
    # Were the first gap drawn like the others, the first second had more than its share.
    rate = Curve.of([(0.0, 10.0)], 1.0)
    counts = [len(made("gamma", 4.0, rate, seed)) for seed in range(4000)]
    assert np.mean(counts) == pytest.approx(10, abs=1.5)


@given(
    st.sampled_from(PROCESSES),
    st.lists(st.tuples(st.integers(0, 60), st.floats(0, 20)), min_size=1, max_size=5),
    st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_arrivals_ascend_within_the_run_and_are_the_same_each_time(
    process: tuple[Process, float], points: list[Point], seed: int
) -> None:
    rate = Curve.of(sorted(points, key=lambda point: point[0]), 60.0)
    times = made(*process, rate, seed)
    assert (np.diff(times) >= 0).all()
    assert ((times >= 0) & (times <= 60)).all()
    assert (times == made(*process, rate, seed)).all()


def test_a_rate_of_0_sends_nothing() -> None:
    assert not len(made("poisson", 1.0, Curve.of([(0.0, 0.0)], 60.0), 1))


def test_more_than_memory_holds_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"1e\+09 requests in 1e\+06 s, more than 5000000: lower rate"):
        made("poisson", 1.0, Curve.of([(0.0, 1000.0)], 1e6), 1)
