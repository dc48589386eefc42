"""Traces that are made: steady, bursty, daily, a step, a spike. All draw from a generator that is given.

A rate that moves is drawn by thinning (Lewis and Shedler 1979): candidates at the highest rate, each kept
with the probability that the rate at its time is of the highest.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError
from modem.traces.lengths import Lengths, LognormalLengths
from modem.traces.trace import ANY_DOMAIN, Trace, columns

Rate = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Requests a second at given times."""


def poisson(
    rng: np.random.Generator, rate_rps: float, duration_s: float, lengths: Lengths | None = None
) -> Trace:
    """Return independent arrivals at a steady rate."""
    _positive(rate_rps=rate_rps, duration_s=duration_s)
    times = np.sort(rng.random(rng.poisson(rate_rps * duration_s)) * duration_s)
    return _made(times, rng, duration_s, lengths, f"Poisson, {rate_rps:g} rps")


def gamma_bursty(
    rng: np.random.Generator, rate_rps: float, cv: float, duration_s: float, lengths: Lengths | None = None
) -> Trace:
    """Return arrivals with Gamma inter-arrival times of a coefficient of variation.

    Args:
        rng: Draws them.
        rate_rps: Mean requests a second.
        cv: Standard deviation over mean of the gaps: 1 is Poisson, 4 and more are bursts.
        duration_s: Length.
        lengths: Of prompts and answers.
    """
    _positive(rate_rps=rate_rps, cv=cv, duration_s=duration_s)
    shape = 1 / cv**2
    times = np.zeros(0)
    while not len(times) or times[-1] < duration_s:
        last = times[-1] if len(times) else 0.0
        number = int(rate_rps * (duration_s - last) * 1.2) + 16
        times = np.concatenate((times, last + np.cumsum(rng.gamma(shape, 1 / (rate_rps * shape), number))))
    times = times[times < duration_s]
    return _made(times, rng, duration_s, lengths, f"Gamma, {rate_rps:g} rps, CV {cv:g}")


def diurnal(
    rng: np.random.Generator,
    rate_rps: float,
    duration_s: float,
    peak_ratio: float = 4.0,
    period_s: float = 86400.0,
    lengths: Lengths | None = None,
) -> Trace:
    """Return arrivals whose rate is a sine: lowest at 0 s, highest half a period later.

    Args:
        rng: Draws them.
        rate_rps: Mean over a period.
        duration_s: Length.
        peak_ratio: Highest over lowest rate, at least 1.
        period_s: Length of a day.
        lengths: Of prompts and answers.
    """
    _positive(rate_rps=rate_rps, duration_s=duration_s, period_s=period_s)
    if peak_ratio < 1:
        raise ConfigError(f"diurnal: peak_ratio is {peak_ratio:g}: write 1 or more")
    swing = (peak_ratio - 1) / (peak_ratio + 1)

    def rate(t_s: NDArray[np.float64]) -> NDArray[np.float64]:
        return rate_rps * (1 - swing * np.cos(2 * np.pi * t_s / period_s))

    name = f"diurnal, {rate_rps:g} rps, peak {peak_ratio:g} times the trough"
    return _made(_thinned(rng, rate, rate_rps * (1 + swing), duration_s), rng, duration_s, lengths, name)


def step(
    rng: np.random.Generator,
    rate_rps: float,
    later_rps: float,
    at_s: float,
    duration_s: float,
    lengths: Lengths | None = None,
) -> Trace:
    """Return arrivals whose rate changes once, at ``at_s``, to ``later_rps``."""
    _positive(duration_s=duration_s)
    _not_negative(rate_rps=rate_rps, later_rps=later_rps, at_s=at_s)

    def rate(t_s: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(t_s < at_s, rate_rps, later_rps)

    times = _thinned(rng, rate, max(rate_rps, later_rps), duration_s)
    return _made(times, rng, duration_s, lengths, f"step, {rate_rps:g} to {later_rps:g} rps at {at_s:g} s")


def spike(
    rng: np.random.Generator,
    rate_rps: float,
    peak_rps: float,
    at_s: float,
    width_s: float,
    duration_s: float,
    lengths: Lengths | None = None,
) -> Trace:
    """Return arrivals at ``rate_rps`` with ``peak_rps`` instead for ``width_s`` from ``at_s`` on."""
    _positive(duration_s=duration_s)
    _not_negative(rate_rps=rate_rps, peak_rps=peak_rps, at_s=at_s, width_s=width_s)

    def rate(t_s: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where((t_s >= at_s) & (t_s < at_s + width_s), peak_rps, rate_rps)

    times = _thinned(rng, rate, max(rate_rps, peak_rps), duration_s)
    name = f"spike, {rate_rps:g} rps, {peak_rps:g} rps for {width_s:g} s at {at_s:g} s"
    return _made(times, rng, duration_s, lengths, name)


def _thinned(
    rng: np.random.Generator, rate: Rate, highest_rps: float, duration_s: float
) -> NDArray[np.float64]:
    times = np.sort(rng.random(rng.poisson(highest_rps * duration_s)) * duration_s)
    return times[rng.random(len(times)) * highest_rps < rate(times)]


def _made(
    times: NDArray[np.float64],
    rng: np.random.Generator,
    duration_s: float,
    lengths: Lengths | None,
    name: str,
) -> Trace:
    prompts, outputs = (lengths or LognormalLengths()).draw(times, rng)
    zeros = np.zeros(len(times), np.int64)
    return columns((ANY_DOMAIN,), times, zeros, prompts, outputs, (), duration_s, f"{name}, {duration_s:g} s")


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise ConfigError(f"{name} is {value:g}: write more than 0")


def _not_negative(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < float("inf"):
            raise ConfigError(f"{name} is {value:g}: write 0 or more")
