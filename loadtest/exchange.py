"""What one HTTP exchange with the tested server gave, before it becomes a record."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

from modem.load.answer import StreamedAnswer, Usage
from modem.load.outcome import Outcome
from modem.load.planned import Planned
from modem.load.record import Record, since


@dataclass(slots=True)
class Exchange:
    """Filled in while it lasts; times are on the client's monotonic clock.

    Attributes:
        sent_s: When sending began.
        first_byte_s: When the first byte of the reply's head was read.
        first_token_s: When the first event with a choice was read.
        content_s: When the pieces of content were read.
        end_s: When it was over.
        outcome: How it ended.
        status: HTTP status.
        message: What failed.
        headers: Those asked for, None where the reply has none.
        usage: Token counts.
        text: The answer, if it was to be kept.
    """

    sent_s: float
    first_byte_s: float | None = None
    first_token_s: float | None = None
    content_s: "array[float]" = field(default_factory=lambda: array("d"))
    end_s: float = 0.0
    outcome: Outcome = "aborted"
    status: int | None = None
    message: str | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    usage: Usage | None = None
    text: str = ""

    def fail(self, outcome: Outcome, message: str) -> None:
        """Note a failure."""
        self.outcome, self.message = outcome, message

    def note_head(self, status: int, headers: Mapping[str, str | None]) -> None:
        """Note what the reply's head says."""
        self.status, self.headers = status, headers

    def note_answer(self, answer: StreamedAnswer) -> None:
        """Note as much of a stream as there was."""
        self.first_token_s, self.content_s = answer.first_token_s, answer.content_s
        self.usage, self.text = answer.usage, answer.text


def to_record(
    exchange: Exchange,
    planned: Planned,
    turn: int,
    worker: int,
    intended_s: float,
    start_s: float,
    request_id: str,
) -> Record:
    """Return the line for ``requests.jsonl``.

    Args:
        exchange: It is over.
        planned: What was meant to be sent.
        turn: Which turn of it this was.
        worker: Who sent it.
        intended_s: When it was meant to be sent, in seconds from the run's start.
        start_s: The run's start on the client's clock.
        request_id: What was sent; the reply's counts if it has one.
    """
    content, usage, headers = exchange.content_s, exchange.usage, exchange.headers
    return Record(
        index=planned.index,
        turn=turn,
        worker=worker,
        session=planned.session,
        domain=planned.domain,
        routed=headers.get("x-modem-domain"),
        reason=headers.get("x-modem-reason"),
        confidence=_number(headers.get("x-modem-confidence")),
        stream=planned.turns[turn].stream,
        intended_s=round(intended_s, 6),
        sent_s=since(exchange.sent_s, start_s),
        first_byte_s=_since(exchange.first_byte_s, start_s),
        first_token_s=_since(exchange.first_token_s, start_s),
        first_content_s=since(content[0], start_s) if content else None,
        last_content_s=since(content[-1], start_s) if content else None,
        end_s=since(exchange.end_s, start_s),
        itl_s=tuple(round(content[at] - content[at - 1], 6) for at in range(1, len(content))),
        num_chunks=len(content),
        prompt_tokens=usage.prompt_tokens if usage else None,
        output_tokens=usage.completion_tokens if usage else None,
        outcome=exchange.outcome,
        status=exchange.status,
        message=exchange.message,
        request_id=headers.get("x-request-id") or request_id,
    )


def _since(time_s: float | None, start_s: float) -> float | None:
    return None if time_s is None else since(time_s, start_s)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
