"""Percentiles of all values, never of percentiles.

Every record of every worker is kept, so those of a distributed run are those of one list. Averages of the
workers' own percentiles, or buckets of a histogram, would only be near it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class Spread:
    """How some values are spread; None for all but the number, if there are no values.

    Percentiles lie on straight lines between neighbours, as NumPy's and vLLM's do. They do not depend on the
    order of the values, to the last bit.

    Attributes:
        num: How many values.
        mean: Their mean.
        p50: Half of them are not larger.
        p90: Nine in ten are not.
        p99: Ninety-nine in a hundred are not. Of fewer than a hundred values it is about the largest.
        max: The largest.
    """

    num: int
    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "Spread":
        """Return the spread of values of any shape; NaN is left out."""
        kept = np.sort(values[~np.isnan(values)], axis=None)
        if not len(kept):
            return cls(0, None, None, None, None, None)
        p50, p90, p99 = (float(value) for value in np.quantile(kept, QUANTILES))
        return cls(len(kept), float(kept.mean()), p50, p90, p99, float(kept[-1]))
