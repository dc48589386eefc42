"""The figures of a load test, for each intended domain and in all."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from modem.load.columns import Bools, Columns
from modem.load.goodput import good
from modem.load.knee import Knee, Step, knee, steps
from modem.load.outcome import FAILURES, OUTCOMES
from modem.load.percentiles import Spread
from modem.load.run import CLOSED_NOTE, Run
from modem.slo import parse_slo

ALL = "all"
"""Stands for all domains together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the requests of one intended domain got, or those of all.

    Times are seconds of answers that came to their end; from the *intended* send, unless said otherwise.

    Attributes:
        num_requests: That were sent.
        num_ok: Answered to the end.
        num_failed: All others.
        failures: How many of each class that occurred, in the order of `modem.load.outcome.OUTCOMES`.
        error_rate: Share that failed.
        num_routed: Requests of which is known whether the expert that answered was the intended one.
        num_misrouted: That another one answered.
        misrouted_rate: Their share of ``num_routed``; None if that is 0.
        late_s: Actual less intended send, of all requests: the client's own fault.
        first_byte_s: To the first byte of the answer.
        first_token_s: To the first event of a stream.
        ttft_s: To the first content of a stream.
        ttft_from_sent_s: The same from the actual send.
        itl_s: All gaps between pieces of content, of all streams together.
        tpot_s: Mean time per output token after the first, a value for each stream.
        e2e_s: To the end of the answer, whether a stream or not.
        prompt_tokens: Of all answers, by ``usage``.
        output_tokens: The same.
        offered_rps: Requests a second of the time in which they were sent.
        completed_rps: Answers a second, of the time until the last one.
        output_tokens_per_s: In that time too.
        num_good: Answered within the scenario's targets.
        share_good: Their share of all requests.
        goodput_rps: Their number a second of the time in which they were sent, so that it can be held
            against ``offered_rps``.
    """

    num_requests: int
    num_ok: int
    num_failed: int
    failures: dict[str, int]
    error_rate: float
    num_routed: int
    num_misrouted: int
    misrouted_rate: float | None
    late_s: Spread
    first_byte_s: Spread
    first_token_s: Spread
    ttft_s: Spread
    ttft_from_sent_s: Spread
    itl_s: Spread
    tpot_s: Spread
    e2e_s: Spread
    prompt_tokens: int
    output_tokens: int
    offered_rps: float
    completed_rps: float
    output_tokens_per_s: float
    num_good: int
    share_good: float
    goodput_rps: float


@dataclass(frozen=True, slots=True)
class Route:
    """How many requests for one domain another one, or itself, answered."""

    intended: str
    routed: str
    num_requests: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures.

    Attributes:
        name: Of the scenario.
        is_closed: Whether users waited for their answers before they asked again.
        targets: What good requests are held against.
        span_s: How long requests were sent.
        elapsed_s: Until the last answer.
        domains: Of each intended domain, in alphabetical order.
        total: Of all together.
        routes: Who answered whose requests, where that is known.
        steps: Of a run whose rate rose until goodput fell; empty for others.
        knee: What they say; None for others.
        errors: Messages of failures and how often, the most frequent first; at most ten.
        notes: What a reader has to know to weigh the figures.
    """

    name: str
    is_closed: bool
    targets: str
    span_s: float
    elapsed_s: float
    domains: tuple[tuple[str, Figures], ...]
    total: Figures
    routes: tuple[Route, ...]
    steps: tuple[Step, ...]
    knee: Knee | None
    errors: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]

    @property
    def rows(self) -> tuple[tuple[str, Figures], ...]:
        """The domains, and all together."""
        return (*self.domains, (ALL, self.total))


def summarise(run: Run) -> Summary:
    """Return the figures of a run.

    Raises:
        ConfigError: The scenario's targets cannot be read.
    """
    records, settings = run.records, run.settings
    is_good = good(records, parse_slo(settings.targets))
    span_s, elapsed_s = run.span_s, run.elapsed_s
    domains = tuple(
        (name, _figures(records.where(own), is_good[own], span_s, elapsed_s))
        for position, name in enumerate(records.domains)
        for own in (records.domain == position,)
    )
    found: tuple[Step, ...] = ()
    if settings.saturation is not None and isinstance(settings.rate, int | float):
        found = steps(records, is_good, settings.saturation, float(settings.rate), span_s)
    return Summary(
        name=settings.name,
        is_closed=settings.is_closed,
        targets=settings.targets,
        span_s=span_s,
        elapsed_s=elapsed_s,
        domains=domains,
        total=_figures(records, is_good, span_s, elapsed_s),
        routes=_routes(records),
        steps=found,
        knee=knee(found) if found else None,
        errors=_errors(records),
        notes=(*([CLOSED_NOTE] if settings.is_closed else []), *run.notes),
    )


def _figures(records: Columns, is_good: Bools, span_s: float, elapsed_s: float) -> Figures:
    ok = records.ok
    answered = records.where(ok)
    number, num_ok, num_good = len(records), len(answered), int(is_good.sum())
    num_routed, num_misrouted = int(records.judged.sum()), int(records.misrouted.sum())
    counts = np.bincount(records.outcome, minlength=len(OUTCOMES))
    output_tokens = int(np.maximum(answered.output_tokens, 0).sum())
    return Figures(
        num_requests=number,
        num_ok=num_ok,
        num_failed=number - num_ok,
        failures={
            name: int(counts[OUTCOMES.index(name)]) for name in FAILURES if counts[OUTCOMES.index(name)]
        },
        error_rate=(number - num_ok) / number,
        num_routed=num_routed,
        num_misrouted=num_misrouted,
        misrouted_rate=num_misrouted / num_routed if num_routed else None,
        late_s=Spread.of(records.late_s),
        first_byte_s=Spread.of(answered.first_byte_s - answered.intended_s),
        first_token_s=Spread.of(answered.first_token_s - answered.intended_s),
        ttft_s=Spread.of(answered.ttft_s),
        ttft_from_sent_s=Spread.of(answered.first_content_s - answered.sent_s),
        itl_s=Spread.of(answered.itl_s),
        tpot_s=Spread.of(answered.tpot_s),
        e2e_s=Spread.of(answered.e2e_s),
        prompt_tokens=int(np.maximum(answered.prompt_tokens, 0).sum()),
        output_tokens=output_tokens,
        offered_rps=number / span_s,
        completed_rps=num_ok / elapsed_s,
        output_tokens_per_s=output_tokens / elapsed_s,
        num_good=num_good,
        share_good=num_good / number,
        goodput_rps=num_good / span_s,
    )


def _routes(records: Columns) -> tuple[Route, ...]:
    num_names = len(records.names)
    pairs = (records.domain * num_names + records.routed)[records.judged]
    found, counts = np.unique(pairs, return_counts=True)
    return tuple(
        Route(records.names[pair // num_names], records.names[pair % num_names], count)
        for pair, count in zip(found.tolist(), counts.tolist(), strict=True)
    )


def _errors(records: Columns, most: int = 10) -> tuple[tuple[str, int], ...]:
    failed = np.flatnonzero(~records.ok).tolist()
    counts = Counter(f"{OUTCOMES[records.outcome[row]]}: {records.messages[row] or '-'}" for row in failed)
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most])
