"""How far a starting cluster has come: what ``GET /ready`` says, and Serve itself until that answers."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_S = 5.0
_DASHBOARD = re.compile(r"View the dashboard at\D*?(http://[\w.\[\]:]*?:\d+)")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_SERVE_STATES = {"RUNNING": "up", "DEPLOY_FAILED": "failed", "NOT_STARTED": "waiting"}

# Without a proxy: the environment's is for other hosts.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Part:
    """One application, or the router.

    Attributes:
        name: For people: the domain of an expert, else the application's name.
        state: ``ready``, ``up``, ``starting``, ``waiting``, ``asleep`` or ``failed``.
        reason: Why it failed, if that is known, in one line.
    """

    name: str
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Readiness:
    """What is known at one moment.

    Attributes:
        ready: Requests can be answered.
        parts: All that is known of, in the order of the source.
    """

    ready: bool
    parts: tuple[Part, ...] = ()

    @property
    def failed(self) -> tuple[Part, ...]:
        """The parts that failed."""
        return tuple(part for part in self.parts if part.state == "failed")

    def __str__(self) -> str:
        return ", ".join(f"{part.name} {part.state}" for part in self.parts) or "Ray starting"


def ask_gateway(url: str) -> Readiness | None:
    """Ask ``GET /ready``.

    Returns:
        None while there is no gateway: the connection is refused, or a proxy answers for it.
    """
    answer = _get_json(f"{url}/ready", {})
    if answer is None or "status" not in answer[1]:
        return None
    status, body = answer
    experts = [
        Part(expert.get("domain", name), expert["state"])
        for name, expert in body.get("applications", {}).items()
    ]
    router = body.get("router")
    parts = [*experts, *([Part("router", router["state"])] if router else [])]
    return Readiness(status == 200, tuple(parts))


def ask_serve(log: Path, token: Path) -> Readiness:
    """Ask Serve's controller through Ray's dashboard; needed until, and in case, the gateway fails.

    Args:
        log: Output of ``serve run``, which says where the dashboard is.
        token: File with the cluster's secret.
    """
    found = _DASHBOARD.search(_ANSI.sub("", log.read_text(errors="replace")))
    if found is None:
        return Readiness(False)
    headers = {"Authorization": f"Bearer {token.read_text()}"}
    answer = _get_json(f"{found[1]}/api/serve/applications/", headers)
    if answer is None:
        return Readiness(False)
    applications: Mapping[str, Any] = answer[1].get("applications", {})
    return Readiness(False, tuple(_serve_part(name, state) for name, state in applications.items()))


def _serve_part(name: str, application: Mapping[str, Any]) -> Part:
    state = _SERVE_STATES.get(application["status"], "starting")
    if state != "failed":
        return Part(name, state)
    messages = [deployment.get("message", "") for deployment in application.get("deployments", {}).values()]
    return Part(name, state, _gist([application.get("message", ""), *messages]))


def _gist(messages: list[str]) -> str:
    """Return the last line that names an error, else the last line there is; tracebacks end with it."""
    lines = [line.strip() for message in messages for line in message.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (errors or lines or [""])[-1]


def _get_json(url: str, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]] | None:
    request = urllib.request.Request(url, headers=dict(headers))
    try:
        with _opener.open(request, timeout=TIMEOUT_S) as response:
            status, text = response.status, response.read()
    except urllib.error.HTTPError as error:  # 503 carries the states as well
        with error:
            status, text = error.code, error.read()
    except OSError:
        return None
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return (status, body) if isinstance(body, dict) else None
