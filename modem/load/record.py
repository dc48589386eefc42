"""What became of one request of a load test: one line of ``requests.jsonl``.

All times are seconds since the run's start, on the monotonic clock of the worker that sent it. A latency
counts from the moment at which the request was *meant* to be sent. Counted from when it was sent, a client
that falls behind would report a fast server ("coordinated omission": G. Tene, "How NOT to measure latency").
"""

from dataclasses import dataclass

import msgspec

from modem.load.outcome import Outcome

_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Record:
    """One request, or one turn of a session.

    Attributes:
        index: Of the planned request; the turns of a session share it.
        turn: From 0.
        worker: Which load generator sent it, from 0.
        session: Id of the conversation; None for a single question.
        domain: The *intended* domain.
        routed: The domain that answered, by the ``x-modem-domain`` header; None if nobody told.
        reason: Why, by ``x-modem-reason``.
        confidence: Of the router, by ``x-modem-confidence``.
        stream: Whether a stream was asked for.
        intended_s: When it was meant to be sent.
        sent_s: When the client set about sending it. A connection that has to be made first is part of what
            follows: an overloaded server is slow to take one.
        first_byte_s: When the first byte of the answer, that is of its headers, was read. A gateway that
            sends heartbeats while an expert wakes up sends this one early.
        first_token_s: When the first event of the stream that is no comment was read. Engines send one that
            names the role and has no text when they *begin*, so this is not yet an answer to a reader.
        first_content_s: When the first text (or reasoning, or tool call) was read.
        last_content_s: When the last one was.
        end_s: When the answer was complete, or failed.
        itl_s: The gaps between pieces of content, one less than there are pieces. Pieces that were read at
            once have gaps of 0. A piece is an event of the stream; a server may put several tokens into one.
        num_chunks: Pieces of content.
        prompt_tokens: By the answer's ``usage``.
        output_tokens: By the answer's ``usage``.
        outcome: Its class.
        status: HTTP status; None without one.
        message: What failed, short, without any text of a prompt or an answer.
        request_id: By ``x-request-id``, to find it in the server's logs; the client's own unless the server
            gave another.
    """

    index: int
    turn: int
    worker: int
    session: str | None
    domain: str
    routed: str | None
    reason: str | None
    confidence: float | None
    stream: bool
    intended_s: float
    sent_s: float
    first_byte_s: float | None
    first_token_s: float | None
    first_content_s: float | None
    last_content_s: float | None
    end_s: float
    itl_s: tuple[float, ...]
    num_chunks: int
    prompt_tokens: int | None
    output_tokens: int | None
    outcome: Outcome
    status: int | None
    message: str | None
    request_id: str | None

    @property
    def late_s(self) -> float:
        """How much later than intended it was sent: the client's own fault."""
        return self.sent_s - self.intended_s

    @property
    def ttft_s(self) -> float | None:
        """Time to first content from the *intended* send; None for answers that are not streamed."""
        return None if self.first_content_s is None else self.first_content_s - self.intended_s

    @property
    def ttft_from_sent_s(self) -> float | None:
        """Time to first content from the actual send: what the server did, without the client's lateness."""
        return None if self.first_content_s is None else self.first_content_s - self.sent_s

    @property
    def e2e_s(self) -> float:
        """Time to the end of the answer from the *intended* send."""
        return self.end_s - self.intended_s

    @property
    def tpot_s(self) -> float | None:
        """Mean time per output token after the first; None without ``usage`` or with a single token."""
        if self.first_content_s is None or self.last_content_s is None:
            return None
        if self.output_tokens is None or self.output_tokens < 2:
            return None
        return (self.last_content_s - self.first_content_s) / (self.output_tokens - 1)

    @property
    def misrouted(self) -> bool | None:
        """Whether another expert than intended answered; None if unknown, or if the request chose itself."""
        if self.routed is None or self.reason == "pinned":
            return None
        return self.routed != self.domain

    def to_json(self) -> bytes:
        """Return one line without its end. Times are cut to microseconds."""
        return _ENCODER.encode(self)

    @staticmethod
    def from_json(line: bytes | str) -> "Record":
        """Read a line.

        Raises:
            ValueError: It is no record.
        """
        return _DECODER.decode(line)


def since(time_s: float, start_s: float) -> float:
    """Return the seconds since the start, cut to microseconds: finer is noise, and makes long lines."""
    return round(time_s - start_s, _DECIMALS)


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Record)
