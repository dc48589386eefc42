"""A number that moves over time, drawn by points: a rate of arrivals, or a number of users."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
"""Seconds from the start, and the value there."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Straight lines between points; level before the first and after the last.

    Two points at one time are a step. The curve knows its own length, and its integral up to there.

    Attributes:
        t_s: Ascending, the first 0, the last the length; shape ``[n]``, at least 2.
        values: At these times, 0 or more; shape ``[n]``.
        integrals: From 0 up to these times; shape ``[n]``, ascending.
    """

    t_s: NDArray[np.float64]
    values: NDArray[np.float64]
    integrals: NDArray[np.float64]

    @classmethod
    def of(cls, points: Sequence[Point], span_s: float) -> "Curve":
        """Return the curve through points in the order of their times.

        Args:
            points: At least one; those after ``span_s`` only say where the last line leads.
            span_s: Length.
        """
        t_s, values = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
        inside = t_s <= span_s
        end = float(np.interp(span_s, t_s, values)) if not inside.all() else float(values[-1])
        t_s = np.concatenate(([0.0], t_s[inside], [span_s]))
        values = np.concatenate(([values[0]], values[inside], [end]))
        steps = np.diff(t_s) * (values[1:] + values[:-1]) / 2
        return cls(t_s, values, np.concatenate(([0.0], np.cumsum(steps))))

    @property
    def span_s(self) -> float:
        """Length in seconds."""
        return float(self.t_s[-1])

    @property
    def total(self) -> float:
        """Integral over all of it: for a rate, how many arrivals are to be expected."""
        return float(self.integrals[-1])

    def at(self, t_s: float) -> float:
        """Return the value at a time; at a step, the one after it."""
        if t_s >= self.span_s:
            return float(self.values[-1])
        left = max(int(np.searchsorted(self.t_s, t_s, side="right")) - 1, 0)
        width = self.t_s[left + 1] - self.t_s[left]
        share = max(t_s - self.t_s[left], 0.0) / width
        return float(self.values[left] + (self.values[left + 1] - self.values[left]) * share)

    def inverse(self, integrals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return when the integral reaches each of these numbers.

        Within a line from ``a`` with slope ``s`` the integral is ``a x + s x² / 2``, so
        ``x = 2 y / (a + sqrt(a² + 2 s y))``: the form of the root that loses no digits.

        Args:
            integrals: From 0 to below `total`; any shape.
        """
        left = np.searchsorted(self.integrals, integrals, side="right") - 1
        left = np.clip(left, 0, len(self.t_s) - 2)
        width = self.t_s[left + 1] - self.t_s[left]
        start = self.values[left]
        rise = self.values[left + 1] - start
        slope = np.divide(rise, width, out=np.zeros_like(width), where=width > 0)
        over = integrals - self.integrals[left]
        # A falling line may end at 0, where rounding makes the root's inside negative.
        below = start + np.sqrt(np.maximum(start**2 + 2 * slope * over, 0.0))
        into = np.divide(2 * over, below, out=np.zeros_like(over), where=below > 0)
        return np.asarray(self.t_s[left] + np.minimum(into, width), dtype=np.float64)
