"""``modem up`` on a real Ray cluster with simulated experts: it starts, answers, and leaves nothing."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from modem.laptop.environment import free_ports, port_is_free
from modem.laptop.processes import RUN_ID_VARIABLE, has_marker, is_alive
from tests.builders import ASLEEP, expert, front, mixture
from tests.unit.laptop.listener import listening

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 60.0
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


class Up:
    """A ``modem up`` process and the means to look at what it started."""

    def __init__(self, config: Path, *options: str) -> None:
        self._out = config.with_name("out").open("w+")
        self._err = config.with_name("err").open("w+")
        self.process = subprocess.Popen(
            [str(Path(sys.executable).with_name("modem")), "up", str(config), *options],
            env={**os.environ, "PYTHONPATH": str(ROOT)},  # tests.routers, in the replicas too
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
        )
        self.seen: set[psutil.Process] = set()
        self.run_id = ""

    @property
    def out(self) -> str:
        return Path(self._out.name).read_text()

    @property
    def err(self) -> str:
        return Path(self._err.name).read_text()

    @property
    def run_dir(self) -> Path:
        found = re.search(r"^log: (\S+)/serve.log", self.err, re.MULTILINE)
        assert found, self.err
        return Path(found[1])

    def look(self) -> set[psutil.Process]:
        """Note every descendant, also those that renamed themselves and so lost the marker."""
        with contextlib.suppress(psutil.Error):
            self.seen.update(psutil.Process(self.process.pid).children(recursive=True))
        for process in self.seen:
            with contextlib.suppress(psutil.Error):
                self.run_id = process.environ().get(RUN_ID_VARIABLE, self.run_id)
        return self.seen

    def serve_run(self) -> psutil.Process:
        (child,) = psutil.Process(self.process.pid).children()
        return child

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"{self.out}\n{self.err}"
            assert self.process.poll() is None, f"{self.out}\n{self.err}"
            self.look()
            time.sleep(0.25)
        self.look()

    def wait_ready(self) -> None:
        self.wait_for(lambda: "\nready: " in self.out)

    def remaining(self) -> list[psutil.Process]:
        """What is alive of all that was seen, and of all that carries the marker."""
        marked = {process for process in psutil.process_iter() if has_marker(process, self.run_id)}
        return [process for process in self.seen | marked if is_alive(process)]

    def ends(self) -> int:
        """Wait for the end, and make sure that it is the end of everything."""
        status = self.process.wait(STOP_TIMEOUT_S)
        assert self.run_id
        assert self.remaining() == []
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for process in self.remaining() if self.run_id else []:
            with contextlib.suppress(psutil.Error):
                process.kill()
        if "\nlog: " in f"\n{self.err}":
            shutil.rmtree(self.run_dir, ignore_errors=True)
        self._out.close()
        self._err.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path)


def write(folder: Path, **other: Any) -> Path:
    """Write a sound config with one warm expert and one asleep on a free port."""
    experts = [expert("other", **other), expert("math", autoscaling=ASLEEP)]
    gateway = front(domains=("other", "math"), limits={"request_timeout_s": 5})
    document = mixture([gateway, *experts], free_ports(1))
    path = folder / "serve_config.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def port_of(config: Path) -> int:
    return int(yaml.safe_load(config.read_text())["http_options"]["port"])


@pytest.fixture
def up(config: Path) -> Iterator[Up]:
    started = Up(config)
    yield started
    started.close()


def refused(config: Path) -> list[str]:
    """Run ``modem up`` that must end at once; return its lines on stderr."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("modem")), "up", str(config)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_a_missing_config_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert refused(path) == [f"error: {path}: no such file; give the path of a Serve config file"]


def test_an_invalid_config_is_one_line(config: Path) -> None:
    config.write_text(config.read_text().replace("proxy_location: HeadOnly", "proxy_location: Headonly"))
    (line,) = refused(config)
    assert line.startswith(f"error: {config}: proxy_location: ")


@pytest.mark.parametrize("reuse", [False, True])
def test_a_busy_port_is_one_line_that_names_the_owner(config: Path, reuse: bool) -> None:
    with listening(reuse) as port:
        config.write_text(config.read_text().replace(f"port: {port_of(config)}", f"port: {port}"))
        (line,) = refused(config)
    assert line.startswith(f"error: port {port} is taken by ")
    assert f"(process {os.getpid()})" in line


@pytest.mark.ray
def test_from_start_to_ctrl_c(config: Path, up: Up) -> None:
    up.wait_ready()
    url = f"http://127.0.0.1:{port_of(config)}"
    assert f"ready: {url}/v1" in up.out
    assert re.search(r"other\s+│ ready", up.out)
    assert re.search(r"math\s+│ asleep, starts on first use", up.out)
    assert f"curl {url}/v1/chat/completions" in up.out
    assert "from openai import OpenAI" in up.out
    check_the_answer(url)
    check_the_listeners(up)
    check_the_dashboard(up)
    assert refused(config)[0].startswith(f"error: port {port_of(config)} is taken by haproxy")
    run_dir = up.run_dir
    up.look()
    up.process.send_signal(signal.SIGINT)
    assert up.ends() == 0
    assert not run_dir.exists()
    assert port_is_free("127.0.0.1", port_of(config))
    assert "Traceback" not in up.err


def check_the_answer(url: str) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        assert json.load(reply)["choices"][0]["message"]["content"]


def check_the_listeners(up: Up) -> None:
    """Nothing of the run can be reached from another machine."""
    open_ports: list[tuple[str, object]] = []
    num_listeners = 0
    for process in up.remaining():
        with contextlib.suppress(psutil.NoSuchProcess):
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    num_listeners += 1
                    host, *_ = connection.laddr
                    if host not in LOOPBACK:
                        open_ports.append((" ".join(process.cmdline()), connection.laddr))
    assert num_listeners > 10
    assert open_ports == []


def check_the_dashboard(up: Up) -> None:
    """Ray's control is closed to whoever lacks the token."""
    log = (up.run_dir / "serve.log").read_text()
    found = re.search(r"dashboard at\D*?(http://127.0.0.1:\d+)", re.sub(r"\x1b\[[0-9;]*m", "", log))
    assert found, log
    address = f"{found[1]}/api/serve/applications/"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(address, timeout=30)
    token = (up.run_dir / "token").read_text()
    request = urllib.request.Request(address, headers={"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        assert json.load(reply)["applications"]["modem"]["status"] == "RUNNING"


@pytest.mark.ray
def test_a_second_sigterm_during_the_start_leaves_nothing_either(up: Up) -> None:
    up.wait_for(lambda: len(up.look()) >= 6)
    up.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    up.look()
    with contextlib.suppress(ProcessLookupError):
        up.process.send_signal(signal.SIGTERM)
    assert up.ends() == 130


@pytest.mark.ray
def test_a_serve_that_dies_ends_it_with_the_reason_and_the_log(up: Up) -> None:
    up.wait_ready()
    up.look()
    up.serve_run().kill()
    assert up.ends() == 1
    assert re.search(r"^error: serve run ended \(exit status -9\): ", up.err, re.MULTILINE)
    assert up.err.rstrip().endswith(f"log: {up.run_dir}/serve.log")
    assert (up.run_dir / "serve.log").exists()


@pytest.mark.ray
def test_when_it_is_killed_the_cluster_goes_as_well(up: Up) -> None:
    up.wait_ready()
    up.look()
    up.process.kill()
    up.process.wait()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while up.remaining() and time.monotonic() < deadline:
        time.sleep(0.25)
    assert up.remaining() == []


@pytest.mark.ray
def test_an_expert_that_cannot_start_ends_it_with_the_reason(tmp_path: Path) -> None:
    failing = Up(write(tmp_path, fail_startup=True))
    try:
        failing.wait_for(lambda: "error: " in failing.err)
        assert failing.ends() == 1
        (line,) = (line for line in failing.err.splitlines() if line.startswith("error: "))
        assert re.search(r"expert-other failed: \w+(Error|Exception)", line), line
    finally:
        failing.close()
