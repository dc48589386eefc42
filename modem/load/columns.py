"""The records of a run as columns, in the order of the plan, whatever order they were written in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modem.load.outcome import OUTCOMES
from modem.load.record import Record

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

UNKNOWN = -1
"""In columns of whole numbers: nobody told."""
_OK = OUTCOMES.index("ok")


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Records of n requests, ordered by index and turn.

    So the figures of a run are the same whichever workers sent it, and in whichever order their records
    came in. Times are seconds since the run's start; NaN for what did not happen.

    Attributes:
        names: Intended domains, then those that only answered; each part in alphabetical order.
        num_domains: How many of ``names`` were intended.
        index: Position in the plan; shape ``[n]`` like all columns but ``itl_s``.
        turn: From 0.
        worker: Who sent it.
        domain: The intended domain, as a position in ``names``.
        routed: Who answered, as a position in ``names``; `UNKNOWN` if nobody told.
        judged: Whether it can be said that it was misrouted or not.
        misrouted: Whether another than the intended domain answered.
        stream: Whether a stream was asked for.
        intended_s: When it was to be sent.
        sent_s: When it was.
        first_byte_s: First byte of the answer.
        first_token_s: First event of the stream.
        first_content_s: First text.
        last_content_s: Last text.
        end_s: End or failure.
        prompt_tokens: By the answer's ``usage``; `UNKNOWN` without.
        output_tokens: The same of the answer.
        outcome: Position in `modem.load.outcome.OUTCOMES`.
        itl_s: Gaps between pieces of content of all requests one after another; shape ``[g]``.
        num_gaps: How many of them are each request's.
        sessions: Conversation; None for a single question. n of them.
        messages: What failed; None for an answer. n of them.
    """

    names: tuple[str, ...]
    num_domains: int
    index: Ints
    turn: Ints
    worker: Ints
    domain: Ints
    routed: Ints
    judged: Bools
    misrouted: Bools
    stream: Bools
    intended_s: Floats
    sent_s: Floats
    first_byte_s: Floats
    first_token_s: Floats
    first_content_s: Floats
    last_content_s: Floats
    end_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    outcome: Ints
    itl_s: Floats
    num_gaps: Ints
    sessions: tuple[str | None, ...]
    messages: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def domains(self) -> tuple[str, ...]:
        """The intended domains."""
        return self.names[: self.num_domains]

    @property
    def ok(self) -> Bools:
        """Which were answered to the end."""
        return np.equal(self.outcome, _OK)

    @property
    def late_s(self) -> Floats:
        """How much later than intended each was sent."""
        return self.sent_s - self.intended_s

    @property
    def ttft_s(self) -> Floats:
        """From the intended send to the first text; NaN for answers that are no stream."""
        return self.first_content_s - self.intended_s

    @property
    def e2e_s(self) -> Floats:
        """From the intended send to the end."""
        return self.end_s - self.intended_s

    @property
    def tpot_s(self) -> Floats:
        """Mean time per output token after the first; NaN without ``usage`` or with a single token."""
        writing_s = self.last_content_s - self.first_content_s
        more = np.where(self.output_tokens > 1, self.output_tokens - 1, 1)
        return np.where(self.output_tokens > 1, writing_s / more, np.nan)

    @property
    def gap_owner(self) -> Ints:
        """Whose each gap is, as a position among the n requests; shape ``[g]``."""
        return np.repeat(np.arange(len(self)), self.num_gaps)

    @property
    def gap_sums_s(self) -> Floats:
        """The gaps of each request added up."""
        return np.bincount(self.gap_owner, weights=self.itl_s, minlength=len(self)).astype(np.float64)

    def where(self, chosen: Bools) -> "Columns":
        """Return some of the requests; ``chosen`` has shape ``[n]``."""
        kept = np.flatnonzero(chosen)
        values: dict[str, Any] = {
            field.name: value[kept] if isinstance(value, np.ndarray) else value
            for field in fields(self)
            for value in (getattr(self, field.name),)
            if field.name != "itl_s"
        }
        values["itl_s"] = self.itl_s[np.repeat(chosen, self.num_gaps)]
        for name in ("sessions", "messages"):
            values[name] = tuple(values[name][position] for position in kept)
        return Columns(**values)


def columns(records: Sequence[Record]) -> Columns:
    """Return records, in any order, as columns."""
    rows = sorted(records, key=lambda row: (row.index, row.turn))
    intended = sorted({row.domain for row in rows})
    others = sorted({row.routed for row in rows if row.routed is not None} - set(intended))
    position = {name: number for number, name in enumerate((*intended, *others))}

    def of(value: Callable[[Record], Any], dtype: Any = np.float64) -> NDArray[Any]:
        return np.array([value(row) for row in rows], dtype=dtype)

    gaps: list[float] = []
    for row in rows:
        gaps += row.itl_s
    return Columns(
        names=(*intended, *others),
        num_domains=len(intended),
        index=of(lambda row: row.index, np.int64),
        turn=of(lambda row: row.turn, np.int64),
        worker=of(lambda row: row.worker, np.int64),
        domain=of(lambda row: position[row.domain], np.int64),
        routed=of(lambda row: UNKNOWN if row.routed is None else position[row.routed], np.int64),
        judged=of(lambda row: row.misrouted is not None, np.bool_),
        misrouted=of(lambda row: bool(row.misrouted), np.bool_),
        stream=of(lambda row: row.stream, np.bool_),
        intended_s=of(lambda row: row.intended_s),
        sent_s=of(lambda row: row.sent_s),
        first_byte_s=of(lambda row: row.first_byte_s),
        first_token_s=of(lambda row: row.first_token_s),
        first_content_s=of(lambda row: row.first_content_s),
        last_content_s=of(lambda row: row.last_content_s),
        end_s=of(lambda row: row.end_s),
        prompt_tokens=of(lambda row: UNKNOWN if row.prompt_tokens is None else row.prompt_tokens, np.int64),
        output_tokens=of(lambda row: UNKNOWN if row.output_tokens is None else row.output_tokens, np.int64),
        outcome=of(lambda row: OUTCOMES.index(row.outcome), np.int64),
        itl_s=np.array(gaps, dtype=np.float64),
        num_gaps=of(lambda row: len(row.itl_s), np.int64),
        sessions=tuple(row.session for row in rows),
        messages=tuple(row.message for row in rows),
    )
