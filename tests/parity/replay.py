"""Feeds what `tests.parity.recorder` wrote down to the simulator's controller and compares every decision."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.serve._private.common import RUNNING_REQUESTS_KEY

from modem.config import SimulatedExpertConfig
from modem.serve_config.schema import AutoscalingConfig
from modem.simulation.control import Controller, HandleReport, ReplicaReport, Sample, Series
from modem.simulation.profile import simulated_profile
from modem.simulation.setup import ExpertSetup

Record = Mapping[str, Any]
Make = Callable[[ExpertSetup], Controller]
PROFILE = simulated_profile(SimulatedExpertConfig(model_id="any"))


@dataclass(frozen=True)
class Mismatch:
    """A tick at which the simulator decides otherwise.

    Attributes:
        record: What the live controller was asked and what it decided.
        decided: What the simulator decides.
    """

    record: Record
    decided: int


@dataclass(frozen=True)
class Outcome:
    """What a comparison found.

    Attributes:
        num_ticks: Decisions of the live controller.
        num_skipped: Of these, how many the simulator need not have asked for.
        num_changes: Of these, how many differed from the number of replicas that was wanted before.
        mismatches: Of these, the ones that the simulator makes otherwise.
    """

    num_ticks: int = 0
    num_skipped: int = 0
    num_changes: int = 0
    mismatches: tuple[Mismatch, ...] = ()

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.num_ticks + other.num_ticks,
            self.num_skipped + other.num_skipped,
            self.num_changes + other.num_changes,
            self.mismatches + other.mismatches,
        )


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of one deployment; a last line that its process did not finish is left out."""
    with path.open() as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def replay(records: Iterable[Record], make: Make, skip: bool = False) -> Outcome:
    """Compare one deployment's decisions.

    Args:
        records: In the order of their writing.
        make: Makes the simulator's controller.
        skip: Leave out the ticks that the controller's ``wake_s`` says change nothing.
    """
    player: _Player | None = None
    for record in records:
        if record["kind"] == "register":
            assert player is None, "registered twice: a record of a deployment that was changed"
            player = _Player(make(_setup(record)), skip)
        else:
            assert player is not None, "a record before the first registration"
            player.play(record)
    assert player is not None, "an empty record"
    return player.outcome


def replay_folder(folder: Path, make: Make, skip: bool = False) -> Outcome:
    """Compare all deployments of one run."""
    outcomes = (replay(read_records(path), make, skip) for path in sorted(folder.glob("*.jsonl")))
    return sum(outcomes, Outcome())


class _Player:
    """One controller of the simulator, fed record by record."""

    def __init__(self, controller: Controller, skip: bool) -> None:
        self._controller = controller
        self._controller.first_target()
        self._skip = skip
        self._asleep_until = float("-inf")
        self._last_target = 0
        self._alive: frozenset[str] = frozenset()
        self._sent_s: dict[str, float] = {}
        self.outcome = Outcome()

    def play(self, record: Record) -> None:
        if record["kind"] == "tick":
            self.outcome += self._tick(record)
            return
        if record["kind"] != "stale" or "dropped" in record:
            self._asleep_until = float("-inf")  # an input
        getattr(self, f"_{record['kind']}")(record)

    def _tick(self, record: Record) -> Outcome:
        target, decision = record["target"], record["decision"]
        asleep = self._skip and record["t"] < self._asleep_until and target == self._last_target
        decided = target if asleep else self._controller.decide(record["t"], target)
        if not asleep:
            self._asleep_until = self._controller.wake_s(record["t"], target)
            self._last_target = target
        wrong = () if decided == decision else (Mismatch(record, decided),)
        return Outcome(1, asleep, decision != target, wrong)

    def _running(self, record: Record) -> None:
        self._controller.set_running(record["ids"])

    def _stopped(self, record: Record) -> None:
        for replica_id in record["ids"]:
            self._controller.replica_stopped(replica_id)

    def _stale(self, record: Record) -> None:
        self._alive = frozenset(record.get("alive", self._alive))
        self._controller.drop_stale(record["t"], self._alive)
        if "dropped" in record:
            self._sent_s.clear()  # Serve forgets when those handles last reported; the others report anew

    def _up(self, record: Record) -> None:
        self._controller.scaled(record["t"], 0, 1)

    def _down(self, record: Record) -> None:
        self._controller.scaled(record["t"], 1, 0)

    def _handle(self, record: Record) -> None:
        # Live, a report counts as received when it arrives, on a busy machine seconds after it was sent, and
        # by when it was sent only if it is newer than the last. The simulator has one time for both: it gets
        # the first, and the second is seen to here.
        name, sent_s = record["handle_id"], record["sent_s"]
        if sent_s <= self._sent_s.get(name, float("-inf")):
            return
        self._sent_s[name] = sent_s
        running = {replica: _series(points) for replica, points in record["running"].items()}
        self._controller.record_handle(
            HandleReport(name, record["actor_id"], record["t"], _series(record["queued"]), running)
        )

    def _replica(self, record: Record) -> None:
        metrics = {name: _series(points) for name, points in record["metrics"].items()}
        ongoing = metrics.pop(RUNNING_REQUESTS_KEY, [])
        self._controller.record_replica(
            ReplicaReport(record["replica_id"], record["sent_s"], ongoing, metrics)
        )


def _series(points: Iterable[tuple[float, float]]) -> Series:
    return [Sample(timestamp, value) for timestamp, value in points]


def _setup(record: Record) -> ExpertSetup:
    return ExpertSetup(
        domain="any",
        profile=PROFILE,
        autoscaling=AutoscalingConfig.model_validate(record["autoscaling"]),
        application=record["application"],
        deployment=record["deployment"],
    )
