"""Processes of one run: started so that they cannot outlive it, found again without their names."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence

import psutil

RUN_ID_VARIABLE = "MODEM_RUN_ID"
"""Environment variable that every process of a run inherits; its value is private to the run."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies, however it dies. For ``preexec_fn``; Linux only.

    Elsewhere it does nothing: then a run whose parent was killed outright must be stopped by hand.
    """
    parent = os.getppid()
    if _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) and os.getppid() != parent:
        os._exit(0)  # the parent died before the kernel was told


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies (Linux only).

    Ray's daemons and an engine's workers outlive the process that started them for a moment or,
    after a crash, for good. Adopted, they stay descendants and can be found and stopped.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def reap_adopted(own: int | None) -> None:
    """Take the exit status of adopted children that have ended, so that no zombies pile up.

    Args:
        own: A child that somebody else waits for.
    """
    for child in psutil.Process().children():
        try:
            if child.pid != own and child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)
        except (psutil.Error, ChildProcessError):
            continue  # somebody else was faster


def _prctl(option: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)


def has_marker(process: psutil.Process, run_id: str) -> bool:
    """Say whether a process carries the run's marker.

    A process that renames itself may overwrite its environment, as Ray's agents do: no marker
    does not prove that it is foreign.
    """
    try:
        return process.environ().get(RUN_ID_VARIABLE) == run_id
    except (psutil.Error, OSError):
        return False


class RunProcesses:
    """The processes of one run: descendants of this process, and whoever carries the marker.

    Args:
        run_id: The run's marker.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._self = psutil.Process()
        self._foreign = set(self._self.children(recursive=True))
        self._seen: set[psutil.Process] = set()

    def living(self) -> list[psutil.Process]:
        """Return every process of the run that is alive; one seen once is remembered by identity."""
        self._seen.update(set(self._self.children(recursive=True)) - self._foreign)
        marked = (process for process in psutil.process_iter() if process.pid != self._self.pid)
        self._seen.update(process for process in marked if has_marker(process, self._run_id))
        self._seen = {process for process in self._seen if is_alive(process)}
        return sorted(self._seen, key=lambda process: process.pid)

    def kill(self, grace_s: float) -> list[psutil.Process]:
        """End every process of the run: SIGTERM, then SIGKILL.

        Args:
            grace_s: Seconds between the two; at 0 SIGKILL comes at once.

        Returns:
            What could not be ended, normally nothing.
        """
        if grace_s > 0:
            _signal_all(self.living(), signal.SIGTERM)
            _wait_all(self.living(), grace_s)
        for _ in range(5):  # a process may start another while it is being killed
            remaining = self.living()
            if not remaining:
                break
            _signal_all(remaining, signal.SIGKILL)
            _wait_all(remaining, 2.0)
        return self.living()


def is_alive(process: psutil.Process) -> bool:
    """Say whether it is the same process as when first seen, and neither gone nor a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue  # it ended by itself in between


def _wait_all(processes: Sequence[psutil.Process], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and any(is_alive(process) for process in processes):
        time.sleep(0.05)
