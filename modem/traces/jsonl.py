"""Our own format: one JSON object a line, ``t_s, domain, prompt_tokens, output_tokens[, session]``."""

import json
from collections.abc import Collection
from pathlib import Path

from modem.errors import ConfigError
from modem.jsonl import read_objects
from modem.traces.lines import domain, field, seconds, tokens
from modem.traces.trace import ANY_DOMAIN, Arrival, Trace

FIELDS = "t_s, prompt_tokens, output_tokens, and domain and session if there are any"


def read(path: Path, known: Collection[str] | None = None) -> Trace:
    """Read a trace; lines may stand in any order.

    Args:
        path: The file.
        known: The domains that may occur; None for any. Lines without a domain are of `ANY_DOMAIN`.

    Raises:
        ConfigError: The file cannot be read, has no request, or a line is wrong; named by file and line.
    """
    rows = []
    for row, where in read_objects(path, FIELDS):
        session = row.get("session")
        if session is not None and not isinstance(session, str):
            raise ConfigError(f"{where}: session is {session!r}: write a text")
        rows.append(
            Arrival(
                seconds(field(row, "t_s", where, FIELDS), "t_s", where),
                domain(row["domain"], where, known) if "domain" in row else ANY_DOMAIN,
                tokens(field(row, "prompt_tokens", where, FIELDS), "prompt_tokens", where),
                tokens(field(row, "output_tokens", where, FIELDS), "output_tokens", where),
                session,
            )
        )
    if not rows:
        raise ConfigError(f"{path}: no request in it")
    return Trace.of(rows, origin=path.name)


def write(path: Path, trace: Trace) -> None:
    """Write a trace; what `read` reads back is equal to it.

    Raises:
        ConfigError: The file cannot be written.
    """
    lines = []
    for row in trace:
        fields: dict[str, object] = {"t_s": row.t_s}
        if row.domain != ANY_DOMAIN:
            fields["domain"] = row.domain
        fields |= {"prompt_tokens": row.prompt_tokens, "output_tokens": row.output_tokens}
        if row.session is not None:
            fields["session"] = row.session
        lines.append(json.dumps(fields, ensure_ascii=False) + "\n")
    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
