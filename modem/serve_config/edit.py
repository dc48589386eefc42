"""Changing numbers in a YAML file that people keep: every other byte stays as it is."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modem.errors import ConfigError
from modem.serve_config.nodes import OddError, Pair, at, changed, child, compose, newline_of
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
    *above, last = path

    def change(now: str) -> str:
        for key, number in numbers.items():
            now = _set(now, path, key, number, reason)
        return now

    def expect(content: Any) -> None:
        parent = at(content, tuple(above))
        parent[last] = {**(parent.get(last) or {}), **numbers}

    done = changed(text, change, expect)
    if done is None:
        by_hand = ", ".join(f"{key}: {number:g}" for key, number in numbers.items())
        raise ConfigError(f"{render(path)} cannot be changed in place; write there by hand: {by_hand}")
    return done


def _set(text: str, path: Path, key: str, number: float, reason: str) -> str:
    nodes = list(_down(compose(text), path))
    entry = f"{key}: {number:g}"
    if len(nodes) == len(path):  # the last key is missing
        lines = (f"{path[-1]}:", f"{_INDENT}# {reason}", f"{_INDENT}{entry}")
        return _insert(text, nodes[-1], lines, f"{path[-1]}: {{{entry}}}")
    pair = child(nodes[-1][1], key)
    if pair is None:
        return _insert(text, nodes[-1], (f"# {reason}", entry), entry)
    start, end = pair[1].start_mark.index, pair[1].end_mark.index
    return text[:start] + f"{number:g}" + text[end:]


def _down(top: Any, path: Path) -> Iterator[Pair]:
    """Yield the node at each step of a path, from the top; ends early where the last key is missing."""
    pair: Pair = (None, top)
    yield pair
    for depth, part in enumerate(path):
        found = child(pair[1], part)
        if found is None and depth == len(path) - 1:
            return
        if found is None:
            raise OddError
        pair = found
        yield pair


def _insert(text: str, at: Pair, lines: Sequence[str], entry: str) -> str:
    """Write something as the first of a mapping: lines in block style, an entry in flow style."""
    key, mapping = at
    if key is None or not mapping.value:
        raise OddError
    first = mapping.value[0][0].start_mark
    if mapping.flow_style:
        return f"{text[: first.index]}{entry}, {text[first.index :]}"
    if first.line <= key.end_mark.line:
        raise OddError
    # Right below the parent's key, above the comment that belongs to the first key.
    end = text.index("\n", key.end_mark.index) + 1
    newline = newline_of(text)
    return text[:end] + "".join(" " * first.column + line + newline for line in lines) + text[end:]
