"""When requests arrive: any process of gaps, at any rate over time.

Gaps of mean 1 are drawn and added up, which gives a process at rate 1. Arrival k of it becomes the moment
at which so many arrivals were to be expected at the wanted rate: the inverse of the rate's integral. For
Poisson gaps this is the classic way to a rate that moves (Çinlar, Introduction to Stochastic Processes,
1975, ch. 4); for other gaps it keeps their burstiness at every rate, which thinning would not.

The first gap is that of a process which has been running for long (the equilibrium renewal process: Cox,
Renewal Theory, 1962, ch. 2), so that the expected number of arrivals is the integral of the rate. Were the
first gap drawn like the others, bursty processes would send too much: (cv² - 1) / 2 requests.
"""

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError
from modem.load.curve import Curve
from modem.load.scenario import Process

MAX_REQUESTS = 5_000_000
"""More than this in one plan is a mistake, and would not fit into memory."""


def arrivals(process: Process, cv: float, rate: Curve, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return when requests arrive, in seconds, ascending, all before the end of the curve.

    Args:
        process: Of the gaps.
        cv: Standard deviation of the gaps over their mean, for ``gamma``.
        rate: Requests a second.
        rng: Draws the gaps.

    Raises:
        ConfigError: So many would not fit.
    """
    if rate.total > MAX_REQUESTS:
        raise ConfigError(
            f"the rate makes {rate.total:.3g} requests in {rate.span_s:g} s, more than {MAX_REQUESTS}: "
            "lower rate, saturation.growth or duration_s"
        )
    return rate.inverse(_unit(process, cv, rate.total, rng))


def _unit(process: Process, cv: float, end: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the arrivals of a process at rate 1 that come before ``end``."""
    if process == "constant":
        return np.arange(0.5, end, dtype=np.float64)
    shape = 1.0 if process == "poisson" else 1 / cv**2
    # The gap that a random moment falls into is longer than others: its density is x f(x), for a Gamma
    # distribution again one, of a shape greater by 1. The moment lies anywhere in it.
    times = np.array([rng.gamma(shape + 1, 1 / shape) * rng.random()])
    while times[-1] < end:
        number = int((end - times[-1]) * 1.1) + 16
        times = np.concatenate((times, times[-1] + np.cumsum(rng.gamma(shape, 1 / shape, number))))
    return times[times < end]
