"""What the readers of traces share: numbers that are checked, and errors that name the line."""

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from modem.errors import ConfigError

MAX_TOKENS = 10_000_000
"""More tokens than this in one request is a unit mistaken for another."""


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each line that is not empty with its place, ``file:line``.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error}") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield line, f"{path}:{number}"


def seconds(value: Any, name: str, where: str) -> float:
    """Return a time.

    Raises:
        ConfigError: It is no number, not finite or negative.
    """
    number = _number(value, name, where)
    if number < 0:
        raise ConfigError(f"{where}: {name} is {number:g}: times count from the start, so 0 or more")
    return number


def tokens(value: Any, name: str, where: str, least: int = 1) -> int:
    """Return a number of tokens.

    Raises:
        ConfigError: It is no whole number from ``least`` to `MAX_TOKENS`.
    """
    number = _number(value, name, where)
    if number != int(number) or not least <= number <= MAX_TOKENS:
        raise ConfigError(f"{where}: {name} is {number:g}: write a whole number, {least} to {MAX_TOKENS}")
    return int(number)


def domain(value: Any, where: str, known: Collection[str] | None) -> str:
    """Return the name of a domain.

    Raises:
        ConfigError: It is no text, or not among the known ones.
    """
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where}: domain is {value!r}: write the name of a domain")
    if known is not None and value not in known:
        raise ConfigError(f"{where}: domain {value!r} is none of {', '.join(known)}")
    return value


def field(row: dict[str, Any], name: str, where: str, needed: str) -> Any:
    """Return a field of a line.

    Raises:
        ConfigError: It is missing; the message lists what a line needs.
    """
    if name not in row:
        raise ConfigError(f"{where}: {name} is missing; a line has {needed}")
    return row[name]


def _number(value: Any, name: str, where: str) -> float:
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where}: {name} is {value!r}: write a number")
    number = float(value)
    if not math.isfinite(number):
        raise ConfigError(f"{where}: {name} is {value!r}: write a finite number")
    return number


def _parsed(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
