"""Changing a YAML text in place: where a value stands, and whether a change meant what it should."""

from collections.abc import Callable
from typing import Any

import yaml

from modem.serve_config.problems import Path

Pair = tuple[Any, Any]
"""The nodes of a key and its value; None for the key of the top of the file and of list items."""


class OddError(Exception):
    """The file is written in a way that is not changed here."""


def changed(text: str, change: Callable[[str], str], expect: Callable[[Any], None]) -> str | None:
    """Return a changed text; None if its place is written too oddly for that, as through an alias.

    Args:
        text: A YAML file's content.
        change: Returns the changed one; an `OddError`, or a place that is not there, is a None.
        expect: Makes the same change to what the text means, in place. The changed text has to mean that.
    """
    try:
        done = change(text)
        # What an alias repeats is one object; copied, a change of it is seen in one place only.
        meant = _parted(yaml.safe_load(text))
        expect(meant)
        return done if yaml.safe_load(done) == meant else None
    except (yaml.YAMLError, OddError, LookupError, TypeError, ValueError):
        return None


def compose(text: str) -> Any:
    """Return the top node of a YAML text."""
    return yaml.compose(text, Loader=yaml.SafeLoader)


def child(node: Any, part: str | int) -> Pair | None:
    """Return an item of a list, or a key of a mapping with its value; None for a key that is not there.

    Raises:
        OddError: The node is neither.
        LookupError: The list is shorter.
    """
    if isinstance(part, int) and isinstance(node, yaml.SequenceNode):
        return None, node.value[part]
    if not isinstance(node, yaml.MappingNode):
        raise OddError
    return next((pair for pair in node.value if pair[0].value == part), None)


def at(content: Any, path: Path) -> Any:
    """Return what stands at a path of a file's content.

    Raises:
        LookupError: Nothing does.
    """
    for part in path:
        content = content[part]
    return content


def newline_of(text: str) -> str:
    """Return how the text's lines end."""
    return "\r\n" if "\r\n" in text else "\n"


def _parted(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _parted(value) for key, value in node.items()}
    return [_parted(item) for item in node] if isinstance(node, list) else node
