"""Two runs side by side: differences and ratios with 95 % intervals, and a verdict in a word."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from modem.load.bootstrap import LEAST_REQUESTS, Draws, draw
from modem.load.certificate import certify
from modem.load.columns import Bools, Columns, Floats
from modem.load.goodput import good
from modem.load.run import Run
from modem.load.summary import ALL, Figures, Summary, summarise
from modem.slo import parse_slo

Verdict = Literal["slower", "faster", "more", "fewer", "not told apart", "too few requests"]

NUM_DRAWS = 1000
_INTERVAL = (0.025, 0.975)
_TIMES = ("ttft", "itl", "e2e")
_NAMES = ("p50", "p90", "p99")
_ALIKE = 0.05
"""Offered rates that differ by more of themselves are different loads."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a figure lies with 95 % confidence; None where it cannot be said."""

    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of both runs.

    Attributes:
        domain: Whose; ``all`` for all together.
        figure: Which: ``ttft_p50`` and so on in seconds, ``error_rate`` and ``goodput`` as shares of the
            requests.
        a: Of the first run; None if it has none.
        b: Of the second run.
        difference: b - a.
        difference_interval: Of that.
        ratio: b / a; None if a is 0.
        ratio_interval: Of that.
        verdict: Of the second run, against the first.
    """

    domain: str
    figure: str
    a: float | None
    b: float | None
    difference: float | None
    difference_interval: Interval
    ratio: float | None
    ratio_interval: Interval
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs.

    Attributes:
        a: Figures of the first.
        b: Of the second.
        rows: Their differences: all together, then each domain that both have.
        notes: What makes the runs less than comparable.
    """

    a: Summary
    b: Summary
    rows: tuple[Difference, ...]
    notes: tuple[str, ...]


def compare(a: Run, b: Run, seed: int = 0, num_draws: int = NUM_DRAWS) -> Comparison:
    """Hold two runs against each other; their requests are not paired.

    Goodput of both is by the targets of the first, so that one thing is compared.

    Args:
        a: The first.
        b: The second.
        seed: Of the draws.
        num_draws: How many.

    Raises:
        ConfigError: The first run's targets cannot be read.
    """
    slo = parse_slo(a.settings.targets)
    goods = good(a.records, slo), good(b.records, slo)
    summaries = summarise(a), summarise(b)
    shared = [name for name in a.records.domains if name in b.records.domains]
    rng = np.random.default_rng(seed)
    rows = [
        row
        for name in (ALL, *shared)
        for row in _rows(name, *_part(a, goods[0], name), *_part(b, goods[1], name), rng, num_draws)
    ]
    return Comparison(*summaries, tuple(rows), tuple(_notes(a, b, *summaries)))


def _part(run: Run, is_good: Bools, name: str) -> tuple[Columns, Bools]:
    if name == ALL:
        return run.records, is_good
    own = run.records.domain == run.records.names.index(name)
    return run.records.where(own), is_good[own]


def _rows(
    domain: str,
    a: Columns,
    good_a: Bools,
    b: Columns,
    good_b: Bools,
    rng: np.random.Generator,
    num_draws: int,
) -> Iterator[Difference]:
    enough = min(len(a), len(b)) >= LEAST_REQUESTS
    drawn = draw(a, good_a, rng, num_draws), draw(b, good_b, rng, num_draws)
    exact = _figures(a, good_a), _figures(b, good_b)
    for name in exact[0]:
        values, draws = (exact[0][name], exact[1][name]), (_of(drawn[0], name), _of(drawn[1], name))
        yield _row(domain, name, *values, *draws, enough)


def _figures(records: Columns, is_good: Bools) -> dict[str, float]:
    """Return the figures of a run by name; NaN for one that it does not have."""
    answered = records.where(records.ok)
    values = {"ttft": answered.ttft_s, "itl": answered.itl_s, "e2e": answered.e2e_s}
    found: dict[str, float] = {}
    for metric in _TIMES:
        known = values[metric][~np.isnan(values[metric])]
        quantiles = np.quantile(known, (0.5, 0.9, 0.99)) if len(known) else np.full(3, np.nan)
        found |= {f"{metric}_{name}": float(x) for name, x in zip(_NAMES, quantiles, strict=True)}
    return {**found, "error_rate": float((~records.ok).mean()), "goodput": float(is_good.mean())}


def _of(draws: Draws, name: str) -> Floats:
    if name == "error_rate":
        return draws.error_rate
    if name == "goodput":
        return draws.share_good
    metric, _, quantile = name.partition("_")
    return draws.quantiles_s[metric][:, _NAMES.index(quantile)]


def _row(
    domain: str, figure: str, a: float, b: float, drawn_a: Floats, drawn_b: Floats, enough: bool
) -> Difference:
    difference = _interval(drawn_b - drawn_a)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = _interval(np.where(drawn_a > 0, drawn_b / drawn_a, np.nan))
    return Difference(
        domain=domain,
        figure=figure,
        a=_known(a),
        b=_known(b),
        difference=_known(b - a),
        difference_interval=difference,
        ratio=_known(b / a) if a else None,
        ratio_interval=ratio if a else Interval(None, None),
        verdict=_verdict(figure, difference, enough),
    )


def _interval(values: Floats) -> Interval:
    """Return where the middle 95 % lie; unknown if a draw in forty had no value."""
    known = values[np.isfinite(values)]
    if len(known) < (1 - _INTERVAL[0]) * len(values) or not len(known):
        return Interval(None, None)
    low, high = np.quantile(known, _INTERVAL)
    return Interval(float(low), float(high))


def _verdict(figure: str, difference: Interval, enough: bool) -> Verdict:
    if not enough:
        return "too few requests"
    low, high = difference.low, difference.high
    if low is None or high is None or low <= 0 <= high:
        return "not told apart"
    is_share = figure in ("error_rate", "goodput")
    if low > 0:
        return "more" if is_share else "slower"
    return "fewer" if is_share else "faster"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _notes(a: Run, b: Run, first: Summary, second: Summary) -> Iterator[str]:
    for name, run, summary in (("A", a, first), ("B", b, second)):
        yield from (f"{name}: {note}" for note in summary.notes)
        if not certify(run).ok:
            yield f"{name} is not certified: the client was part of what it measured"
    if first.is_closed != second.is_closed:
        yield "one run is an open loop and one closed: their latencies are not of one kind"
    rates = [summary.total.offered_rps for summary in (first, second)]
    if abs(rates[1] - rates[0]) > _ALIKE * max(rates):
        yield f"different loads: A was offered {rates[0]:.3g} requests/s, B {rates[1]:.3g}"
    if first.targets != second.targets:
        yield f"goodput of both is by A's targets, {first.targets}; B's are {second.targets}"
    for name, mine, other in (("A", a, b), ("B", b, a)):
        only = [domain for domain in mine.records.domains if domain not in other.records.domains]
        if only:
            yield f"only {name} asked {', '.join(only)}"
    shares = [_shares(summary.domains, summary.total) for summary in (first, second)]
    moved = [x for x in shares[0] if x in shares[1] and abs(shares[0][x] - shares[1][x]) > _ALIKE]
    if moved:
        yield f"different mixes: the share of {', '.join(moved)} differs by more than {100 * _ALIKE:g} points"


def _shares(domains: tuple[tuple[str, Figures], ...], total: Figures) -> dict[str, float]:
    return {name: figures.num_requests / total.num_requests for name, figures in domains}
