"""``modem route``: where prompts would go, and why, without a cluster."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modem.cli.progress import progress_bar
from modem.cli.router import fail
from modem.errors import ConfigError

if TYPE_CHECKING:
    from modem.config import GatewayConfig
    from modem.routing.base import Router
    from modem.routing.text import RoutingText
    from modem.types import RouterIdentity, RoutingDecision

_CHUNK = 64
"""Lines between two steps of the progress bar."""


def route(
    text: Annotated[str | None, typer.Argument(help="The prompt; '-' reads it from stdin.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A Serve config file, for its router, domains and thresholds.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")] = False,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="JSONL with 'prompt' or 'messages' in each line.")
    ] = None,
    output_file: Annotated[
        Path | None, typer.Option("--output", help="JSONL to write: the input's fields and the decision.")
    ] = None,
) -> None:
    """Show the scores of a text and the domain that would answer it, or decide for a file of prompts.

    Without --config: the shipped router, all its domains and the default thresholds.

    Exit status: 0 done, 2 the configuration or the input is wrong.
    """
    from modem.evaluation.measure import decide_all
    from modem.evaluation.target import load_target
    from modem.routing.text import plain_routing_text

    try:
        if (text is None) == (input_file is None) or (input_file is None) != (output_file is None):
            raise ConfigError("give a text, or both --input and --output")
        router, gateway = load_target(config, None, None)
        if input_file is not None and output_file is not None:
            _route_file(input_file, output_file, router, gateway)
            return
    except ConfigError as error:
        fail(error)
    content = sys.stdin.read() if text == "-" else text or ""
    _, (decision,) = decide_all([plain_routing_text(content)], router, gateway)
    if as_json:
        typer.echo(json.dumps(_as_json(decision, router.identity, gateway), indent=2))
    else:
        _print(decision, router.identity, gateway)


def _route_file(source: Path, target: Path, router: "Router", gateway: "GatewayConfig") -> None:
    """Decide for each line; what the line held is kept.

    Raises:
        ConfigError: A file cannot be read or written, or a line is wrong; names the line. All lines are
            checked before the first decision.
    """
    from modem.evaluation.measure import decide_all
    from modem.jsonl import read_objects

    rows = [_checked(row, where) for row, where in read_objects(source, "'prompt' or 'messages'")]
    try:
        with target.open("w", encoding="utf-8") as file, progress_bar("routing") as progress:
            for start in range(0, len(rows), _CHUNK):
                chunk = rows[start : start + _CHUNK]
                _, decisions = decide_all([_routing_text(row) for row in chunk], router, gateway)
                for row, decision in zip(chunk, decisions, strict=True):
                    file.write(json.dumps({**row, **_fields(decision)}, ensure_ascii=False) + "\n")
                progress(start + len(chunk), len(rows))
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written: {error.strerror}") from error


def _checked(row: dict[str, Any], where: str) -> dict[str, Any]:
    if isinstance(row.get("messages"), list) or isinstance(row.get("prompt"), str):
        return row
    raise ConfigError(f"{where}: needs 'prompt' (a string) or 'messages' (a list)")


def _routing_text(row: dict[str, Any]) -> "RoutingText":
    from modem.routing.text import plain_routing_text, routing_text

    if isinstance(row.get("messages"), list):
        return routing_text(row["messages"])
    return plain_routing_text(row["prompt"])


def _fields(decision: "RoutingDecision") -> dict[str, object]:
    return {
        "domain": decision.domain,
        "reason": decision.reason,
        "confidence": decision.confidence,
        "scores": dict(decision.scores.scores) if decision.scores else None,
    }


def _as_json(
    decision: "RoutingDecision", identity: "RouterIdentity", gateway: "GatewayConfig"
) -> dict[str, object]:
    return {
        "domain": decision.domain,
        "reason": decision.reason,
        "confidence": decision.confidence,
        "threshold": gateway.routing.threshold,
        "scores": dict(decision.scores.scores) if decision.scores else None,
        "router": dataclasses.asdict(identity),
    }


def _print(decision: "RoutingDecision", identity: "RouterIdentity", gateway: "GatewayConfig") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("domain", "probability", "")
    scores = decision.scores.scores if decision.scores else {}
    for domain, score in sorted(scores.items(), key=lambda item: (-item[1], item[0])):
        note = "answers" if domain == decision.domain else "" if domain in gateway.domains else "not served"
        table.add_row(domain, f"{score:.3f}", note)
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{decision.domain}: {decision.reason} (threshold {gateway.routing.threshold:g}, "
        f"fallback {gateway.routing.fallback}), by {identity.name} {identity.version}"
    )
