"""A load test over time, as curves: percentiles and rates in windows of the run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modem.load.columns import Floats
from modem.load.samples import ExpertSample

NUM_WINDOWS = 60
"""Parts of a run. Fewer, if they would be shorter than a second."""


@dataclass(frozen=True, slots=True, eq=False)
class Percentiles:
    """Percentiles of the values in each window that has any.

    Attributes:
        t_s: Middle of the window; shape ``[w]`` like the others.
        p50: Median.
        p99: 99th percentile.
    """

    t_s: Floats
    p50: Floats
    p99: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Expert:
    """What the cluster said of one expert; NaN for what it did not.

    Attributes:
        t_s: When it was asked; shape ``[s]`` like the others.
        replicas: That took requests.
        running: Requests that were computed.
        waiting: Requests that waited.
    """

    t_s: Floats
    replicas: Floats
    running: Floats
    waiting: Floats


def window_s(span_s: float) -> float:
    """Return the length of a window: a part of the span, and at least a second."""
    return max(span_s / NUM_WINDOWS, 1.0)


def percentiles(t_s: Floats, values: Floats, length_s: float) -> Percentiles:
    """Return the percentiles of values in the windows of their times; NaN is left out.

    Args:
        t_s: Times; shape ``[n]``.
        values: Shape ``[n]``.
        length_s: Of a window.
    """
    known = ~np.isnan(values)
    window = (t_s[known] / length_s).astype(np.int64)
    found = np.unique(window)
    parts = [values[known][window == each] for each in found]
    quantiles = np.array([np.quantile(part, (0.5, 0.99)) for part in parts]).reshape(-1, 2)
    return Percentiles((found + 0.5) * length_s, quantiles[:, 0], quantiles[:, 1])


def rates(t_s: Floats, length_s: float, span_s: float) -> tuple[Floats, Floats]:
    """Return how many of some moments lie in each window, a second.

    Args:
        t_s: The moments.
        length_s: Of a window; the last one may be shorter.
        span_s: All windows together.

    Returns:
        The edges of w windows, shape ``[w + 1]``, and the rates, shape ``[w]``.
    """
    edges = np.append(np.arange(0.0, span_s - 1e-9, length_s), span_s)
    counts, _ = np.histogram(t_s, bins=edges)
    return edges, counts / np.diff(edges)


def expert(samples: Sequence[ExpertSample], domain: str) -> Expert:
    """Return the samples of one domain as columns."""
    own = sorted((sample for sample in samples if sample.domain == domain), key=lambda sample: sample.t_s)

    def of(values: Sequence[float | None]) -> Floats:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    return Expert(
        of([sample.t_s for sample in own]),
        of([sample.replicas for sample in own]),
        of([sample.running for sample in own]),
        of([sample.waiting for sample in own]),
    )
