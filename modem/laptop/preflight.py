"""What can be known to go wrong before anything starts: said at once, in one line, with the remedy."""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from modem.errors import ConfigError
from modem.laptop import models
from modem.laptop.environment import LOOPBACK, port_is_free

GIB = 1024**3
BASE_BYTES = int(1.5 * GIB)
"""Ray, Serve, the gateway and the router; measured, rounded up."""
ENGINE_BYTES = int(2.5 * GIB)
"""One vLLM engine on the CPU with a small model and 1 GiB of KV cache; measured, rounded up."""

DEFAULT_PORT = 8000
WILDCARDS = ("0.0.0.0", "::", "")


@dataclass(frozen=True)
class Plan:
    """What a Serve config file is going to start, as far as the start depends on it.

    Attributes:
        config: The file.
        host: Address that the gateway binds to.
        port: Its TCP port.
        applications: Names of all applications.
        models: ``modem://`` sources, each once.
        num_engines: Applications with a real engine.
        num_warm_engines: Those of them that have a replica from the start.
    """

    config: Path
    host: str
    port: int
    applications: tuple[str, ...]
    models: tuple[str, ...]
    num_engines: int
    num_warm_engines: int

    @property
    def url(self) -> str:
        """Where this machine reaches the gateway."""
        host = LOOPBACK if self.host in WILDCARDS else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def read_plan(config: Path) -> Plan:
    """Check a Serve config file and read from it what the start depends on.

    Raises:
        ConfigError: The file is missing or wrong; one line for each problem.
    """
    from modem.serve_config.check import check_file  # half a second: not for every command

    if not config.is_file():
        raise ConfigError(f"{config}: no such file; give the path of a Serve config file")
    try:
        problems = check_file(config)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{config}: cannot be read: {error}") from error
    if problems:
        lines = (f"{each.file}: {each.path}: {each.message} {each.remedy}" for each in problems)
        raise ConfigError("\n".join(" ".join(line.split()) for line in lines))
    return plan_of(config, yaml.safe_load(config.read_text(encoding="utf-8")))


def plan_of(config: Path, document: Mapping[str, Any]) -> Plan:
    """Read the plan from the contents of a checked file."""
    http = document.get("http_options") or {}
    applications = document["applications"]
    engines = [application for application in applications if _sources(application)]
    sources = {source for application in engines for source in _sources(application)}
    return Plan(
        config=config,
        host=http.get("host", "0.0.0.0"),
        port=http.get("port", DEFAULT_PORT),
        applications=tuple(application["name"] for application in applications),
        models=tuple(sorted(source for source in sources if source.startswith(models.SCHEME))),
        num_engines=len(engines),
        num_warm_engines=sum(_is_warm(application) for application in engines),
    )


def _sources(application: Mapping[str, Any]) -> set[str]:
    """Return the model sources of an application; only those with a real engine have any."""
    return set(_values_of("model_source", application.get("args")))


def _values_of(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get(key), str):
            yield value[key]
        for inner in value.values():
            yield from _values_of(key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _values_of(key, inner)


def _is_warm(application: Mapping[str, Any]) -> bool:
    """Say whether any deployment has a replica from the start; Serve's default is one."""
    deployments = application.get("deployments") or [{}]
    return any(_initial_replicas(deployment) > 0 for deployment in deployments)


def _initial_replicas(deployment: Mapping[str, Any]) -> int:
    scaling = deployment.get("autoscaling_config")
    if scaling is None:
        number = deployment.get("num_replicas", 1)
        return number if isinstance(number, int) else 1
    return int(scaling.get("initial_replicas") or scaling.get("min_replicas", 1))


def check_machine(plan: Plan) -> list[str]:
    """Check port, memory and models.

    Returns:
        Warnings: the start goes ahead, but not all of the plan may fit.

    Raises:
        ConfigError: The start cannot succeed.
    """
    check_port(plan)
    for source in plan.models:
        model = models.known_model(source)
        if not models.is_prepared(model):
            models.find_gguf(model)
    return check_memory(plan, psutil.virtual_memory().available)


def check_port(plan: Plan) -> None:
    """Make sure that nobody else answers on the gateway's port.

    Two looks, because either alone misses a case: a server that listens on another address of
    the machine can be connected to, one that does not answer can only be felt by binding.

    Raises:
        ConfigError: The port is taken; the message says by whom if the system tells.
    """
    host = "" if plan.host in WILDCARDS else plan.host
    if not _answers(host or LOOPBACK, plan.port) and port_is_free(host, plan.port):
        return
    raise ConfigError(
        f"port {plan.port} is taken{_listener(plan.port)}; stop that program or change "
        f"http_options.port in {plan.config}"
    )


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def _listener(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1] == port
            if listens and connection.pid is not None:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        return ""  # other users' processes are not ours to see
    return ""


def check_memory(plan: Plan, available_bytes: int) -> list[str]:
    """Compare the memory that is free with what the plan needs.

    Returns:
        A warning if the warm experts fit, but not all of them.

    Raises:
        ConfigError: Not even the warm ones fit.
    """
    warm_bytes = BASE_BYTES + plan.num_warm_engines * ENGINE_BYTES
    all_bytes = BASE_BYTES + plan.num_engines * ENGINE_BYTES
    available = f"{available_bytes / GIB:.1f} GiB of memory are available"
    if available_bytes < warm_bytes:
        raise ConfigError(
            f"{available}, the start needs {warm_bytes / GIB:.1f} GiB ({plan.num_warm_engines} warm "
            "experts); close other programs, or keep fewer experts warm (min_replicas: 0)"
        )
    if available_bytes < all_bytes:
        return [
            f"{available}, all {plan.num_engines} experts at once would need {all_bytes / GIB:.1f} GiB: "
            "the last ones to wake may fail"
        ]
    return []
