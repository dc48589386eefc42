"""Reading the user's field out of JSON that a framework put around it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from modem.routing.gist import num_content_words
from modem.routing.parts import Parts

_ASKED = re.compile(
    r"(?:(?:user|customer|client|human|raw|original|input|last)?[ _-]?"
    r"(?:question|query|prompt|input|message|msg|request|text|content|body|utterance|ask|instruction|task|transcript))"
    r"|q|user|human",
    re.IGNORECASE,
)
_TAG = re.compile(r"</?[\w:.-]+(?:\s[^<>]{0,200})?/?>|```\w*")
_LOOSE = re.compile(r"[\"'](?P<key>[\w -]{1,30})[\"']\s*:\s*\"(?P<value>.+?)\"\s*(?=[,}\n]|\Z)", re.DOTALL)

FEW_WORDS = 2
"""So many content words outside the JSON say nothing, whatever is in it."""

MAX_OBJECTS = 20
"""Braces at which an object may begin that are tried."""


def by_fields(text: str) -> Parts:
    """Take the user's words out of a JSON object that is nearly all of a prompt.

    The field is told by its name, or of chat messages the user's last is taken; without a name that tells it,
    the longest text is taken that has some words.

    Args:
        text: Any prompt; one without such an object is returned as it is.
    """
    found = _object(text)
    if found is None:
        return Parts(text)
    content, outside = found
    strings = list(_strings(content))
    asked = [value for name, value in strings if _ASKED.fullmatch(name)]
    asked = asked[-1:] or sorted((value for _, value in strings), key=len)[-1:]
    question = asked[0].strip() if asked else ""
    # Where more is said outside than in it, the JSON is what is asked about.
    num_outside = num_content_words(_TAG.sub(" ", outside))
    said = num_outside <= FEW_WORDS or num_outside < num_content_words(question)
    return Parts(question if question and said else text)


def _object(text: str) -> tuple[Any, str] | None:
    """Return the first JSON object in a text, and what is outside of it."""
    decoder = json.JSONDecoder(strict=False)
    for opening in list(re.finditer(r"\{\s*[\"']", text))[:MAX_OBJECTS]:
        try:
            content, end = decoder.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            continue
        return content, text[: opening.start()] + text[end:]
    return _loose_object(text)


def _loose_object(text: str) -> tuple[Any, str] | None:
    """Return the fields of what was meant as JSON, but was filled in without quoting."""
    if not text.lstrip().startswith("{"):
        return None
    fields = {match["key"]: match["value"] for match in _LOOSE.finditer(text)}
    return (fields, "") if fields else None


def _strings(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the strings of an object with their names; of chat messages only the user's."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        if value.get("role") in ("system", "assistant", "tool"):
            return
        for key, inner in value.items():
            if key != "role":
                yield from _strings(inner, str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner, name)
