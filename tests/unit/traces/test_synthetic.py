from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.traces import synthetic
from modem.traces.lengths import LognormalLengths
from modem.traces.trace import Trace


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def rate(trace: Trace, start_s: float, end_s: float) -> float:
    return float(((trace.t_s >= start_s) & (trace.t_s < end_s)).sum() / (end_s - start_s))


def gaps(trace: Trace) -> tuple[float, float]:
    found = np.diff(trace.t_s)
    return float(found.mean()), float(found.std() / found.mean())


def test_poisson_has_its_rate_and_a_variation_of_one() -> None:
    mean_s, cv = gaps(synthetic.poisson(rng(), 5, 4000))
    assert mean_s == pytest.approx(0.2, rel=0.03)
    assert cv == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("cv", [0.3, 1.0, 4.0])
def test_gamma_has_its_rate_and_its_variation(cv: float) -> None:
    mean_s, found = gaps(synthetic.gamma_bursty(rng(), 5, cv, 20000))
    assert mean_s == pytest.approx(0.2, rel=0.06)
    assert found == pytest.approx(cv, rel=0.06)


def test_diurnal_swings_between_trough_and_peak() -> None:
    trace = synthetic.diurnal(rng(), 10, 2000, peak_ratio=4, period_s=1000)
    assert rate(trace, 0, 2000) == pytest.approx(10, rel=0.03)
    trough = rate(trace, 950, 1050)
    peak = rate(trace, 450, 550)
    assert peak / trough == pytest.approx(4, rel=0.2)


def test_a_step_and_a_spike_are_where_they_should() -> None:
    trace = synthetic.step(rng(), 1, 9, at_s=500, duration_s=1000)
    assert rate(trace, 0, 500) == pytest.approx(1, rel=0.15)
    assert rate(trace, 500, 1000) == pytest.approx(9, rel=0.06)
    trace = synthetic.spike(rng(), 0, 20, at_s=100, width_s=50, duration_s=1000)
    assert trace.t_s.min() >= 100
    assert trace.t_s.max() < 150
    assert trace.span_s == 1000


@pytest.mark.parametrize(
    "make",
    [
        lambda g: synthetic.poisson(g, 3, 200),
        lambda g: synthetic.gamma_bursty(g, 3, 3, 200),
        lambda g: synthetic.diurnal(g, 3, 200),
        lambda g: synthetic.step(g, 3, 1, 10, 200),
        lambda g: synthetic.spike(g, 3, 9, 10, 10, 200),
    ],
)
def test_the_generator_decides_everything(make: Callable[[np.random.Generator], Trace]) -> None:
    first, again, other = make(rng(1)), make(rng(1)), make(rng(2))
    assert list(first) == list(again)
    assert list(first) != list(other)
    assert (np.diff(first.t_s) >= 0).all()
    assert 0 <= first.t_s.min() <= first.t_s.max() < 200


@pytest.mark.parametrize(
    "make",
    [
        lambda g: synthetic.poisson(g, 0, 200),
        lambda g: synthetic.poisson(g, 1, float("inf")),
        lambda g: synthetic.gamma_bursty(g, 1, 0, 200),
        lambda g: synthetic.gamma_bursty(g, float("nan"), 1, 200),
        lambda g: synthetic.diurnal(g, 1, 10, peak_ratio=0.5),
        lambda g: synthetic.step(g, 1, -1, 10, 200),
        lambda g: synthetic.spike(g, 1, 1, 10, -1, 200),
    ],
)
def test_impossible_settings_are_errors(make: Callable[[np.random.Generator], Trace]) -> None:
    with pytest.raises(ConfigError, match="write"):
        make(rng())


def test_lognormal_lengths_have_their_medians_and_bounds() -> None:
    lengths = LognormalLengths(prompt_median_tokens=500, output_median_tokens=100, sigma=1, max_tokens=900)
    prompts, outputs = lengths.draw(np.zeros(20000), rng())
    assert np.median(prompts) == pytest.approx(500, rel=0.05)
    assert np.median(outputs) == pytest.approx(100, rel=0.05)
    assert prompts.max() == 900
    assert outputs.min() >= 1


@given(st.floats(1, 1e4))
def test_without_spread_all_lengths_are_the_median(median: float) -> None:
    prompts, _ = LognormalLengths(median, 1, sigma=0).draw(np.zeros(3), rng())
    assert set(prompts) == {round(median)}


def test_impossible_lengths_are_errors() -> None:
    with pytest.raises(ConfigError, match="medians of at least 1"):
        LognormalLengths(prompt_median_tokens=0)
    with pytest.raises(ConfigError, match="sigma"):
        LognormalLengths(sigma=float("nan"))
