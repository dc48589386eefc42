"""The processes of a load test: one load generator, or a master and workers."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO

STOP_TIMEOUT_S = 30.0
WORKERS_TIMEOUT_S = 300
"""Until all workers have reported to their master. Locust gives up at once if its machine stood still for so
long, so this is far more than a start takes."""
WORKERS_END_TIMEOUT_S = 10.0
_ERROR = "error: "
_LOGGED_ERROR = "/ERROR/"  # in locust's format: [time] host/LEVEL/logger: message


@dataclass(frozen=True, slots=True)
class Generators:
    """A run's processes.

    Attributes:
        first: The load generator that writes the run: the only one, or the master.
        workers: The others; a master without a worker that it counts on never begins.
    """

    first: "subprocess.Popen[bytes]"
    workers: tuple["subprocess.Popen[bytes]", ...]

    @property
    def is_over(self) -> bool:
        """Whether the first has ended."""
        return self.first.poll() is not None

    @property
    def has_lost_worker(self) -> bool:
        """Whether a worker has ended: before the run began, there is none to wait for."""
        return any(worker.poll() is not None for worker in self.workers)

    @property
    def status(self) -> int | None:
        """Exit status of the first, or that of a worker without which it waits."""
        statuses = [process.poll() for process in (self.first, *self.workers)]
        return next((status for status in statuses if status is not None), None)

    def stop(self) -> None:
        """Ask for an end with all that is recorded; a second Ctrl-C does not wait for that."""
        try:
            self.first.send_signal(signal.SIGINT)
            self.first.wait(STOP_TIMEOUT_S)
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            self.first.kill()
            self.first.wait()


@contextmanager
def generators(options: Sequence[str], num_workers: int, log: IO[bytes]) -> Iterator[Generators]:
    """Run load generators; at the end none is left.

    SIGINT and SIGTERM become a `KeyboardInterrupt` here meanwhile. Sessions of their own let a Ctrl-C reach
    them through this process alone.

    Workers are started, not forked off by locust's ``--processes``: after such a fork the master's event loop
    has been seen without its sockets, so that it never heard its workers (docs/LOG.md, 2026-11-22).

    Args:
        options: Of locust, for the one that writes the run.
        num_workers: Load generators; 1 is its own master.
        log: Takes what they say.
    """
    locust = (sys.executable, "-m", "locust", *options[:2])  # -f and the file are for all of them
    with ExitStack() as stack:
        handlers = dict.fromkeys((signal.SIGTERM, signal.SIGINT), signal.default_int_handler)
        # SIGINT too: a shell's background job ignores it, and `kill -INT` is how a script ends a run early.
        for number, handler in handlers.items():
            stack.callback(signal.signal, number, signal.signal(number, handler))
        master, worker = _roles(num_workers)
        first = stack.enter_context(_child((*locust, *options[2:], *master), log))
        others = [
            stack.enter_context(_child((*locust, *worker), log)) for _ in range(num_workers if worker else 0)
        ]
        yield Generators(first, tuple(others))
        if first.poll() is not None:
            for process in others:
                _wait(process)


def said(log: str, status: int | None) -> str:
    """Return the generators' own words for why there is nothing."""
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    if errors:
        return errors[-1]
    logged = [line for line in lines if _LOGGED_ERROR in line] or lines
    last = f": {logged[-1]}" if status and logged else ""
    return f"nothing was recorded (the load generator ended with status {status}){last}"


def _roles(num_workers: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the options of a master and of its workers, on a port that no other load test has."""
    if num_workers == 1:
        return (), ()
    from modem.laptop.environment import LOOPBACK, free_ports

    port = str(free_ports(1))
    wait = ("--expect-workers-max-wait", str(WORKERS_TIMEOUT_S))  # else locust waits for ever
    master = ("--master", "--master-bind-host", LOOPBACK, "--master-bind-port", port)
    worker = ("--worker", "--master-host", LOOPBACK, "--master-port", port)
    return (*master, "--expect-workers", str(num_workers), *wait), worker


@contextmanager
def _child(command: Sequence[str], log: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    from modem.laptop.processes import die_with_parent

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in a shell's background job, and inherited
        die_with_parent()

    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=prepare,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def _wait(worker: "subprocess.Popen[bytes]") -> None:
    try:
        worker.wait(WORKERS_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        worker.kill()
