"""The master's end of a run: starts all workers at one time, and writes down all that they report."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from locust.rpc.protocol import Message
from locust.runners import STATE_MISSING, LocalRunner, MasterRunner

from loadtest import messages
from loadtest.watch import Watch
from modem.load.columns import columns
from modem.load.folder import CLIENT, REQUESTS, RunFolder
from modem.load.goodput import good
from modem.load.plan import make_plan
from modem.load.record import Record
from modem.load.saturation import PlannedStep, SaturationWatch
from modem.load.scenario import Scenario
from modem.slo import parse_slo

PREPARE_TIMEOUT_S = 120.0
LEAD_S = 0.5
"""From the decision to the start: a message reaches a worker in milliseconds."""
INTERRUPT_TIMEOUT_S = 10.0


@dataclass(slots=True)
class _Worker:
    """A worker's state as the master knows it."""

    client_id: str
    is_prepared: bool = False
    num_records: int = 0
    num_announced: int | None = None

    @property
    def is_done(self) -> bool:
        return self.num_announced is not None and self.num_records >= self.num_announced


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run is, for ``run.json``.

    Attributes:
        scenario: With all changes.
        host: Base URL of the tested server.
        metrics_urls: Prometheus pages; may be empty.
        about: Further fields: versions, command.
    """

    scenario: Scenario
    host: str
    metrics_urls: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


class Conductor:
    """Conducts one run.

    Args:
        runner: The master's, or of a run without workers.
        setting: What is run.
        folder: Where it is written; closed at the end.
    """

    def __init__(self, runner: MasterRunner | LocalRunner, setting: Setting, folder: RunFolder) -> None:
        self.failure: str | None = None
        self.t0_s: float | None = None
        self.num_records = 0
        self._runner = runner
        self._setting = setting
        self._folder = folder
        self._workers: dict[int, _Worker] = {}
        self._changed = Event()
        self._watch: Watch | None = None
        self._saturation: SaturationWatch | None = None
        self._targets = parse_slo(setting.scenario.targets)
        self._stopped: str | None = None
        self._lost: list[str] = []
        self._run: dict[str, Any] = {}
        self._num_planned: int | None = None
        self._is_closed = False

    @property
    def path(self) -> Path:
        """Where the run is written."""
        return self._folder.path

    @property
    def is_over(self) -> bool:
        """Whether every worker has reported all its records, or nothing more can come."""
        started = self.t0_s is not None
        return self.failure is not None or (started and all(w.is_done for w in self._workers.values()))

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start; negative before."""
        return -1.0 if self.t0_s is None else time.monotonic() - self.t0_s

    def begin(self) -> None:
        """Let the workers prepare, and start them together. Returns before the first request is sent."""
        self._workers = {number: _Worker(name) for number, name in enumerate(self._client_ids())}
        scenario = self._setting.scenario
        fields = {
            "scenario": scenario.model_dump(mode="json"),
            "host": self._setting.host,
            "num_workers": len(self._workers),
            "run_id": self._folder.path.name.replace(" ", "-"),
        }
        for number, worker in self._workers.items():
            self._send(messages.PREPARE, {**fields, "worker": number}, worker)
        self._wait(lambda: all(worker.is_prepared for worker in self._workers.values()), PREPARE_TIMEOUT_S)
        if not all(worker.is_prepared for worker in self._workers.values()):
            self.failure = self.failure or f"a worker was not ready within {PREPARE_TIMEOUT_S:g} s"
        if self.failure is None:
            self._start()

    def interrupt(self) -> None:
        """Cancel what is under way, and wait for the last records."""
        if self.t0_s is None or self.is_over:
            return
        self._stopped = self._stopped or "interrupted"
        self._stop_all(abort=True)
        self._wait(lambda: self.is_over, INTERRUPT_TIMEOUT_S)

    def look_after(self) -> None:
        """Give up workers that are gone; to be called now and then."""
        if isinstance(self._runner, LocalRunner) or self.t0_s is None:
            return
        for number, worker in self._workers.items():
            node = self._runner.clients.get(worker.client_id)
            if not worker.is_done and (node is None or node.state == STATE_MISSING):
                worker.num_announced = worker.num_records
                self._lost.append(f"worker {number} was lost")
                self._changed.set()

    def close(self) -> None:
        """Write how it ended; may be called again."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._watch is not None:
            self._watch.stop()
        if self._run:
            reasons = [*([self._stopped] if self._stopped else []), *self._lost]
            ended = reasons[0] if reasons == ["interrupted"] else f"stopped: {', '.join(reasons)}"
            self._run |= {"ended_s": round(self.elapsed_s, 6), "ended": ended if reasons else "done"}
            self._folder.write_run(self._run)
        self._folder.close()

    def on_prepared(self, msg: Message, **_: object) -> None:
        """A worker has its plan."""
        self._workers[msg.data["worker"]].is_prepared = True
        self._num_planned = msg.data["num_planned"]
        self._changed.set()

    def on_failed(self, msg: Message, **_: object) -> None:
        """A worker cannot take part."""
        self.failure = msg.data["message"]
        self._changed.set()

    def on_records(self, msg: Message, **_: object) -> None:
        """Write a worker's records down."""
        self._folder.append(REQUESTS, msg.data["lines"])
        self._workers[msg.data["worker"]].num_records += msg.data["num"]
        self.num_records += msg.data["num"]
        if self._saturation is not None:
            self._judge(self._saturation, msg.data["lines"])
        self._changed.set()

    def on_sample(self, msg: Message, **_: object) -> None:
        """Write how a worker kept up."""
        self._folder.append(CLIENT, msg.data["line"])

    def on_done(self, msg: Message, **_: object) -> None:
        """A worker has nothing more to report."""
        self._workers[msg.data["worker"]].num_announced = msg.data["num"]
        self._changed.set()

    def _client_ids(self) -> list[str]:
        if isinstance(self._runner, LocalRunner):
            return [self._runner.client_id]
        clients = self._runner.clients
        return [client.id for client in clients.ready + clients.spawning + clients.running]

    def _start(self) -> None:
        scenario = self._setting.scenario
        if scenario.saturation is not None:
            self._saturation = SaturationWatch(_steps(scenario), scenario.saturation.stop_below)
        t0_epoch_s = time.time() + LEAD_S
        self.t0_s = time.monotonic() + LEAD_S
        self._run = {
            "scenario": scenario.to_json(),
            "host": self._setting.host,
            "started_at": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(t0_epoch_s)),
            "t0_epoch_s": round(t0_epoch_s, 6),
            "seed": scenario.seed,
            "loop": scenario.loop,
            "num_planned": self._num_planned,
            "num_workers": len(self._workers),
            **self._setting.about,
            "ended_s": None,
            "ended": None,
        }
        self._folder.write_run(self._run)
        self._watch = Watch(self._setting.host, self._setting.metrics_urls, self._folder, self.t0_s)
        for worker in self._workers.values():
            self._send(messages.GO, {"t0_epoch_s": t0_epoch_s}, worker)

    def _judge(self, saturation: SaturationWatch, lines: bytes) -> None:
        records = columns([Record.from_json(line) for line in lines.splitlines()])
        first = records.turn == 0
        is_good = good(records, self._targets)[first]
        for intended_s, each in zip(records.intended_s[first].tolist(), is_good.tolist(), strict=True):
            saturation.add(intended_s, each)
        reason = saturation.verdict()
        if reason is not None and self._stopped is None:
            self._stopped = reason
            self._stop_all(abort=False)

    def _stop_all(self, abort: bool) -> None:
        for worker in self._workers.values():
            if not worker.is_done:
                self._send(messages.STOP, {"abort": abort}, worker)

    def _send(self, kind: str, fields: dict[str, Any], worker: _Worker) -> None:
        self._runner.send_message(kind, fields, worker.client_id)

    def _wait(self, holds: Any, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not holds() and self.failure is None and time.monotonic() < deadline_s:
            self._changed.clear()
            self._changed.wait(min(1.0, max(deadline_s - time.monotonic(), 0.0)))
            self.look_after()
        gevent.sleep(0)


def _steps(scenario: Scenario) -> list[PlannedStep]:
    """Return the steps of a saturation scenario with what is planned in each."""
    saturation, plan = scenario.saturation, make_plan(scenario)
    curve = scenario.rate_curve
    assert saturation is not None
    assert curve is not None
    steps, start_s = [], 0.0
    while start_s < plan.span_s:
        end_s = min(start_s + saturation.step_s, plan.span_s)
        planned = int(((plan.at_s >= start_s) & (plan.at_s < end_s)).sum())
        steps.append(PlannedStep(start_s, end_s, curve.at((start_s + end_s) / 2), planned))
        start_s += saturation.step_s
    return steps
