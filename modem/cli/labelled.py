"""Labelled prompts for the commands that choose settings and try domains: read, and heard as in service."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modem.errors import ConfigError

if TYPE_CHECKING:
    from modem.config import GatewayConfig
    from modem.evaluation.sets import Case
    from modem.routing.base import Router
    from modem.routing.policy import Heard

_CHUNK = 64
"""Cases between two steps of a progress bar."""


def read_cases(paths: Sequence[Path]) -> "list[Case]":
    """Read files and folders of labelled prompts and conversations.

    Raises:
        ConfigError: Nothing is there to read, or a line is wrong; names file and line.
    """
    from modem.evaluation.sets import read_sets

    return [case for path in paths for found in read_sets(path) for case in found.cases]


def hear_cases(
    routers: "Sequence[Router]", cases: "Sequence[Case]", progress: Callable[[int, int], None]
) -> "list[list[Heard]]":
    """Have routers score each case, its history included, as the gateway does.

    Returns:
        For each router what it heard. Those that share a model run it once a text, if it keeps the latest.
    """
    from modem.routing.policy import hear, to_score

    heard: list[list[Heard]] = [[] for _ in routers]
    for start in range(0, len(cases), _CHUNK):
        texts = [case.routed() for case in cases[start : start + _CHUNK]]
        for router, found in zip(routers, heard, strict=True):
            found += hear(texts, router.score(to_score(texts)))
        progress(min(start + _CHUNK, len(cases)), len(cases))
    return heard


def accepted_domains(
    cases: "Sequence[Case]", gateway: "GatewayConfig", router: "Router"
) -> list[tuple[str, ...]]:
    """Return the configured domains that are right for each case.

    What the router knows and the configuration does not serve is the fallback's.

    Raises:
        ConfigError: A case has a domain that nobody knows; names file and line.
    """
    from modem.evaluation.measure import accepted_by

    return [
        tuple(_served(domain, case, gateway, router) for domain in accepted)
        for case, accepted in zip(cases, accepted_by(cases, gateway), strict=True)
    ]


def _served(domain: str, case: "Case", gateway: "GatewayConfig", router: "Router") -> str:
    if domain in gateway.domains:
        return domain
    if domain in router.domains:
        return gateway.routing.fallback
    known = ", ".join(sorted({*gateway.domains, *router.domains}))
    raise ConfigError(f"{case.where}: nobody knows the domain {domain!r}; known are {known}")
