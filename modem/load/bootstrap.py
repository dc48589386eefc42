"""How sure the figures of one run are: what they would have been, had chance picked other requests.

The bootstrap (Efron, 1979) draws the requests anew, with replacement, many times. Requests under way
together shared a queue, so they are not independent of each other: drawn are blocks of neighbours in time, of
``n ** (1/3)`` requests each (Künsch, 1989; the rate is that of Hall, Horowitz and Jing, 1995). The gaps
within an answer belong together even more: they are drawn with their request.

Of pairs of runs of one made-up server, 1,000 requests each, 3 to 7 % were told apart at p50, p90 and p99
(5 % would be exact), and of 200 each 5 to 8 %. Where neighbours' waits correlate by 0.5 it was 5 to 7 % and
4 to 11 %; by 0.8, as in a queue that is full all the time, 10 to 12 % and 14 to 18 %: then only a repetition
helps.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modem.load.columns import Bools, Columns, Floats, Ints
from modem.load.percentiles import QUANTILES

LEAST_REQUESTS = 50
"""Of fewer requests the tails say nothing, whatever their interval."""

_CHUNK = 50
"""Draws that are computed at once: it bounds memory to this times the number of requests."""
_GRID = np.unique(np.concatenate((np.linspace(0, 1, 401), np.linspace(0.95, 1, 201))))
"""Where gaps are put into bins, as quantiles: a bin holds at most 1/400 of them, near the top 1/4000."""


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Figures of many draws; NaN where a draw had no value.

    Attributes:
        quantiles_s: Of each time by name; shape ``[draws, 3]``, see `modem.load.percentiles.QUANTILES`.
        error_rate: Shape ``[draws]``, like the next.
        share_good: Share of the requests that met the targets.
    """

    quantiles_s: dict[str, Floats]
    error_rate: Floats
    share_good: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Bins:
    """The gaps between pieces of content, counted for each request.

    Attributes:
        values_s: Largest gap of each bin; shape ``[b]``.
        counts: Shape ``[n, b]``; float32, as matrix products of whole numbers are slow.
    """

    values_s: Floats
    counts: np.ndarray[tuple[int, ...], np.dtype[np.float32]]

    @classmethod
    def of(cls, records: Columns) -> "_Bins | None":
        gaps = records.itl_s[np.repeat(records.ok, records.num_gaps)]
        owner = records.gap_owner[np.repeat(records.ok, records.num_gaps)]
        if not len(gaps):
            return None
        values = np.unique(np.quantile(gaps, _GRID, method="inverted_cdf"))
        place = owner * len(values) + np.searchsorted(values, gaps)
        counts = np.bincount(place, minlength=len(records) * len(values))
        return cls(values, counts.reshape(len(records), -1).astype(np.float32))


def draw(records: Columns, good: Bools, rng: np.random.Generator, num_draws: int) -> Draws:
    """Draw the requests anew and return the figures of each draw.

    Args:
        records: Of one run, or of one domain of it.
        good: Which met the targets; shape ``[n]``.
        rng: Draws.
        num_draws: How often.
    """
    order = np.argsort(records.intended_s, kind="stable")
    values = {
        "ttft": np.where(records.ok, records.ttft_s, np.nan)[order],
        "e2e": np.where(records.ok, records.e2e_s, np.nan)[order],
    }
    failed, fine = (~records.ok)[order], good[order]
    bins = _Bins.of(records)
    quantiles: dict[str, list[Floats]] = {name: [] for name in (*values, "itl")}
    errors, goods = [], []
    for weights in _weights(len(records), rng, num_draws):
        total = weights.sum(axis=1)
        errors.append(weights @ failed / total)
        goods.append(weights @ fine / total)
        for name, own in values.items():
            quantiles[name].append(_weighted_quantiles(own, weights))
        quantiles["itl"].append(_gap_quantiles(bins, order, weights))
    return Draws(
        {name: np.concatenate(parts) for name, parts in quantiles.items()},
        np.concatenate(errors),
        np.concatenate(goods),
    )


def _weights(number: int, rng: np.random.Generator, num_draws: int) -> Iterator[Ints]:
    """Yield how often each request is drawn, in order of time; shape ``[draws, n]``."""
    length = max(round(number ** (1 / 3)), 1)
    block = np.arange(number) // length
    num_blocks = int(block[-1]) + 1
    for start in range(0, num_draws, _CHUNK):
        chunk = min(_CHUNK, num_draws - start)
        drawn = rng.multinomial(num_blocks, np.full(num_blocks, 1 / num_blocks), size=chunk)
        yield drawn[:, block]


def _weighted_quantiles(values: Floats, weights: Ints) -> Floats:
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    if not len(order):
        return np.full((len(weights), len(QUANTILES)), np.nan)
    return _at_quantiles(values[order], np.cumsum(weights[:, order], axis=1).astype(np.float64))


def _gap_quantiles(bins: _Bins | None, order: Ints, weights: Ints) -> Floats:
    if bins is None:
        return np.full((len(weights), len(QUANTILES)), np.nan)
    by_record = np.zeros(weights.shape, np.float32)
    by_record[:, order] = weights
    return _at_quantiles(bins.values_s, np.cumsum(by_record @ bins.counts, axis=1, dtype=np.float64))


def _at_quantiles(ascending: Floats, below: Floats) -> Floats:
    """Return the least values with so many below or at them.

    Args:
        ascending: Values; shape ``[m]``.
        below: How many are not larger than each, in each draw; shape ``[draws, m]``.
    """
    found = np.full((len(below), len(QUANTILES)), np.nan)
    for row, counts in enumerate(below):
        if counts[-1] > 0:
            wanted = np.asarray(QUANTILES) * counts[-1]
            found[row] = ascending[np.minimum(np.searchsorted(counts, wanted - 1e-9), len(ascending) - 1)]
    return found
