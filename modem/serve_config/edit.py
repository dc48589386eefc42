"""Changing numbers in a YAML file that people keep: every other byte stays as it is."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from modem.errors import ConfigError
from modem.serve_config.problems import Path, render

_INDENT = "  "


def set_numbers(text: str, path: Path, numbers: Mapping[str, float], reason: str) -> str:
    """Return a YAML text with numbers set in one mapping.

    A number that stands there is replaced where it stands. One that does not gets a line of its own, with
    the reason as a comment above it.

    Args:
        text: A YAML file's content, with any kind of line ends.
        path: The mapping; its last key may be missing, its parent may not.
        numbers: Values by key.
        reason: Why a new line is there, in a few words.

    Raises:
        ConfigError: The place is written in a way that cannot be changed without changing more, such as
            through an alias; says what to write by hand.
    """
    changed = text
    try:
        for key, number in numbers.items():
            changed = _set(changed, path, key, number, reason)
        done = yaml.safe_load(changed) == _expected(text, path, numbers)
    except (yaml.YAMLError, _OddError, LookupError, TypeError):
        done = False
    if not done:
        by_hand = ", ".join(f"{key}: {number:g}" for key, number in numbers.items())
        raise ConfigError(f"{render(path)} cannot be changed in place; write there by hand: {by_hand}")
    return changed


class _OddError(Exception):
    """The file is written in a way that this module does not change."""


def _expected(text: str, path: Path, numbers: Mapping[str, float]) -> Any:
    """Return what the changed file is to mean."""
    # A value that an alias repeats is one object; this parts it, so that a change is seen here only.
    content = _parted(yaml.safe_load(text))
    *above, last = path
    node = content
    for part in above:
        node = node[part]
    node[last] = {**(node.get(last) or {}), **numbers}
    return content


def _parted(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _parted(value) for key, value in node.items()}
    return [_parted(item) for item in node] if isinstance(node, list) else node


def _set(text: str, path: Path, key: str, number: float, reason: str) -> str:
    nodes = list(_down(yaml.compose(text, Loader=yaml.SafeLoader), path))
    entry = f"{key}: {number:g}"
    if len(nodes) == len(path):  # the last key is missing
        lines = (f"{path[-1]}:", f"{_INDENT}# {reason}", f"{_INDENT}{entry}")
        return _insert(text, nodes[-1], lines, f"{path[-1]}: {{{entry}}}")
    pair = _pair(nodes[-1][1], key)
    if pair is None:
        return _insert(text, nodes[-1], (f"# {reason}", entry), entry)
    start, end = pair[1].start_mark.index, pair[1].end_mark.index
    return text[:start] + f"{number:g}" + text[end:]


Pair = tuple[yaml.Node | None, Any]
"""A key and its value; None for the key of the top of the file and of list items."""


def _down(top: Any, path: Path) -> Iterator[Pair]:
    """Yield the node at each step of a path, from the top; ends early where the last key is missing."""
    pair: Pair = (None, top)
    yield pair
    for depth, part in enumerate(path):
        node = pair[1]
        if isinstance(part, int):
            pair = (None, node.value[part])
        else:
            found = _pair(node, part)
            if found is None and depth == len(path) - 1:
                return
            if found is None:
                raise _OddError
            pair = found
        yield pair


def _pair(node: Any, key: str) -> Pair | None:
    if not isinstance(node, yaml.MappingNode):
        raise _OddError
    return next((pair for pair in node.value if pair[0].value == key), None)


def _insert(text: str, at: Pair, lines: Sequence[str], entry: str) -> str:
    """Write something as the first of a mapping: lines in block style, an entry in flow style."""
    key, mapping = at
    if key is None or not mapping.value:
        raise _OddError
    first = mapping.value[0][0].start_mark
    if mapping.flow_style:
        return f"{text[: first.index]}{entry}, {text[first.index :]}"
    if first.line <= key.end_mark.line:
        raise _OddError
    # Right below the parent's key, above the comment that belongs to the first key.
    end = text.index("\n", key.end_mark.index) + 1
    newline = "\r\n" if "\r\n" in text else "\n"
    return text[:end] + "".join(" " * first.column + line + newline for line in lines) + text[end:]
