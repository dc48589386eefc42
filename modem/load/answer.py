"""An answer of the OpenAI API as it arrives: what came when, and whether it came whole."""

from array import array
from typing import Any

import msgspec

from modem.load.outcome import Outcome
from modem.load.sse import SseParser

DONE = b"[DONE]"
Problem = tuple[Outcome, str]
"""A class of failure, and what to say of it."""

_LONGEST_MESSAGE = 160
_QUOTE_LENGTH = 16


class Usage(msgspec.Struct, gc=False):
    """Token counts as the server tells them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Usage | None = None
    error: Any = None


class _Message(msgspec.Struct):
    content: str | None = None


class _WholeChoice(msgspec.Struct):
    message: _Message


class _Whole(msgspec.Struct):
    choices: list[_WholeChoice]
    usage: Usage | None = None


# Made once: a decoder knows its types, so a chunk costs about a microsecond.
_CHUNKS = msgspec.json.Decoder(_Chunk)
_WHOLE = msgspec.json.Decoder(_Whole)


class StreamedAnswer:
    """One streamed chat completion.

    Per chunk it keeps a number, and the text only where a next turn needs it.

    Args:
        keep_text: Whether `text` is asked for later.

    Attributes:
        first_token_s: Time of the first event with a choice; None before.
        content_s: Times of all events with text, in the caller's clock.
        usage: Of the last event that told.
    """

    __slots__ = ("_done", "_parser", "_problem", "_text", "content_s", "first_token_s", "usage")

    def __init__(self, keep_text: bool = False) -> None:
        self.first_token_s: float | None = None
        self.content_s = array("d")
        self.usage: Usage | None = None
        self._parser = SseParser()
        self._text: list[str] | None = [] if keep_text else None
        self._done = False
        self._problem: Problem | None = None

    @property
    def text(self) -> str:
        """What was answered; empty unless it was to be kept."""
        return "".join(self._text or ())

    def feed(self, chunk: bytes, now_s: float) -> None:
        """Take bytes of the body.

        Args:
            chunk: As read from the socket, without the transfer's framing.
            now_s: When they were read.
        """
        for data in self._parser.feed(chunk):
            if data == DONE:
                self._done = True
            elif not self._done and self._problem is None:
                self._take(data, now_s)

    def problem(self) -> Problem | None:
        """Return, at the end of the body, why it is no whole answer; None if it is."""
        if self._problem is not None:
            return self._problem
        if self._done:
            return None
        if self._parser.unfinished:
            return "broken_stream", "the stream ended within an event"
        return "broken_stream", "the stream ended without [DONE]"

    def _take(self, data: bytes, now_s: float) -> None:
        try:
            chunk = _CHUNKS.decode(data)
        except ValueError:
            self._problem = "broken_stream", "an event of the stream is no chat completion chunk"
            return
        if chunk.error is not None:
            self._problem = "broken_stream", f"error event: {_message(chunk.error)}"
            return
        if chunk.usage is not None:
            self.usage = chunk.usage
        if not chunk.choices:
            return
        if self.first_token_s is None:
            self.first_token_s = now_s
        delta = chunk.choices[0].delta
        if delta is None:
            return
        if delta.content or delta.reasoning_content or delta.reasoning or delta.tool_calls:
            self.content_s.append(now_s)
            if self._text is not None and delta.content:
                self._text.append(delta.content)


def whole_answer(body: bytes) -> tuple[str, Usage | None] | None:
    """Return text and usage of an answer that was not streamed; None if it is no chat completion."""
    try:
        whole = _WHOLE.decode(body)
    except ValueError:
        return None
    return (whole.choices[0].message.content or "", whole.usage) if whole.choices else None


def error_message(body: bytes, content_type: str, prompt: str) -> str:
    """Return what an error's body says, in a line.

    Args:
        body: Of a reply with an error status.
        content_type: Its header.
        prompt: What was asked: a message that quotes it is left out, since records never hold prompts.
    """
    if "json" not in content_type:
        return f"the body is {content_type or 'without a type'}, not JSON"
    try:
        error: Any = msgspec.json.decode(body)
    except ValueError:
        return "the body is not JSON"
    if isinstance(error, dict):
        error = error.get("error", error.get("detail", error))
    message = _message(error)
    quoted = any(message[at : at + _QUOTE_LENGTH] in prompt for at in range(0, len(message), _QUOTE_LENGTH))
    return "the message quotes the prompt" if quoted else message


def _message(error: Any) -> str:
    if isinstance(error, dict):
        parts = [error.get("code") or error.get("type"), error.get("message")]
        error = ": ".join(str(part) for part in parts if part)
    return " ".join(str(error).split())[:_LONGEST_MESSAGE]
