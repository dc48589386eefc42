"""``modem route``: where a text would go, and why, without a cluster."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modem.cli.router import fail
from modem.errors import ConfigError

if TYPE_CHECKING:
    from modem.config import GatewayConfig, RouterConfig
    from modem.types import RouterIdentity, RoutingDecision

_FALLBACK = "other"


def route(
    text: Annotated[str, typer.Argument(help="The prompt; '-' reads it from stdin.")],
    config: Annotated[
        Path | None, typer.Option(help="A Serve config file, for its router, domains and threshold.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")] = False,
) -> None:
    """Show the scores of a text and the domain that would answer it.

    Without --config: the shipped router, all its domains and the default threshold.

    Exit status: 0 done, 2 the configuration is wrong.
    """
    from modem.config import RouterConfig
    from modem.routing.load import load_router
    from modem.routing.policy import decide
    from modem.routing.text import routing_text

    try:
        router_config, gateway = _read(config) if config is not None else (RouterConfig(), None)
        router = load_router(router_config)
    except ConfigError as error:
        fail(error)
    gateway = gateway or _all_domains(router.domains)
    content = sys.stdin.read() if text == "-" else text
    scores = router.score([routing_text([{"role": "user", "content": content}])])[0]
    decision = decide(scores, gateway)
    if as_json:
        typer.echo(json.dumps(_as_json(decision, router.identity, gateway), indent=2))
    else:
        _print(decision, router.identity, gateway)


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
