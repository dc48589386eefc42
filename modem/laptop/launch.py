"""One run of the whole stack on this machine: start it, watch it, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import psutil

from modem.errors import ConfigError, ModemError
from modem.laptop.environment import RunDir, serving_environment
from modem.laptop.preflight import Plan
from modem.laptop.processes import RunProcesses, adopt_orphans, die_with_parent, is_alive, reap_adopted
from modem.laptop.readiness import Readiness, ask_gateway, ask_serve

POLL_S = 0.2
ASK_EVERY_S = 1.0
"""How often a starting cluster is asked for its state."""
WATCH_EVERY_S = 5.0
"""How often a running one is."""
STOP_GRACE_S = 20.0
"""``serve run`` needs 3 to 6 s to take Ray down."""
KILL_GRACE_S = 2.0


class StartError(ModemError):
    """The stack did not come up, or went down by itself. The message says why."""


class DaemonError(StartError):
    """One of Ray's daemons died during the start; a second try may well succeed.

    On a machine that is busy otherwise Ray's agent can take more than 15 s to start, and the
    raylet then aborts: the limit is fixed in Ray 2.60 (ray-project/ray#65983). ``serve run`` would
    go on waiting for it for minutes.
    """


class Interrupted(ModemError):
    """A signal asked for the end."""


class StopSignals:
    """Counts the signals that ask for the end, instead of letting them end this process.

    Nothing else happens in the handler: whatever it interrupts may hold a lock.
    """

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._note) for number in self.NUMBERS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


class LocalCluster:
    """``serve run`` and all that it starts.

    Args:
        plan: What is being started.
        run: Its private folder.
        signals: Who may ask for the end.
    """

    def __init__(self, plan: Plan, run: RunDir, signals: StopSignals) -> None:
        self._plan = plan
        self._run = run
        self._signals = signals
        self._processes = RunProcesses(run.run_id)
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start ``serve run`` in a session of its own, so that a terminal's Ctrl-C reaches only us.

        Raises:
            ConfigError: Serve's command is not beside this Python.
        """
        serve = Path(sys.executable).with_name("serve")
        if not serve.exists():
            raise ConfigError(f"{serve}: not installed; run: make install")
        adopt_orphans()
        with self._run.log.open("wb") as log:
            self._child = subprocess.Popen(
                [sys.executable, str(serve), "run", str(self._plan.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=serving_environment(self._run, os.environ),
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def wait_until_ready(self, timeout_s: float, report: Callable[[Readiness], None]) -> Readiness:
        """Wait until the gateway can answer requests.

        Args:
            timeout_s: Longest wait.
            report: Called with every state that is seen.

        Raises:
            DaemonError: A daemon of Ray's died.
            StartError: ``serve run`` ended, an application failed, or the time is over.
            Interrupted: A signal came first.
        """
        deadline = time.monotonic() + timeout_s
        state = Readiness(False)
        dead: set[psutil.Process] = set()
        while time.monotonic() < deadline:
            state = ask_gateway(self._plan.url) or ask_serve(self._run.log, self._run.token)
            report(state)
            if state.ready:
                return state
            if state.failed:
                raise StartError(self._why_failed(state))
            dead, dead_before = self._dead_daemons(), dead
            if dead & dead_before:  # not a helper that is about to be waited for
                raise DaemonError("a daemon of Ray's died during the start")
            self._sleep(ASK_EVERY_S)
        raise StartError(f"not ready after {timeout_s:.0f} s: {state}")

    def watch(self, report: Callable[[Readiness], None]) -> None:
        """Stay until a signal asks for the end.

        Args:
            report: Called with the state now and then.

        Raises:
            StartError: ``serve run`` ended by itself.
        """
        try:
            while True:
                self._sleep(WATCH_EVERY_S)
                reap_adopted(self._child.pid if self._child is not None else None)
                state = ask_gateway(self._plan.url)
                if state is not None:
                    report(state)
        except Interrupted:
            return

    def stop(self) -> None:
        """End every process of this run. A further signal skips the grace, never the clean-up.

        SIGTERM goes to ``serve run`` alone: it takes Ray's daemons down in order, which hit all at
        once would report each other's death and take longer.

        Raises:
            StartError: A process could not be ended.
        """
        signals_before = self._signals.count
        self._processes.living()  # while the tree still hangs together
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            self._wait_for_child(signals_before)
        hurried = self._signals.count > signals_before
        remaining = self._processes.kill(0.0 if hurried else KILL_GRACE_S)
        if remaining:
            raise StartError(f"processes that cannot be ended: {', '.join(str(p.pid) for p in remaining)}")

    def _wait_for_child(self, signals_before: int) -> None:
        deadline = time.monotonic() + STOP_GRACE_S
        while time.monotonic() < deadline and self._signals.count == signals_before:
            if self._child is None or self._child.poll() is not None:
                return
            time.sleep(POLL_S / 2)

    def _sleep(self, duration_s: float) -> None:
        """Sleep in short steps, to notice a signal or the child's end at once."""
        deadline = time.monotonic() + duration_s
        while True:
            if self._signals.count:
                raise Interrupted
            if self._child is not None and self._child.poll() is not None:
                raise StartError(
                    f"serve run ended (exit status {self._child.returncode}): {self._last_line()}"
                )
            if time.monotonic() >= deadline:
                return
            time.sleep(POLL_S)

    def _dead_daemons(self) -> set[psutil.Process]:
        """Return the children of ``serve run`` that ended and that it has not noticed."""
        try:
            children = psutil.Process(self._child.pid).children() if self._child else []
        except psutil.NoSuchProcess:
            return set()
        return {child for child in children if not is_alive(child)}

    def _why_failed(self, state: Readiness) -> str:
        """Name the failed parts; the gateway knows only that they failed, Serve also why."""
        details = {part.name: part for part in ask_serve(self._run.log, self._run.token).failed}
        parts = details.values() or state.failed
        return "; ".join(f"{part.name} failed: {part.reason or 'see the log'}" for part in parts)

    def _last_line(self) -> str:
        lines = self._run.log.read_text(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
