"""A trace: when requests arrive, for which domain, and how long they are. No text.

A trace is kept as columns, because a day of traffic is a million rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError

COPY_WITHIN_S = 30.0
"""How far a copy of a request lies from it, where a trace is scaled up: less than a replica's start takes."""
ANY_DOMAIN = "any"
"""The domain of a trace that has none, until `modem.traces.mix.split` gives it some."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request.

    Attributes:
        t_s: When it arrives, in seconds from the start of the trace.
        domain: Who is to answer.
        prompt_tokens: Its length.
        output_tokens: Length of the answer.
        session: Whom it belongs to, if the trace says so.
    """

    t_s: float
    domain: str
    prompt_tokens: int
    output_tokens: int
    session: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Requests in the order of their arrival; n of them.

    Attributes:
        domains: Names of the domains.
        t_s: Seconds from the start, float64, ascending; shape ``[n]`` like all columns.
        domain_index: Position in ``domains``, int64.
        prompt_tokens: int64, at least 1.
        output_tokens: int64, at least 1.
        sessions: One for each request, or none at all.
        span_s: Length of the time that the trace describes; not less than the last arrival.
        origin: Where it is from and what was done to it, for reports.
    """

    domains: tuple[str, ...]
    t_s: NDArray[np.float64]
    domain_index: NDArray[np.int64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    sessions: tuple[str | None, ...]
    span_s: float
    origin: str

    @classmethod
    def of(cls, arrivals: Iterable[Arrival], span_s: float | None = None, origin: str = "given") -> "Trace":
        """Return the trace of these requests, in any order.

        Args:
            arrivals: The requests.
            span_s: Length of the described time; by default up to the last arrival.
            origin: For reports.
        """
        rows = list(arrivals)
        names = tuple(dict.fromkeys(row.domain for row in rows))
        index = {name: position for position, name in enumerate(names)}
        return columns(
            names,
            [row.t_s for row in rows],
            [index[row.domain] for row in rows],
            [row.prompt_tokens for row in rows],
            [row.output_tokens for row in rows],
            [row.session for row in rows],
            span_s,
            origin,
        )

    def __len__(self) -> int:
        return len(self.t_s)

    def __iter__(self) -> Iterator[Arrival]:
        sessions = self.sessions or (None,) * len(self)
        rows = zip(self.t_s, self.domain_index, self.prompt_tokens, self.output_tokens, sessions, strict=True)
        for t_s, domain, prompt, output, session in rows:
            yield Arrival(float(t_s), self.domains[domain], int(prompt), int(output), session)

    def between(self, start_s: float, end_s: float) -> "Trace":
        """Return the part from ``start_s`` (with it) to ``end_s`` (without it), counted from its start."""
        end_s = min(end_s, np.nextafter(self.span_s, np.inf))
        keep = (self.t_s >= start_s) & (self.t_s < end_s)
        return replace(
            self._where(keep),
            t_s=self.t_s[keep] - start_s,
            span_s=max(min(end_s, self.span_s) - start_s, 0.0),
            origin=f"{self.origin}, seconds {start_s:g} to {end_s:.6g}",
        )

    def faster(self, factor: float) -> "Trace":
        """Return the same requests in a ``factor``-th of the time."""
        return replace(
            self,
            t_s=self.t_s / factor,
            span_s=self.span_s / factor,
            origin=f"{self.origin}, {factor:g} times as fast",
        )

    def scaled(self, rate: float, rng: np.random.Generator) -> "Trace":
        """Return ``rate`` times as many requests, at the same hours.

        Below 1 each request is kept with that probability. Above 1 there are copies of each: further users
        who ask the same at about the same time, up to `COPY_WITHIN_S` before or after. So swings longer than
        that stay as they are, and shorter bursts are evened out, as they are when more users share an expert.
        """
        whole = int(rate)
        times = whole + (rng.random(len(self)) < rate - whole)
        index = np.repeat(np.arange(len(self)), times)
        number = np.arange(len(index)) - np.repeat(np.cumsum(times) - times, times)
        moved_s = np.where(number > 0, rng.uniform(-COPY_WITHIN_S, COPY_WITHIN_S, len(index)), 0.0)
        sessions = [self.sessions[i] for i in index] if self.sessions else [None] * len(index)
        return columns(
            self.domains,
            np.clip(self.t_s[index] + moved_s, 0.0, self.span_s),
            self.domain_index[index],
            self.prompt_tokens[index],
            self.output_tokens[index],
            [f"{one}-{n}" if one and n else one for one, n in zip(sessions, number, strict=True)],
            self.span_s,
            f"{self.origin}, {rate:g} times its requests",
        )

    def counts(self) -> Mapping[str, int]:
        """Return the number of requests of each domain."""
        numbers = np.bincount(self.domain_index, minlength=len(self.domains))
        return {name: int(number) for name, number in zip(self.domains, numbers, strict=True)}

    def _where(self, keep: NDArray[np.bool_]) -> "Trace":
        sessions = tuple(self.sessions[i] for i in np.flatnonzero(keep)) if self.sessions else ()
        return replace(
            self,
            t_s=self.t_s[keep],
            domain_index=self.domain_index[keep],
            prompt_tokens=self.prompt_tokens[keep],
            output_tokens=self.output_tokens[keep],
            sessions=sessions,
        )


def columns(
    domains: tuple[str, ...],
    t_s: Sequence[float] | NDArray[np.float64],
    domain_index: Sequence[int] | NDArray[np.int64],
    prompt_tokens: Sequence[int] | NDArray[np.int64],
    output_tokens: Sequence[int] | NDArray[np.int64],
    sessions: Sequence[str | None],
    span_s: float | None,
    origin: str,
) -> Trace:
    """Return a trace from columns in any order; equal times keep their order."""
    times = np.asarray(t_s, dtype=np.float64)
    order = np.argsort(times, kind="stable")
    last = float(times[order[-1]]) if len(order) else 0.0
    named = any(session is not None for session in sessions)
    return Trace(
        domains,
        times[order],
        np.asarray(domain_index, dtype=np.int64)[order],
        np.asarray(prompt_tokens, dtype=np.int64)[order],
        np.asarray(output_tokens, dtype=np.int64)[order],
        tuple(sessions[i] for i in order) if named else (),
        max(last, span_s or 0.0),
        origin,
    )


def overlay(traces: Sequence[Trace]) -> Trace:
    """Return all requests of several traces, on one clock.

    Raises:
        ConfigError: There is none.
    """
    if not traces:
        raise ConfigError("no trace is given")
    if len(traces) == 1:
        return traces[0]
    rows = [row for trace in traces for row in trace]
    span_s = max(trace.span_s for trace in traces)
    return Trace.of(rows, span_s, " + ".join(trace.origin for trace in traces))
