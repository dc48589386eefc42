"""What can be said of Serve's total of requests without adding it up: bounds that hold for some time.

Serve merges the series of all sources into one step function and takes its mean, maximum or minimum over a
window that ends now (`merge_instantaneous_total`, `aggregate_timeseries` in Ray 2.60). Whatever the window,
the result lies between the sums of the sources' least and greatest values. That is what allows the simulator
to leave out calls whose answer is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from modem.simulation.control import Series

ROUNDING_S = 0.02
"""Twice what merging moves a time stamp by."""


@dataclass(slots=True)
class Bounds:
    """What one series can contribute to a total, whatever window it is averaged over.

    Attributes:
        low: Its least value.
        high: Its greatest value.
        last: Its last value.
        first_s: Its first time.
        nonzero_s: Its first time with a value that is not 0; infinity without one.
        change_s: The last time at which its value changed; minus infinity if it is 0 throughout.
    """

    low: float
    high: float
    last: float
    first_s: float
    nonzero_s: float
    change_s: float


def bounds_of(series: Series) -> Bounds:
    """Return the bounds of a series that is not empty."""
    first = series[0]
    low = high = value = first.value
    nonzero_s, change_s = (first.timestamp, first.timestamp) if value else (inf, -inf)
    for sample in series:
        if sample.value != value:
            value = sample.value
            change_s = sample.timestamp
            if value and nonzero_s == inf:
                nonzero_s = change_s
            if value < low:
                low = value
            elif value > high:
                high = value
    return Bounds(low, high, value, first.timestamp, nonzero_s, change_s)


class Zones:
    """What is known of a function that rises with a number and is -1, 0 or 1."""

    __slots__ = ("_high_0", "_less", "_low_0", "_more")

    def __init__(self) -> None:
        self._less = -inf
        self._low_0, self._high_0 = inf, -inf
        self._more = inf

    def find(self, number: float) -> int | None:
        """Return its value, if what is known tells it."""
        if number <= self._less:
            return -1
        if number >= self._more:
            return 1
        return 0 if self._low_0 <= number <= self._high_0 else None

    def add(self, number: float, value: int) -> None:
        """Note a value."""
        if value < 0:
            self._less = max(self._less, number)
        elif value > 0:
            self._more = min(self._more, number)
        else:
            self._low_0, self._high_0 = min(self._low_0, number), max(self._high_0, number)


def total_bounds(sources: Sequence[Bounds]) -> tuple[float, float]:
    """Return bounds of what Serve makes of these series, at whatever time it looks.

    The window opens when every series has begun, unless nothing changed since then: only then may a series
    be missing from a part of it, and the lower bound is 0.
    """
    low = high = 0.0
    begun_s = changed_s = -inf
    for source in sources:
        low += source.low
        high += source.high
        if source.first_s > begun_s:
            begun_s = source.first_s
        if source.change_s > changed_s:
            changed_s = source.change_s
    if len(sources) > 1 and changed_s < begun_s + ROUNDING_S:
        return 0.0, high
    return low, high


def window_start_s(sources: Sequence[Bounds]) -> float:
    """Return a time that the window does not open after, but for rounding."""
    begun_s = max((source.first_s for source in sources), default=inf)
    if len(sources) < 2:
        return begun_s
    nonzero_s = min(source.nonzero_s for source in sources)
    return begun_s if nonzero_s == inf else max(begun_s, nonzero_s)
