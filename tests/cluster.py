"""A real Serve cluster for tests and benchmarks: own ports, own folder, nothing left behind."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import yaml

from modem.laptop.environment import LOOPBACK, RunDir, free_ports, serving_environment
from modem.laptop.processes import die_with_parent, has_marker, is_alive

ROOT = Path(__file__).parents[1]
START_TIMEOUT_S = 240.0


class Cluster:
    """``serve run`` of one config.

    Args:
        config: The Serve config; its port is replaced by a free one.
        environment: Variables on top of `serving_environment`.
        optimized: False starts Serve in its default mode, without HAProxy and throughput mode.
    """

    def __init__(
        self, config: Mapping[str, Any], environment: Mapping[str, str] | None = None, optimized: bool = True
    ) -> None:
        self._run = RunDir.create()
        self.port = free_ports(1)
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._environment = dict(environment or {})
        self._optimized = optimized
        self._child: subprocess.Popen[bytes] | None = None
        self._seen: set[psutil.Process] = set()
        self.write(config)

    @property
    def log(self) -> str:
        """What ``serve run`` printed."""
        return self._run.log.read_text(errors="replace") if self._run.log.exists() else ""

    def write(self, config: Mapping[str, Any]) -> None:
        """Write the config file."""
        text = yaml.safe_dump(
            {**config, "http_options": {"host": LOOPBACK, "port": self.port}}, sort_keys=False
        )
        self._config.write_text(text)

    @property
    def _config(self) -> Path:
        return self._run.path / "serve_config.yaml"

    def _serving_environment(self) -> dict[str, str]:
        environment = serving_environment(self._run, {**os.environ, **self._environment})
        environment["PYTHONPATH"] = str(ROOT)  # tests.routers, in the replicas too
        if not self._optimized:
            environment |= {"RAY_SERVE_ENABLE_HA_PROXY": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "0"}
        return environment

    def __enter__(self) -> Self:
        with self._run.log.open("wb") as log:
            self._child = subprocess.Popen(
                [str(Path(sys.executable).with_name("serve")), "run", str(self._config)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._serving_environment(),
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        try:
            self.wait_ready()
        except BaseException:
            print(self.log[-8000:])
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.processes()  # while the tree still hangs together
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(20)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes():
                with contextlib.suppress(psutil.Error):
                    process.send_signal(number)
            psutil.wait_procs(self.processes(), timeout=3)
        remaining = self.processes()
        self._run.remove()
        assert not remaining, f"left behind: {remaining}"

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the gateway says that it is ready."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self._child is not None
            assert self._child.poll() is None, f"serve run ended:\n{self.log[-4000:]}"
            try:
                if httpx.get(f"{self.url}/ready", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.25)
        raise TimeoutError(f"not ready after {timeout_s} s")

    def deploy(self, config: Mapping[str, Any]) -> None:
        """Deploy a changed config to the running cluster, as ``serve deploy`` does."""
        self.write(config)
        address = self.dashboard
        subprocess.run(
            [str(Path(sys.executable).with_name("serve")), "deploy", "-a", address, str(self._config)],
            cwd=ROOT,
            env=self._serving_environment(),
            check=True,
            capture_output=True,
            timeout=120,
        )

    @property
    def dashboard(self) -> str:
        """URL of Ray's dashboard."""
        plain = re.sub(r"\x1b\[[0-9;]*m", "", self.log)
        found = re.search(r"View the dashboard at\D*?(http://[\w.\[\]:]*?:\d+)", plain)
        assert found, plain
        return found.group(1)

    def applications(self) -> dict[str, Any]:
        """Serve's own view of all applications."""
        token = self._run.token.read_text()
        reply = httpx.get(
            f"{self.dashboard}/api/serve/applications/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        reply.raise_for_status()
        applications: dict[str, Any] = reply.json()["applications"]
        return applications

    def replicas(self, application: str, deployment: str = "Expert") -> list[dict[str, Any]]:
        """Running and starting replicas of a deployment: ``replica_id``, ``pid``, ``state`` ..."""
        found: list[dict[str, Any]] = self.applications()[application]["deployments"][deployment]["replicas"]
        return found

    def processes(self) -> list[psutil.Process]:
        """All living processes of this cluster; one seen once is remembered."""
        if self._child is not None and self._child.poll() is None:
            root = psutil.Process(self._child.pid)
            self._seen.update([root, *root.children(recursive=True)])
        self._seen.update(p for p in psutil.process_iter() if has_marker(p, self._run.run_id))
        self._seen = {process for process in self._seen if is_alive(process)}
        return list(self._seen)

    def http_port(self, application: str) -> int:
        """HTTP port of the only replica of an expert."""
        (replica,) = self.replicas(application)
        process = psutil.Process(replica["pid"])
        ports = {c.laddr.port for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
        for port in ports:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://{LOOPBACK}:{port}/health", timeout=2).status_code == 200:
                    return port
        raise AssertionError(f"no HTTP port among {ports}")

    def replica_logs(self, application: str, deployment: str) -> str:
        """What all replicas of a deployment have logged."""
        pattern = f"session_*/logs/serve/replica_{application}_{deployment}_*.log"
        return "".join(path.read_text() for path in (self._run.path / "ray").glob(pattern))

    def controller_log(self) -> str:
        """What Serve's controller has logged: among others the decisions of modem's policies."""
        found = (self._run.path / "ray").glob("session_*/logs/serve/controller_*.log")
        return "".join(path.read_text() for path in found)
