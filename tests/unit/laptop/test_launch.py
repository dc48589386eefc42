"""`LocalCluster` on stand-ins for ``serve run``; the real one is in tests/e2e/test_up.py."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from modem.errors import ConfigError
from modem.laptop import launch
from modem.laptop.environment import RunDir, free_ports
from modem.laptop.launch import DaemonError, Interrupted, LocalCluster, StartError, StopSignals
from modem.laptop.preflight import Plan
from modem.laptop.processes import has_marker
from modem.laptop.readiness import Readiness

GATEWAY = """
import http.server, json, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status})
        self.end_headers()
        state = {{"domain": "math", "state": "{state}"}}
        self.wfile.write(json.dumps({{"status": "x", "applications": {{"expert-math": state}}}}).encode())
http.server.HTTPServer(("127.0.0.1", {port}), Ready).serve_forever()
"""


class Stage:
    """A run folder and a ``serve`` whose code a test chooses."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run = RunDir.create()
        self.signals = StopSignals()
        self.port = free_ports(1)
        self._folder = folder
        # `serve` is looked for beside the interpreter.
        (folder / "python").symlink_to(sys.executable)
        monkeypatch.setattr(sys, "executable", str(folder / "python"))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        monkeypatch.setattr(launch, "WATCH_EVERY_S", 0.1)

    def cluster(self, code: str) -> LocalCluster:
        (self._folder / "serve").write_text(code)
        plan = Plan(Path("c.yaml"), "127.0.0.1", self.port, (), (), 0, 0)
        return LocalCluster(plan, self.run, self.signals)

    def remaining(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if has_marker(process, self.run.run_id)]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    stage = Stage(tmp_path, monkeypatch)
    yield stage
    for process in stage.remaining():
        process.kill()
    stage.run.remove()


def ignore(state: Readiness) -> None:
    pass


def test_start_wait_and_stop(stage: Stage) -> None:
    cluster = stage.cluster(GATEWAY.format(status=200, state="asleep", port=stage.port))
    seen: list[str] = []
    cluster.start()
    state = cluster.wait_until_ready(20, lambda state: seen.append(str(state)))
    assert state.ready
    assert seen[-1] == "math asleep"
    assert len(stage.remaining()) == 1
    cluster.stop()
    assert stage.remaining() == []


def test_a_child_that_ends_is_told_with_its_last_line(stage: Stage) -> None:
    cluster = stage.cluster("print('starting'); print('no more memory'); print(); raise SystemExit(3)")
    cluster.start()
    with pytest.raises(StartError, match=r"serve run ended \(exit status 3\): no more memory"):
        cluster.wait_until_ready(20, ignore)
    cluster.stop()


def test_a_failed_application_ends_the_wait(stage: Stage) -> None:
    cluster = stage.cluster(GATEWAY.format(status=503, state="failed", port=stage.port))
    cluster.start()
    with pytest.raises(StartError, match="math failed: see the log"):
        cluster.wait_until_ready(20, ignore)
    cluster.stop()
    assert stage.remaining() == []


def test_a_daemon_that_dies_ends_the_wait(stage: Stage) -> None:
    cluster = stage.cluster(
        "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', '']); time.sleep(60)"
    )
    cluster.start()
    with pytest.raises(DaemonError, match="a daemon of Ray's died"):
        cluster.wait_until_ready(20, ignore)
    cluster.stop()
    assert stage.remaining() == []


def test_a_helper_that_is_waited_for_does_not(stage: Stage) -> None:
    helpers = "import subprocess, sys\nwhile True: subprocess.run(['/bin/true'])"
    cluster = stage.cluster(helpers)
    cluster.start()
    with pytest.raises(StartError, match="not ready after 3 s"):
        cluster.wait_until_ready(3, ignore)
    cluster.stop()


def test_it_can_be_started_again(stage: Stage) -> None:
    cluster = stage.cluster(GATEWAY.format(status=200, state="ready", port=stage.port))
    for _ in range(2):
        cluster.start()
        assert cluster.wait_until_ready(20, ignore).ready
        cluster.stop()
        assert stage.remaining() == []


def test_the_wait_is_bounded(stage: Stage) -> None:
    cluster = stage.cluster(GATEWAY.format(status=503, state="starting", port=stage.port))
    cluster.start()
    with pytest.raises(StartError, match="not ready after 5 s: math starting"):
        cluster.wait_until_ready(5, ignore)
    cluster.stop()


def test_a_signal_ends_the_wait(stage: Stage) -> None:
    cluster = stage.cluster("import time; time.sleep(60)")
    cluster.start()
    stage.signals.count = 1
    with pytest.raises(Interrupted):
        cluster.wait_until_ready(20, ignore)
    cluster.stop()
    assert stage.remaining() == []


def test_a_signal_ends_the_watch_quietly(stage: Stage) -> None:
    cluster = stage.cluster(GATEWAY.format(status=200, state="ready", port=stage.port))
    cluster.start()
    cluster.wait_until_ready(20, ignore)
    seen: list[Readiness] = []

    def interrupt(state: Readiness) -> None:
        seen.append(state)
        stage.signals.count = 1

    cluster.watch(interrupt)
    assert len(seen) == 1
    cluster.stop()


def test_a_child_that_ends_later_is_told(stage: Stage) -> None:
    cluster = stage.cluster("import time; time.sleep(0.5); print('killed for memory')")
    cluster.start()
    with pytest.raises(StartError, match="killed for memory"):
        cluster.watch(ignore)


def test_a_second_signal_skips_the_grace_but_leaves_nothing(stage: Stage) -> None:
    stubborn = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True); "
        "time.sleep(60)"
    )
    cluster = stage.cluster(stubborn)
    cluster.start()
    deadline = time.monotonic() + 10
    while len(stage.remaining()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    stage.signals.count = 1
    second = threading.Timer(0.5, lambda: setattr(stage.signals, "count", 2))
    second.start()
    started = time.monotonic()
    cluster.stop()
    assert time.monotonic() - started < 5
    assert stage.remaining() == []


def test_stopping_before_the_start_is_harmless(stage: Stage) -> None:
    stage.cluster("").stop()


def test_without_serve_the_remedy_is_named(stage: Stage, tmp_path: Path) -> None:
    cluster = stage.cluster("")
    (tmp_path / "serve").unlink()
    with pytest.raises(ConfigError, match="serve: not installed; run: make install"):
        cluster.start()


def test_the_child_has_the_runs_environment_and_its_own_session(stage: Stage) -> None:
    code = (
        "import os, time; print(os.environ['RAY_TMPDIR'], os.getsid(0) == os.getpid(), flush=True); "
        "time.sleep(60)"
    )
    cluster = stage.cluster(code)
    cluster.start()
    deadline = time.monotonic() + 10
    while not stage.run.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert stage.run.log.read_text().split() == [str(stage.run.path), "True"]
    cluster.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_counted_and_given_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignals() as signals:
        signal.raise_signal(number)
        signal.raise_signal(number)
        assert signals.count == 2
    assert signal.getsignal(number) == before
