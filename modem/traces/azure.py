"""Azure's LLM inference traces of 2023 (github.com/Azure/AzurePublicDataset; Splitwise, ISCA 2024).

CSV with the header ``TIMESTAMP,ContextTokens,GeneratedTokens``; stamps have seven digits after the second.
"""

from datetime import datetime
from pathlib import Path

from modem.errors import ConfigError
from modem.traces.lines import read_lines, tokens
from modem.traces.trace import ANY_DOMAIN, Trace, columns

HEADER = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


def read(path: Path) -> Trace:
    """Read a trace; it has no domains, and its first request is at 0 s.

    Raises:
        ConfigError: The file cannot be read, has no request, or a line is wrong.
    """
    lines = read_lines(path)
    _check_header(next(lines, ("", f"{path}:1")))
    times, prompts, outputs = [], [], []
    for line, where in lines:
        cells = line.split(",")
        if len(cells) != len(HEADER):
            raise ConfigError(f"{where}: {len(cells)} columns; a line has {','.join(HEADER)}")
        times.append(_time(cells[0], where))
        prompts.append(tokens(cells[1], HEADER[1], where))
        outputs.append(tokens(cells[2], HEADER[2], where))
    if not times:
        raise ConfigError(f"{path}: no request in it")
    first = min(times)
    t_s = [(time - first).total_seconds() for time in times]
    return columns((ANY_DOMAIN,), t_s, [0] * len(t_s), prompts, outputs, (), None, path.name)


def _check_header(first: tuple[str, str]) -> None:
    line, where = first
    if tuple(line.strip().split(",")) != HEADER:
        raise ConfigError(f"{where}: the header is {line.strip()!r}; write {','.join(HEADER)}")


def _time(text: str, where: str) -> datetime:
    # Python reads six digits of a second at most.
    whole, dot, fraction = text.strip().partition(".")
    try:
        return datetime.fromisoformat(f"{whole}{dot}{fraction[:6]}")
    except ValueError as error:
        raise ConfigError(f"{where}: TIMESTAMP is {text!r}: write 2023-11-16 18:15:46.6805900") from error
