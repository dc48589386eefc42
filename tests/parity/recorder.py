"""Writes down what goes into and comes out of the decision code of a live Serve controller.

`install` runs inside the controller's process, where `tests.parity.policy` loads it. It wraps the methods
of Ray's `DeploymentAutoscalingState` through which everything reaches a decision, and writes one JSON
line a call into ``FOLDER/APPLICATION.DEPLOYMENT.jsonl``; `tests.parity.log` reads them. What the methods do
is not changed, except that the clock stands still within one call, as it does in the simulator: otherwise
no reader could know at which microsecond Ray asked for the time.
"""

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ray.serve import autoscaling_policy
from ray.serve._private import autoscaling_state
from ray.serve._private.autoscaling_state import DeploymentAutoscalingState
from ray.serve._private.common import RUNNING_REQUESTS_KEY, ReplicaID

POLICY = "tests.parity.policy:Recording"
Record = dict[str, Any]
Method = Callable[..., Any]


class Clock:
    """Stands in for the module ``time`` in Ray's decision code: real, unless a call holds it.

    Args:
        now: The real time.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.held: float | None = None

    def time(self) -> float:
        return self.now() if self.held is None else self.held

    def monotonic(self) -> float:
        return time.monotonic() if self.held is None else self.held

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class Recorder:
    """The open files of one controller.

    Args:
        folder: Where they go.
        clock: What the wrapped methods read.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._files: dict[int, TextIO] = {}
        self._configs: dict[int, object] = {}
        self._last: dict[tuple[int, str], object] = {}

    @contextmanager
    def call(self, state: Any, kind: str) -> Iterator[Record]:
        """Hold the clock during one call and write the record that the caller fills in."""
        record: Record = {"kind": kind, "t": self._clock.now()}
        self._clock.held = record["t"]
        try:
            yield record
        finally:
            self._clock.held = None
            self._write(state, record)

    def changed(self, state: Any, kind: str, value: object) -> bool:
        """Say whether this value differs from the last one of its kind."""
        key = (id(state), kind)
        if self._last.get(key) == value:
            return False
        self._last[key] = value
        return True

    def _write(self, state: Any, record: Record) -> None:
        kwargs = state._config.policy.policy_kwargs
        if "folder" not in kwargs or record.pop("skip", False):
            return
        if self._configs.get(id(state)) is not state._config:
            self._configs[id(state)] = state._config
            self._line(state, _registered(state, record["t"]))
        self._line(state, record)

    def _line(self, state: Any, record: Record) -> None:
        file = self._files.get(id(state))
        if file is None:
            where = state._deployment_id
            path = self._folder / f"{where.app_name}.{where.name}.jsonl"
            file = self._files[id(state)] = path.open("a", buffering=1)
        file.write(json.dumps(record, separators=(",", ":")) + "\n")


def _registered(state: Any, now: float) -> Record:
    """Return what the state was registered with; the recording policy gives way to the one in it."""
    config = state._config.model_dump(mode="json")
    kwargs = state._config.policy.policy_kwargs
    config["policy"] = {key: kwargs[key] for key in ("policy_function", "policy_kwargs") if key in kwargs}
    where = state._deployment_id
    return {
        "kind": "register",
        "t": now,
        "application": where.app_name,
        "deployment": where.name,
        "autoscaling": config,
    }


def _ids(replicas: list[ReplicaID]) -> list[str]:
    return [replica.unique_id for replica in replicas]


def _short(full_id: str) -> str:
    return str(ReplicaID.from_full_id_str(full_id).unique_id)


def _series(points: Any) -> list[tuple[float, float]]:
    return [(point.timestamp, point.value) for point in points]


def _object_report(report: Any) -> Record:
    running = report.metrics.get(RUNNING_REQUESTS_KEY, {})
    return {
        "handle_id": report.handle_id,
        "actor_id": report.actor_id,
        "sent_s": report.timestamp,
        "queued": _series(report.queued_requests),
        "running": {_short(key): _series(points) for key, points in running.items()},
    }


def _columnar_report(payload: Mapping[str, Any]) -> Record:
    running = {}
    for metric, key, start, length in payload["entries"].tolist():
        if metric == payload["mi"]:
            span = slice(start, start + length)
            points = zip(payload["ts"][span].tolist(), payload["val"][span].tolist(), strict=True)
            running[_short(payload["replica_keys"][key])] = list(points)
    return {
        "handle_id": payload["handle_id"],
        "actor_id": payload["actor_id"],
        "sent_s": payload["timestamp"],
        "queued": list(zip(payload["q_ts"].tolist(), payload["q_val"].tolist(), strict=True)),
        "running": running,
    }


def _replica_report(report: Any) -> Record:
    return {
        "replica_id": report.replica_id.unique_id,
        "sent_s": report.timestamp,
        "metrics": {name: _series(points) for name, points in report.metrics.items()},
    }


def _wrappers(recorder: Recorder) -> dict[str, Callable[[Method], Method]]:
    """Return what to put around each method, by its name."""

    def tick(method: Method) -> Method:
        def get_decision_num_replicas(
            self: Any, curr_target_num_replicas: int, _skip_bound_check: bool = False
        ) -> Any:
            with recorder.call(self, "tick") as record:
                decision = method(self, curr_target_num_replicas, _skip_bound_check)
                record.update(
                    target=curr_target_num_replicas,
                    decision=decision,
                    load=self.get_last_decision_total_num_requests(),
                )
                return decision

        return get_decision_num_replicas

    def running(method: Method) -> Method:
        def update_running_replica_ids(self: Any, running_replicas: list[ReplicaID]) -> None:
            with recorder.call(self, "running") as record:
                method(self, running_replicas)
                record["ids"] = _ids(running_replicas)
                record["skip"] = not recorder.changed(self, "running", record["ids"])

        return update_running_replica_ids

    def stale(method: Method) -> Method:
        def drop_stale_handle_metrics(self: Any, alive_serve_actor_ids: set[str]) -> None:
            with recorder.call(self, "stale") as record:
                before = len(self._handle_store.all_reports())
                method(self, alive_serve_actor_ids)
                if len(self._handle_store.all_reports()) < before:
                    record["dropped"] = True
                alive = sorted(alive_serve_actor_ids)
                if recorder.changed(self, "alive", alive):
                    record["alive"] = alive

        return drop_stale_handle_metrics

    def report(kind: str, read: Callable[[Any], Record]) -> Callable[[Method], Method]:
        def wrap(method: Method) -> Method:
            def record_report(self: Any, value: Any) -> None:
                with recorder.call(self, kind) as record:
                    method(self, value)
                    record.update(read(value))

            return record_report

        return wrap

    def note(kind: str) -> Callable[[Method], Method]:
        def wrap(method: Method) -> Method:
            def record_change(self: Any, *arguments: Any) -> None:
                with recorder.call(self, kind) as record:
                    method(self, *arguments)
                    record.update({"ids": _ids(list(arguments))} if arguments else {})

            return record_change

        return wrap

    return {
        "get_decision_num_replicas": tick,
        "update_running_replica_ids": running,
        "drop_stale_handle_metrics": stale,
        "record_request_metrics_for_handle": report("handle", _object_report),
        "record_columnar_metrics_for_handle": report("handle", _columnar_report),
        "record_request_metrics_for_replica": report("replica", _replica_report),
        "on_replica_stopped": note("stopped"),
        "record_scale_up": note("up"),
        "record_scale_down": note("down"),
    }


_originals: dict[str, Method] = {}


def install(folder: Path, now: Callable[[], float] = time.time) -> None:
    """Record this process's controller from now on; a second call changes nothing.

    Args:
        folder: Where the records go.
        now: The time.
    """
    if _originals:
        return
    folder.mkdir(parents=True, exist_ok=True)
    clock = Clock(now)
    for name, wrap in _wrappers(Recorder(folder, clock)).items():
        method = _originals[name] = getattr(DeploymentAutoscalingState, name)
        setattr(DeploymentAutoscalingState, name, functools.wraps(method)(wrap(method)))
    for module in (autoscaling_policy, autoscaling_state):
        module.time = clock


def uninstall() -> None:
    """Put everything back; for tests within one process."""
    for name, method in _originals.items():
        setattr(DeploymentAutoscalingState, name, method)
    _originals.clear()
    for module in (autoscaling_policy, autoscaling_state):
        module.time = time
