"""``modem route``: where prompts would go, and why, without a cluster."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modem.cli.progress import progress_bar
from modem.cli.router import fail
from modem.errors import ConfigError

if TYPE_CHECKING:
    from modem.config import GatewayConfig, RouterConfig
    from modem.routing.base import Router
    from modem.routing.text import RoutingText
    from modem.types import RouterIdentity, RoutingDecision

_FALLBACK = "other"
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
    try:
        if (text is None) == (input_file is None) or (input_file is None) != (output_file is None):
            raise ConfigError("give a text, or both --input and --output")
        router, gateway = _load(config)
        if input_file is not None and output_file is not None:
            _route_file(input_file, output_file, router, gateway)
            return
    except ConfigError as error:
        fail(error)
    from modem.routing.text import plain_routing_text

    content = sys.stdin.read() if text == "-" else text or ""
    (decision,) = decide_all(router, [plain_routing_text(content)], gateway)
    if as_json:
        typer.echo(json.dumps(_as_json(decision, router.identity, gateway), indent=2))
    else:
        _print(decision, router.identity, gateway)


def decide_all(
    router: "Router", texts: "Sequence[RoutingText]", gateway: "GatewayConfig"
) -> "list[RoutingDecision]":
    """Score and decide as the gateway does."""
    from modem.routing.policy import decide, hear, to_score

    scores = router.score(to_score(texts))
    return [decide(heard, gateway) for heard in hear(texts, scores)]


def _route_file(source: Path, target: Path, router: "Router", gateway: "GatewayConfig") -> None:
    """Decide for each line; what the line held is kept.

    Raises:
        ConfigError: A file cannot be read or written, or a line is wrong; names the line. All lines are
            checked before the first decision.
    """
    rows = _read_rows(source)
    try:
        with target.open("w", encoding="utf-8") as file, progress_bar("routing") as progress:
            for start in range(0, len(rows), _CHUNK):
                chunk = rows[start : start + _CHUNK]
                decisions = decide_all(router, [_routing_text(row) for row in chunk], gateway)
                for row, decision in zip(chunk, decisions, strict=True):
                    file.write(json.dumps({**row, **_fields(decision)}, ensure_ascii=False) + "\n")
                progress(start + len(chunk), len(rows))
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written: {error.strerror}") from error


def _read_rows(source: Path) -> list[dict[str, Any]]:
    try:
        lines = source.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: not UTF-8: {error}") from error
    return [_parse(line, f"{source}:{number}") for number, line in enumerate(lines, 1) if line.strip()]


def _parse(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: expected an object with 'prompt' or 'messages'")
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


def _load(config: Path | None) -> "tuple[Router, GatewayConfig]":
    """Build the router, added domains included, and the settings that decide."""
    from modem.config import RouterConfig
    from modem.routing.added import with_added
    from modem.routing.load import load_router

    if config is None:
        router = load_router(RouterConfig())
        return router, _all_domains(router.domains)
    router_config, gateway = _read(config)
    return with_added(load_router(router_config), gateway.added_domains()), gateway


def _read(config: Path) -> "tuple[RouterConfig, GatewayConfig]":
    """Read the router's settings and the Gateway's from a Serve config file."""
    from modem.serve_config.load import load

    front = load(config).front
    return front.args.router, front.gateway


def _all_domains(domains: tuple[str, ...]) -> "GatewayConfig":
    """Return a configuration in which every domain of the router is served."""
    from modem.config import DomainConfig, GatewayConfig, RoutingPolicyConfig

    # What stands behind a domain plays no part in routing, but a domain cannot be without it.
    expert = {"description": "-", "application": "-", "base_model": "-", "context_length_tokens": 1}
    return GatewayConfig(
        domains={domain: DomainConfig.model_validate(expert) for domain in domains},
        routing=RoutingPolicyConfig(fallback=_FALLBACK if _FALLBACK in domains else domains[0]),
    )


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
