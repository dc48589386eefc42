"""A server with a record and runs of the real load generator against it; for `benchmarks.loadtest`."""

import resource
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil
import yaml

from benchmarks.loadtest_server import MODEL, Served
from modem.laptop.environment import free_ports
from modem.laptop.processes import die_with_parent
from modem.load.record import Record
from modem.load.run import Run, read_run

START_TIMEOUT_S = 60.0
_MODEM = "from modem.cli.main import app; app(prog_name='modem')"
_NOT_CERTIFIED = 3


@dataclass(frozen=True, slots=True)
class Server:
    """The simulated expert.

    Attributes:
        url: Where it listens.
        process: Its own.
    """

    url: str
    process: psutil.Process


@contextmanager
def serving(ttft_s: float, tpot_s: float) -> Iterator[Server]:
    """Start the server in a process of its own; stop it at the end.

    Raises:
        SystemExit: It does not answer.
    """
    port = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    options = ["--port", str(port), "--ttft-s", str(ttft_s), "--tpot-s", str(tpot_s)]
    command = [sys.executable, "-m", "benchmarks.loadtest_server", *options]
    server = subprocess.Popen(command, preexec_fn=die_with_parent)
    try:
        _await(server, url)
        yield Server(url, psutil.Process(server.pid))
    finally:
        server.terminate()
        server.wait()


def recorded(url: str) -> list[Served]:
    """Return what the server has recorded since the last time."""
    with urllib.request.urlopen(f"{url}/recorded") as reply:
        return [Served(**msgspec.json.decode(line)) for line in reply.read().splitlines()]


def load(url: str, folder: Path, fields: Mapping[str, Any]) -> Run:
    """Run ``modem load run`` with one worker; return what it recorded.

    Args:
        url: Of the server.
        folder: For the run; its name is part of the request ids.
        fields: Of the scenario.

    Raises:
        SystemExit: It failed. A run that is not certified has not failed.
    """
    scenario = folder.with_suffix(".yaml")
    pinned = {"pinned": True, "mix": f"{MODEL}=1"}
    scenario.write_text(yaml.safe_dump({**pinned, **fields}), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _MODEM, "load", "run", str(scenario), "--host", url, "--out", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, _NOT_CERTIFIED):
        raise SystemExit(f"modem load run failed ({done.returncode}):\n{done.stderr}{done.stdout}")
    return read_run(folder)


def records(run: Run) -> list[Record]:
    """Return the run's single requests."""
    lines = (run.folder / "requests.jsonl").read_bytes().splitlines()
    return [Record.from_json(line) for line in lines]


class Others:
    """What the machine did besides: the figures are worth what it leaves.

    Args:
        server: Is not among the others, nor are this process's children.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._since_s, self._since_others_s = time.monotonic(), self._others_s()

    def cores(self) -> float:
        """Return how many cores others kept busy since this was made, in the mean."""
        return (self._others_s() - self._since_others_s) / (time.monotonic() - self._since_s)

    def _others_s(self) -> float:
        machine = psutil.cpu_times()
        busy_s = machine.user + machine.nice + machine.system + machine.irq + machine.softirq + machine.steal
        server, own = self._server.process.cpu_times(), resource.getrusage(resource.RUSAGE_CHILDREN)
        return busy_s - server.user - server.system - own.ru_utime - own.ru_stime


def _await(server: "subprocess.Popen[bytes]", url: str) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit("the simulated expert did not start")
