import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import psutil
import pytest

from modem.laptop.processes import RUN_ID_VARIABLE, RunProcesses, has_marker, is_alive, reap_adopted

SLEEP = "import time; time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); "


@pytest.fixture
def run_id() -> Iterator[str]:
    """A marker, and the end of all that carry it."""
    marker = uuid.uuid4().hex
    yield marker
    for process in psutil.process_iter():
        if has_marker(process, marker):
            process.kill()


def start(code: str, run_id: str, start_new_session: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, RUN_ID_VARIABLE: run_id},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    )


def eventually(condition: object, timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_marker_is_seen_in_the_environment(run_id: str) -> None:
    child = start(SLEEP, run_id)
    eventually(lambda: has_marker(psutil.Process(child.pid), run_id))
    assert not has_marker(psutil.Process(child.pid), "another")
    assert not has_marker(psutil.Process(), run_id)
    child.kill()
    child.wait()
    assert not has_marker(psutil.Process(), run_id)


def test_a_zombie_is_not_alive(run_id: str) -> None:
    child = start("", run_id)
    process = psutil.Process(child.pid)
    eventually(lambda: not is_alive(process))
    assert process.is_running()
    child.wait()
    assert not is_alive(process)


def test_children_in_other_sessions_and_without_the_marker_belong_to_the_run(run_id: str) -> None:
    processes = RunProcesses(run_id)
    grandchild = (
        "import subprocess, sys; "
        f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}], env={{}}, start_new_session=True); "
    )
    child = start(grandchild + SLEEP, run_id, start_new_session=True)
    eventually(lambda: len(processes.living()) == 2)
    assert processes.kill(1.0) == []
    child.wait()


def test_what_ran_before_does_not(run_id: str) -> None:
    before = start(SLEEP, "another run")
    processes = RunProcesses(run_id)
    assert processes.living() == []
    assert processes.kill(0.1) == []
    assert before.poll() is None
    before.kill()
    before.wait()


def test_an_orphan_is_found_by_its_marker(run_id: str) -> None:
    orphan = f"import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}])"
    start(orphan, run_id).wait()
    processes = RunProcesses(run_id)
    eventually(lambda: len(processes.living()) == 1)
    assert processes.kill(1.0) == []
    assert processes.living() == []


def test_sigterm_comes_first(run_id: str) -> None:
    polite = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); "
        "print('up', flush=True); time.sleep(60)"
    )
    processes = RunProcesses(run_id)
    child = start(polite, run_id)
    assert child.stdout is not None
    child.stdout.readline()
    assert processes.kill(5.0) == []
    assert child.wait() == 7


@pytest.mark.parametrize("grace_s", [0.2, 0.0])
def test_who_ignores_sigterm_is_killed(run_id: str, grace_s: float) -> None:
    processes = RunProcesses(run_id)
    child = start(STUBBORN + "time.sleep(60)", run_id)
    assert child.stdout is not None
    child.stdout.readline()
    started = time.monotonic()
    assert processes.kill(grace_s) == []
    assert time.monotonic() - started < 3.0
    assert child.wait() == -signal.SIGKILL


def test_a_child_gets_sigterm_when_its_parent_is_killed(run_id: str) -> None:
    middle = (
        "import subprocess, sys, time\n"
        "from modem.laptop.processes import die_with_parent\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], preexec_fn=die_with_parent,"
        " start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    parent = start(middle, run_id)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert is_alive(child)
    parent.kill()
    parent.wait()
    eventually(lambda: not is_alive(child))


def test_a_subreaper_keeps_orphans_as_descendants(run_id: str) -> None:
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}], env={{}})"
    code = (
        "import subprocess, sys\n"
        "from modem.laptop.processes import RunProcesses, adopt_orphans\n"
        "adopt_orphans()\n"
        "processes = RunProcesses('none')\n"
        f"subprocess.run([sys.executable, '-c', {orphan!r}])\n"
        "print(len(processes.living()), processes.kill(0.0))"
    )
    child = start(code, run_id)
    out, _ = child.communicate(timeout=20)
    assert out.strip() == "1 []"


def test_adopted_zombies_are_reaped_and_own_children_left_to_their_owner() -> None:
    mine = subprocess.Popen([sys.executable, "-c", "pass"])
    adopted = os.posix_spawn(sys.executable, [sys.executable, "-c", "pass"], os.environ)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(adopted) and time.monotonic() < deadline:
        reap_adopted(mine.pid)
        time.sleep(0.05)
    assert not psutil.pid_exists(adopted)
    assert mine.wait(10) == 0
