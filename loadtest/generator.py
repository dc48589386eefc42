"""One load generator: a worker's part of a run, from the plan to the last record."""

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

import gevent
import msgspec
from gevent.event import Event
from gevent.pool import Group

from loadtest.client import Client
from loadtest.dispatch import ClosedLoop, OpenLoop
from loadtest.meter import Meter
from loadtest.sender import Sender
from modem.load.address import parse_address
from modem.load.plan import make_plan
from modem.load.record import Record
from modem.load.scenario import Scenario

REPORT_S = 1.0
GC_THRESHOLDS = (50_000, 50, 100)
"""Rarely, because little is left to find: what a chunk or a request makes is freed by its reference count,
and a full collection stops the clock of every stream at once. With 200 streams the default of (700, 10, 10)
looks at young objects some ten times a second for nothing."""

Emit = Callable[[str, Mapping[str, Any]], None]
_ENCODE = msgspec.json.Encoder().encode


class Generator:
    """Sends a worker's part of a plan and reports once a second.

    It reports by ``emit(kind, fields)``: ``records`` (``lines``: bytes, ``num``), ``sample`` (``line``:
    bytes), and ``done`` (``num``: all records of this worker) after which nothing comes.

    Args:
        scenario: What is tested.
        host: Base URL of the tested server.
        worker: Number of this worker, from 0.
        num_workers: How many share the plan.
        run_id: Part of the request ids.
        emit: Takes the reports.
        count: Told of each record, for locust's own table.
        api_key: For the server; None without one.

    Raises:
        ConfigError: The plan cannot be made here.
        OSError: The server's name is unknown.
    """

    def __init__(
        self,
        scenario: Scenario,
        host: str,
        worker: int,
        num_workers: int,
        run_id: str,
        emit: Emit,
        count: Callable[[Record], None],
        api_key: str | None = None,
    ) -> None:
        self.over = Event()
        self.closed_loop: ClosedLoop | None = None
        self._scenario = scenario
        self._worker, self._num_workers, self._run_id = worker, num_workers, run_id
        self._emit, self._count = emit, count
        self._plan = make_plan(scenario)
        self._client = Client(parse_address(host), scenario.timeout_s, api_key)
        self._requests = Group()
        self._lines: list[bytes] = []
        self._num_records = 0
        self._main: gevent.Greenlet | None = None
        self._dispatch: gevent.Greenlet | None = None
        self._drain_s = scenario.drain_s

    @property
    def num_planned(self) -> int | None:
        """Length of the whole plan; None in a closed loop, where nobody knows how far it will come."""
        return len(self._plan) if self._scenario.loop == "open" else None

    @property
    def started(self) -> bool:
        """Whether it was told when to begin."""
        return self._main is not None

    def start(self, t0_epoch_s: float) -> None:
        """Begin at a time on the wall clock; returns at once."""
        start_s = time.monotonic() + (t0_epoch_s - time.time())
        settle_gc()
        meter = Meter(self._worker, start_s, time.monotonic)
        sender = Sender(
            self._client, self._scenario, self._worker, start_s, self._run_id, self._note, time.monotonic
        )
        loop = self._loop(sender, meter, start_s)
        self._dispatch = gevent.spawn(loop.run)
        self._main = gevent.spawn(self._run, meter)

    def stop(self, abort: bool = False) -> None:
        """Send no more; what is under way is awaited as at the end of a run, or cancelled at once."""
        if abort:
            self._drain_s = 0.0
        if self._dispatch is not None:
            self._dispatch.kill(block=False)
        if abort:
            self._requests.kill(block=False)

    def _loop(self, sender: Sender, meter: Meter, start_s: float) -> OpenLoop | ClosedLoop:
        shared = (self._plan, self._worker, self._num_workers)
        users = self._scenario.users_curve
        if users is None:
            return OpenLoop(*shared, sender, self._requests, meter, start_s, time.monotonic)
        most = int(max(users.values))
        span_s = self._plan.span_s
        self.closed_loop = ClosedLoop(
            *shared, most, sender, self._requests, meter, start_s, span_s, time.monotonic
        )
        return self.closed_loop

    def _run(self, meter: Meter) -> None:
        watch, report = gevent.spawn(meter.watch), gevent.spawn(self._report, meter)
        assert self._dispatch is not None
        try:
            self._dispatch.join()
            self._requests.join(timeout=self._drain_s)
            self._requests.kill()  # each notes that it was aborted
        finally:
            gevent.killall([watch, report])
            self._flush(meter)
            self._emit("done", {"worker": self._worker, "num": self._num_records})
            self._client.close()
            self.over.set()

    def _report(self, meter: Meter) -> None:
        while True:
            gevent.sleep(REPORT_S)
            self._flush(meter)

    def _flush(self, meter: Meter) -> None:
        lines, self._lines = self._lines, []
        if lines:
            fields = {"worker": self._worker, "num": len(lines), "lines": b"\n".join(lines) + b"\n"}
            self._emit("records", fields)
        self._emit("sample", {"worker": self._worker, "line": _ENCODE(meter.sample()) + b"\n"})

    def _note(self, record: Record) -> None:
        self._lines.append(record.to_json())  # bytes: nothing for the garbage collector to walk through
        self._num_records += 1
        self._count(record)


def settle_gc() -> None:
    """Keep the garbage collector from pausing the clocks of a run.

    All that lives by now (modules, plan, prompts) stays: it is collected once and then left out.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
