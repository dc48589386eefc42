"""The course of a load, and how it goes on: Holt's and Winters' smoothing, as statsmodels has it."""

import importlib
import importlib.util
import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

from modem.errors import ConfigError

MIN_BUCKETS = 10
"""Fewer say nothing; it is also the least that statsmodels starts from."""

MAX_BUCKETS = 2016
"""A week of five-minute means. Older ones are forgotten, which bounds the time of a fit."""

_LEVEL, _TREND, _SEASON, _DAMPING = 0.3, 0.05, 0.1, 0.98


@dataclass(frozen=True, slots=True)
class Outlook:
    """How a series is expected to go on.

    Attributes:
        from_s: Middle of the first bucket that was expected.
        bucket_s: Length of a bucket.
        path: Expected means of the buckets from there on.
        error: Root mean square of how wrong the fit was one bucket ahead.
    """

    from_s: float
    bucket_s: float
    path: tuple[float, ...]
    error: float

    def at(self, at_s: float) -> float:
        """Return the expected value at a time; beyond the ends the value at the end."""
        position = (at_s - self.from_s) / self.bucket_s
        position = min(max(position, 0.0), len(self.path) - 1.0)
        low = int(position)
        high = min(low + 1, len(self.path) - 1)
        return self.path[low] + (position - low) * (self.path[high] - self.path[low])


@dataclass(frozen=True, slots=True)
class Series:
    """Means of a load over equal buckets of time.

    Attributes:
        bucket_s: Length of a bucket.
        from_s: When the open bucket began.
        total: Sum of the values in the open bucket.
        count: Number of values in it.
        means: Means of the closed buckets, oldest first.
    """

    bucket_s: float
    from_s: float
    total: float = 0.0
    count: int = 0
    means: tuple[float, ...] = ()

    def note(self, now_s: float, value: float) -> "Series":
        """Return the series with one more value. Buckets without a value repeat the one before."""
        passed = int((now_s - self.from_s) // self.bucket_s)
        if passed <= 0:
            return replace(self, total=self.total + value, count=self.count + 1)
        mean = self.total / self.count if self.count else value
        means = (*self.means, *((mean,) * min(passed, MAX_BUCKETS)))[-MAX_BUCKETS:]
        return Series(self.bucket_s, self.from_s + passed * self.bucket_s, value, 1, means)

    def outlook(self, season_s: float, ahead_s: float) -> Outlook | None:
        """Fit the closed buckets and extend them.

        Additive Holt-Winters with a damped trend; the season counts once two of them have been seen. The
        smoothing constants are fixed: searching for them would take seconds, within Serve's control loop.

        Args:
            season_s: Length of a season, such as a day.
            ahead_s: How far ahead the outlook must reach.

        Returns:
            The outlook; None while there are too few buckets.
        """
        if len(self.means) < MIN_BUCKETS:
            return None
        period = round(season_s / self.bucket_s)
        seasonal = period >= 2 and len(self.means) >= max(2 * period, MIN_BUCKETS + 2 * (period // 2))
        steps = math.ceil(ahead_s / self.bucket_s) + 3
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the constants, which are not optimised on purpose
            model = _holt_winters()(
                list(self.means),
                trend="add",
                damped_trend=True,
                seasonal="add" if seasonal else None,
                seasonal_periods=period if seasonal else None,
                initialization_method="heuristic",
            )
            fit = model.fit(
                smoothing_level=_LEVEL,
                smoothing_trend=_TREND,
                smoothing_seasonal=_SEASON if seasonal else None,
                damping_trend=_DAMPING,
                optimized=False,
            )
            path = tuple(float(value) for value in fit.forecast(steps))
        error = math.sqrt(float(fit.sse) / len(self.means))
        return Outlook(self.from_s + self.bucket_s / 2, self.bucket_s, path, error)


def require_library() -> None:
    """Look whether statsmodels is there, without importing it.

    Raises:
        ConfigError: It is not.
    """
    if importlib.util.find_spec("statsmodels") is None:
        raise ConfigError(
            "The forecast policy needs statsmodels where Serve's controller runs, on the head node. "
            "Install it there: pip install 'modem[forecast]'"
        )


def _holt_winters() -> Any:  # statsmodels ships no types
    """Import it late: that takes seconds, and only who forecasts needs it."""
    return importlib.import_module("statsmodels.tsa.holtwinters").ExponentialSmoothing
