"""What of a conversation the router reads: shared by training, evaluation and serving.

The three must agree, or a router is measured on other texts than it serves. All of it is rules on
strings, so that a decision can be traced to what was read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modem.routing.gist import gist, leans, needs_passages, num_content_words
from modem.routing.parts import Parts
from modem.routing.passages import take_apart

MAX_CHARS = 900
"""Characters that are classified: some 200 tokens of English, inside the encoder's window of 256."""

HISTORY_CHARS = 500
"""Characters of the earlier user turns that are classified apart."""

MAX_TURN_CHARS = 32_000
"""Characters of one turn that are looked at; what lies between its two halves is skipped."""


@dataclass(frozen=True, slots=True)
class RoutingText:
    """What is classified of one request.

    Attributes:
        text: The question first, then what gives it a meaning if it lacks one; at most `MAX_CHARS`.
        history: The user's earlier turns, newest first, at most `HISTORY_CHARS`; empty if there are none.
        says_nothing: The last turn has no content of its own ("continue", "why?"), so that only
            the history can tell where it belongs.
    """

    text: str
    history: str = ""
    says_nothing: bool = False


def routing_text(messages: Sequence[Mapping[str, Any]]) -> RoutingText:
    """Return what to classify of a chat.

    The last user turn counts. Its instructions and retrieved passages are told from its question
    (`modem.routing.passages`); a long one is compressed to its question, head, tail and most
    informative sentences (`modem.routing.gist`). A turn with hardly a word of its own is followed by the
    turns before it. System messages, tool results, images and the assistant's words are not read: they
    tell what the application does, not what the user asks. Without a user message that has text, the
    last message of any role that has text is taken.

    Args:
        messages: Chat messages in OpenAI's shape. Odd shapes count as messages without text:
            requests are validated elsewhere, and routing must never be what fails.
    """
    turns = [text for message in messages if _role(message) == "user" and (text := _text_of(message))]
    if not turns:
        turns = [text for message in messages if (text := _text_of(message))][-1:]
    if not turns:
        return RoutingText("")
    history = _history(turns[-2::-1])
    return _combine(take_apart(_shorten(turns[-1])), history)


def plain_routing_text(prompt: str) -> RoutingText:
    """Return what to classify of a prompt that is not a chat."""
    return routing_text([{"role": "user", "content": prompt}])


def prompt_text(prompt: str) -> str:
    """Return the text to classify of a prompt alone; the prompt itself where nothing would be read."""
    return plain_routing_text(prompt).text or prompt


def _combine(parts: Parts, history: str) -> RoutingText:
    """Put the question first, then as much of its surroundings as it needs."""
    question = parts.question
    context = parts.passages if needs_passages(question) else ""
    context = context or (history if leans(question) else "")
    text = _join([gist(question, MAX_CHARS // 2), gist(context, MAX_CHARS // 2)]) if context else ""
    says_nothing = num_content_words(question) == 0 and not parts.passages
    return RoutingText(text or gist(question, MAX_CHARS), history, says_nothing)


def _history(earlier: Iterable[str]) -> str:
    """Return the earlier turns that say something, newest first."""
    found: list[str] = []
    left = HISTORY_CHARS
    for turn in earlier:
        question = take_apart(_shorten(turn)).question
        if num_content_words(question) == 0:
            continue
        found.append(gist(question, left))
        left -= len(found[-1]) + 1
        if left < HISTORY_CHARS // 4:
            break
    return _join(found)


def _join(texts: Iterable[str]) -> str:
    return "\n".join(text for text in texts if text)


def _shorten(text: str) -> str:
    if len(text) <= MAX_TURN_CHARS:
        return text
    half = MAX_TURN_CHARS // 2
    return f"{text[:half]}\n\n{text[-half:]}"


def _role(message: Any) -> Any:
    return message.get("role") if isinstance(message, Mapping) else None


def _text_of(message: Any) -> str:
    """Return the text of one message, whatever its shape."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(content, str):
        return content.strip()
    if not isinstance(content, Sequence) or isinstance(content, bytes | bytearray):
        return ""
    return _join(_text_of_part(part) for part in content)


def _text_of_part(part: Any) -> str:
    """Return the text of one content part; empty for images, audio, tool results and anything unknown."""
    if not isinstance(part, Mapping) or part.get("type") != "text":
        return ""
    text = part.get("text")
    return text.strip() if isinstance(text, str) else ""
