"""What a load test sends: plain values, made before it is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modem.load.scenario import Scenario

AUTO = "auto"
"""The model name that lets the router choose."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One question.

    Attributes:
        prompt: The user's message.
        max_tokens: Most tokens of the answer; None for the server's own limit.
        stream: Whether the answer is asked for piece by piece.
        think_s: Wait before it is sent, counted from the end of the answer before it: that of the same
            session, or for the first turn in a closed loop that of the user's last session. 0 for the first
            turn in an open loop.
    """

    prompt: str
    max_tokens: int | None
    stream: bool
    think_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Planned:
    """One request, or one session of several.

    Attributes:
        index: Position in the plan, from 0.
        at_s: When its first turn is to be sent, in seconds from the start of the run; 0 in a closed loop,
            where the users decide.
        domain: Who ought to answer.
        turns: At least one; each waits for the answer to the one before.
        session: Whom it belongs to; None for a single question.
    """

    index: int
    at_s: float
    domain: str
    turns: tuple[Turn, ...]
    session: str | None


def body(turn: Turn, history: Sequence[Mapping[str, str]], scenario: Scenario, domain: str) -> dict[str, Any]:
    """Return the JSON body of a chat completion request in OpenAI's shape.

    Args:
        turn: What is asked.
        history: Messages of the turns before, each with ``role`` and ``content``.
        scenario: Whether the domain is pinned, and whether lengths are exact.
        domain: Who ought to answer.
    """
    fields: dict[str, Any] = {
        "model": domain if scenario.pinned else AUTO,
        "messages": [*history, {"role": "user", "content": turn.prompt}],
        "stream": turn.stream,
    }
    if turn.max_tokens is not None:
        fields["max_tokens"] = turn.max_tokens
    if scenario.exact_output and turn.max_tokens is not None:
        fields |= {"ignore_eos": True, "min_tokens": turn.max_tokens}
    if turn.stream:
        # Without it a stream does not say how many tokens it had.
        fields["stream_options"] = {"include_usage": True}
    return fields
