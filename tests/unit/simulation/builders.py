"""Small experts, profiles and controllers for the simulator's tests."""

from collections.abc import Collection, Mapping, Sequence
from math import inf
from typing import Any

from modem.serve_config.schema import AutoscalingConfig
from modem.simulation.control import Controller, HandleReport, ReplicaReport
from modem.simulation.profile import Decode, Prefill, Profile, Startup
from modem.simulation.setup import ExpertSetup
from modem.traces.trace import Arrival, Trace


def profile(**changes: Any) -> Profile:
    """A replica that reads 1,000 tokens a second and takes 0.01 s a step, whatever the batch."""
    fields: dict[str, Any] = {
        "name": "test",
        "source": "configured",
        "method": "made up",
        "prefill": Prefill(tokens_per_s=1000),
        "decode": Decode(batch=(1,), step_s=(0.01,)),
        "max_num_seqs": 4,
        "startup_s": Startup(samples=(5.0,)),
        "gpus_per_replica": 1.0,
        "usd_per_gpu_hour": 2.0,
    }
    return Profile(**{**fields, **changes})


def expert(domain: str = "math", autoscaling: Mapping[str, Any] | None = None, **changes: Any) -> ExpertSetup:
    """An expert with a fixed replica, unless there is ``autoscaling``."""
    fields: dict[str, Any] = {
        "domain": domain,
        "profile": changes.pop("profile", profile()),
        "max_ongoing_requests": 8,
        "application": f"expert-{domain}",
        "autoscaling": None if autoscaling is None else AutoscalingConfig(**autoscaling),
    }
    return ExpertSetup(**{**fields, **changes})


def trace(*rows: tuple[float, int, int], domain: str = "math", span_s: float | None = None) -> Trace:
    """A trace of (time, prompt tokens, answer tokens)."""
    return Trace.of([Arrival(t, domain, prompt, output) for t, prompt, output in rows], span_s)


class Scripted:
    """A controller that wants given numbers from given times on, and notes what it is told.

    Args:
        script: Times and numbers, ascending; the first time is 0.
        every_s: How often it wants to be asked.
    """

    def __init__(self, script: Sequence[tuple[float, int]], every_s: float = inf) -> None:
        self.script = list(script)
        self.every_s = every_s
        self.handle_reports: list[HandleReport] = []
        self.replica_reports: list[ReplicaReport] = []
        self.running: list[tuple[str, ...]] = []
        self.asked: list[float] = []
        self.changes: list[tuple[int, int]] = []
        self.gone: list[str] = []

    def first_target(self) -> int:
        return self.script[0][1]

    def record_handle(self, report: HandleReport) -> None:
        self.handle_reports.append(report)

    def record_replica(self, report: ReplicaReport) -> None:
        self.replica_reports.append(report)

    def set_running(self, replica_ids: Sequence[str]) -> None:
        self.running.append(tuple(replica_ids))

    def replica_stopped(self, replica_id: str) -> None:
        self.gone.append(replica_id)

    def drop_stale(self, now_s: float, alive_actor_ids: Collection[str]) -> None:
        pass

    def decide(self, now_s: float, target: int) -> int:
        self.asked.append(now_s)
        return [number for time_s, number in self.script if time_s <= now_s][-1]

    def scaled(self, now_s: float, old: int, new: int) -> None:
        self.changes.append((old, new))

    def wake_s(self, now_s: float, target: int) -> float:
        later = [time_s for time_s, _ in self.script if time_s > now_s]
        return min([*later, now_s + self.every_s])


class Factory:
    """Makes one scripted controller for each expert, and keeps them by domain; without scripts, none."""

    def __init__(self, **scripts: Sequence[tuple[float, int]]) -> None:
        self.scripts = scripts
        self.made: dict[str, Scripted] = {}
        self.num_resets = 0

    def reset(self) -> None:
        self.num_resets += 1

    def __call__(self, setup: ExpertSetup) -> Controller:
        made = self.made[setup.domain] = Scripted(self.scripts[setup.domain])
        return made


no_controllers = Factory()
"""For experts of which none scales."""
