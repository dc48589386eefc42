"""Changing values of a YAML file that people keep: every other byte stays as it is.

Values that stand there are replaced where they stand, missing ones get lines of their own. What the changed
file means is compared with what it should mean, so a file that is written too oddly for this (with an alias
for the mapping, say) is refused instead of spoiled. `modem.serve_config.edit` does the same for numbers.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from modem.errors import ConfigError
from modem.serve_config.nodes import OddError, at, changed, child, compose, newline_of
from modem.serve_config.problems import Path, render

Scalar = int | float | str


def set_values(text: str, path: Path, values: Mapping[str, Any], file: str, reason: str) -> str:
    """Return a YAML text with values set in one mapping that is there and not empty.

    Args:
        text: A YAML file's content, with any kind of line ends.
        path: The mapping.
        values: Numbers, texts and mappings of them, by key.
        file: The file's name, for messages.
        reason: Why a new line is there, as a comment above it.

    Raises:
        ConfigError: The place is written in a way that cannot be changed without changing more; says what to
            write by hand.
    """

    def change(now: str) -> str:
        for key, value in values.items():
            now = _set(now, path, key, value, reason)
        return now

    done = changed(text, change, lambda content: at(content, path).update(values))
    if done is None:
        by_hand = yaml.safe_dump(dict(values), sort_keys=False)
        raise ConfigError(
            f"{file}: {render(path)} cannot be changed in place; write there by hand:\n{by_hand}"
        )
    return done


def remove_key(text: str, path: Path, key: str, file: str, reason: str) -> str:
    """Return a YAML text without a key of a mapping, and without a comment above it that says the reason.

    Raises:
        ConfigError: As `set_values`.
    """
    done = changed(
        text, lambda text: _removed(text, path, key, reason), lambda content: _delete(content, path, key)
    )
    if done is None:
        raise ConfigError(f"{file}: {render((*path, key))} cannot be removed in place; remove it by hand")
    return done


def _delete(content: Any, path: Path, key: str) -> None:
    del at(content, path)[key]


def _removed(text: str, path: Path, key: str, reason: str) -> str:
    mapping = _down(compose(text), path)
    pair = child(mapping, key)
    if pair is None:
        raise OddError
    start = text.rindex("\n", 0, pair[0].start_mark.index) + 1
    if mapping.flow_style or text[start : pair[0].start_mark.index].strip() or len(mapping.value) < 2:
        raise OddError
    above = text.rfind("\n", 0, start - 1) + 1
    start = above if text[above:start].strip() == f"# {reason}" else start
    return text[:start] + text[_line_end(text, _end(pair[1])) :].lstrip("\r").removeprefix("\n")


def _set(text: str, path: Path, key: str, value: Any, reason: str) -> str:
    mapping = _down(compose(text), path)
    pair = child(mapping, key)
    newline = newline_of(text)
    if mapping.flow_style:
        entry = f"{key}: {_flow(value)}"
        if pair is None:
            at = mapping.value[0][0].start_mark.index
            return f"{text[:at]}{entry}, {text[at:]}"
        return text[: pair[0].start_mark.index] + entry + text[pair[1].end_mark.index :]
    if pair is not None and not isinstance(value, Mapping) and isinstance(pair[1], yaml.ScalarNode):
        return text[: pair[1].start_mark.index] + _flow(value) + text[pair[1].end_mark.index :]
    lines = _block(key, value)
    if pair is not None:
        column = pair[0].start_mark.column
        start, end = pair[0].start_mark.index, _end(pair[1])
        return text[:start] + f"{newline}{' ' * column}".join(lines) + text[end:]
    last_key, last_value = mapping.value[-1]
    column, end = last_key.start_mark.column, _line_end(text, _end(last_value))
    added = "".join(f"{newline}{' ' * column}{line}" for line in (f"# {reason}", *lines))
    return text[:end] + added + text[end:]


def _down(node: Any, path: Path) -> yaml.MappingNode:
    for part in path:
        pair = child(node, part)
        if pair is None:
            raise OddError
        node = pair[1]
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise OddError
    return node


def _end(node: Any) -> int:
    """Return where a value ends; the mark of a block mapping lies behind the comments that follow it."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    index: int = node.end_mark.index
    return index


def _line_end(text: str, index: int) -> int:
    """Return the end of a line, a comment behind its value included."""
    end = text.find("\n", index)
    end = len(text) if end < 0 else end
    return end - 1 if text[end - 1 : end] == "\r" else end


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, str):
        # In quotes: a text with a colon in it is no text within braces.
        return f'"{value}"' if ":" in value else value
    return _number(value)


def _number(value: Scalar) -> str:
    """Write a number so that YAML 1.1 reads it as one: 1e+06 is a text to it."""
    text = f"{value:.10g}"
    if "e" in text:
        return f"{value:.12f}".rstrip("0").rstrip(".")
    return text


def _block(key: str, value: Any) -> list[str]:
    if not isinstance(value, Mapping):
        return [f"{key}: {_flow(value)}"]
    lines = [f"{key}:"]
    for name, inner in value.items():
        lines += [f"  {line}" for line in _block(str(name), inner)]
    return lines
