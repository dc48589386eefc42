"""Reading JSONL files of people: what is wrong is named by file and line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modem.errors import ConfigError


def read_objects(path: Path, fields: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each line's object with its place, ``file:line``; empty lines are skipped.

    Args:
        path: A UTF-8 file.
        fields: What an object should have, for the message.

    Raises:
        ConfigError: The file cannot be read, or a line is no object.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _object(line, f"{path}:{number}", fields), f"{path}:{number}"


def _object(line: str, where: str, fields: str) -> dict[str, Any]:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: expected an object with {fields}")
    return row
