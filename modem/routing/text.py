"""What of a conversation the router reads: shared by training, evaluation and serving.

The three must agree, or a router is measured on other texts than it serves.
"""

from collections.abc import Mapping, Sequence
from typing import Any


def routing_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the text to classify: the last user message.

    Content may be a string or a list of parts, of which only those of type ``text`` count;
    several are joined by a line break. Without a user message that has text, the last message
    of any role that has text is taken.

    Args:
        messages: Chat messages in OpenAI's shape. Odd shapes count as messages without text:
            requests are validated elsewhere, and routing must never be what fails.

    Returns:
        The text without surrounding white space; empty if no message has any.
    """
    fallback = ""
    for message in reversed(messages):
        if not isinstance(message, Mapping):
            continue
        text = _text_of(message.get("content"))
        if text and message.get("role") == "user":
            return text
        fallback = fallback or text
    return fallback


def _text_of(content: Any) -> str:
    """Return the text in one message's content, whatever its shape."""
    if isinstance(content, str):
        return content.strip()
    if not isinstance(content, Sequence) or isinstance(content, bytes | bytearray):
        return ""
    texts = (_text_of_part(part) for part in content)
    return "\n".join(text for text in texts if text)


def _text_of_part(part: Any) -> str:
    """Return the text of one content part; empty for images, audio and anything unknown."""
    if not isinstance(part, Mapping) or part.get("type") != "text":
        return ""
    text = part.get("text")
    return text.strip() if isinstance(text, str) else ""
