"""Record and replay without a cluster: Serve's own class, driven at random as its controller drives it."""

import random
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ray.serve._private import autoscaling_metrics_codec, autoscaling_state
from ray.serve._private.autoscaling_state import DeploymentAutoscalingState
from ray.serve._private.common import (
    RUNNING_REQUESTS_KEY,
    DeploymentHandleSource,
    DeploymentID,
    HandleMetricReport,
    ReplicaID,
    ReplicaMetricReport,
    TimeStampedValue,
)
from ray.serve.config import AutoscalingConfig

from deployments.simulation import serve_controllers
from modem.autoscaling.stats import ReplicaStats
from tests.parity import recorder
from tests.parity.live import POLICIES, autoscaling
from tests.parity.policy import recorded
from tests.parity.replay import Record, read_records, replay, replay_folder

ID = DeploymentID(name="Expert", app_name="expert-math")
START_S = 1_795_000_000.0
Policy = dict[str, Any] | None


class Driver:
    """What a controller does to one deployment's state, on a clock of its own.

    Args:
        seed: Of settings, load and everything else.
        folder: Where the records go.
        on_replicas: Running requests come from the replicas' reports, else from the handles'.
        policy: Decides in place of Serve's own.
    """

    def __init__(self, seed: int, folder: Path, on_replicas: bool, policy: Policy) -> None:
        self.now_s = START_S
        self._rng = rng = random.Random(seed)
        self._mishaps = random.Random(f"mishaps {seed}")
        self._held_until_s = START_S
        self._outbox: list[Callable[[], None]] = []
        self._on_replicas = on_replicas
        recorder.install(folder, lambda: self.now_s)
        settings = autoscaling(rng, awake=False)
        if policy:
            settings["policy"] = policy
        self._interval_s = settings["metrics_interval_s"]
        self._look_back_s = settings["look_back_period_s"]
        self._state = DeploymentAutoscalingState(ID)
        self._target = self._state.register(_info(AutoscalingConfig(**recorded(settings, folder))), -1)
        self._replicas: list[ReplicaID] = []
        self._ready_s: dict[ReplicaID, float] = {}
        self._num_made = 0
        self._load = 0.0
        self._next_report_s = START_S
        self._series: dict[object, list[TimeStampedValue]] = {}

    def run(self, num_ticks: int) -> None:
        for _ in range(num_ticks):
            self.now_s += self._rng.uniform(0.1, 0.3)
            if self._rng.random() < 0.06:
                self._load = self._rng.choice([0, 0, 1, 2, 3.5, 6, 12])
            self._report()
            self._deliver()
            self._follow_target()
            self._state.update_running_replica_ids(
                [r for r in self._replicas if self._ready_s[r] <= self.now_s]
            )
            decision = self._state.get_decision_num_replicas(self._target)
            if decision > self._target:
                self._state.record_scale_up()
            elif decision < self._target:
                self._state.record_scale_down()
            self._target = decision
            self._state.drop_stale_handle_metrics({"gateway"} if self._rng.random() < 0.995 else set())

    def _follow_target(self) -> None:
        while len(self._replicas) < self._target:
            self._num_made += 1
            made = ReplicaID(f"r{self._num_made}", ID)
            self._replicas.append(made)
            self._ready_s[made] = self.now_s + self._rng.choice([0.5, 3, 8])
        while len(self._replicas) > self._target:
            self._state.on_replica_stopped(self._replicas.pop())

    def _report(self) -> None:
        if self.now_s < self._next_report_s:
            return
        self._next_report_s = self.now_s + self._interval_s * self._rng.uniform(0.9, 1.1)
        running = [replica for replica in self._replicas if self._ready_s[replica] <= self.now_s]
        share = self._load / len(running) if running else 0.0
        counts = {replica: self._sampled(replica, share) for replica in running}
        queued = self._sampled("queue", self._load if not running else self._rng.choice([0, 0, 1]))
        on_handles = {} if self._on_replicas else {r.to_full_id_str(): points for r, points in counts.items()}
        report = HandleMetricReport(
            ID,
            "h1",
            "gateway",
            DeploymentHandleSource.REPLICA,
            queued,
            {RUNNING_REQUESTS_KEY: on_handles},
            self.now_s,
        )
        # Handles send the columnar format unless told otherwise. Its arithmetic differs from that of the
        # older one in the last bit, which is a replica where a load is a whole multiple of the target.
        frame = autoscaling_metrics_codec.encode(report)
        payload = autoscaling_metrics_codec.decode_handle_flat(frame)
        self._outbox.append(lambda: self._state.record_columnar_metrics_for_handle(payload))
        for replica, points in counts.items() if self._on_replicas else ():
            metrics = {RUNNING_REQUESTS_KEY: points, **self._stats(share)}
            of_replica = ReplicaMetricReport(replica, metrics, self.now_s)
            self._outbox.append(partial(self._state.record_request_metrics_for_replica, of_replica))

    def _deliver(self) -> None:
        """Hand the reports over; a busy machine may hold them up for longer than a handle may be silent."""
        if self._mishaps.random() < 0.01:
            self._held_until_s = self.now_s + self._mishaps.uniform(1, 14)
        while self._outbox and self.now_s >= self._held_until_s:
            self.now_s += 0.001  # no two arrive at the same time
            self._outbox.pop(0)()

    def _stats(self, share: float) -> dict[str, list[TimeStampedValue]]:
        """What a replica with so many requests publishes of itself."""
        stats = ReplicaStats(
            running_requests=share,
            prefill_tokens=100 * share,
            context_tokens=500 * share,
            kv_capacity_tokens=8000,
            max_running_requests=8,
            prefill_tokens_per_s=1000,
            decode_step_s=0.02 + 0.002 * share,
            startup_s=3,
        )
        return {name: [TimeStampedValue(self.now_s, value)] for name, value in stats.to_metrics().items()}

    def _sampled(self, source: object, value: float) -> list[TimeStampedValue]:
        kept = [p for p in self._series.get(source, []) if p.timestamp >= self.now_s - self._look_back_s]
        self._series[source] = [*kept, TimeStampedValue(self.now_s - self._rng.uniform(0, 0.05), value)]
        return self._series[source]


def _info(config: AutoscalingConfig) -> Any:
    return SimpleNamespace(
        deployment_config=SimpleNamespace(autoscaling_config=config, gang_scheduling_config=None),
        target_capacity=None,
        target_capacity_direction=None,
        config_changed=lambda _: False,
    )


@contextmanager
def driven(seed: int, num_ticks: int, on_replicas: bool = True, policy: Policy = None) -> Iterator[Path]:
    """The records of one run."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # metrics_interval_s is deprecated
        try:
            Driver(seed, Path(folder), on_replicas, policy).run(num_ticks)
        finally:
            recorder.uninstall()
        yield Path(folder)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), on_replicas=st.booleans(), skip=st.booleans())
@example(seed=32, on_replicas=True, skip=False)  # a load that is a whole multiple of the target
@example(seed=163, on_replicas=False, skip=False)  # reports held up for longer than a handle may be silent
def test_the_simulator_repeats_every_decision(seed: int, on_replicas: bool, skip: bool) -> None:
    with driven(seed, 400, on_replicas) as folder, serve_controllers() as make:
        outcome = replay_folder(folder, make, skip)
    assert outcome.mismatches == ()
    assert outcome.num_ticks == 400


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("policy", POLICIES[1:], ids=lambda policy: policy["policy_function"])
def test_the_simulator_repeats_every_decision_of_another_policy(policy: Policy, skip: bool) -> None:
    for seed in range(3):
        with driven(seed, 400, policy=policy) as folder, serve_controllers() as make:
            outcome = replay_folder(folder, make, skip)
        assert outcome.mismatches == ()
        assert outcome.num_ticks == 400


def test_the_runs_above_are_not_idle() -> None:
    changes = skipped = 0
    for seed in range(10):
        with driven(seed, 300) as folder, serve_controllers() as make:
            outcome = replay_folder(folder, make, skip=True)
        changes += outcome.num_changes
        skipped += outcome.num_skipped
    assert changes > 30
    assert 500 < skipped < 2900


def records(seed: int = 3) -> list[Record]:
    with driven(seed, 300) as folder:
        return list(read_records(folder / "expert-math.Expert.jsonl"))


def test_a_decision_that_is_not_the_controllers_is_found() -> None:
    wrong = [{**r, "decision": r["decision"] + 1} if r["kind"] == "tick" else r for r in records()]
    with serve_controllers() as make:
        outcome = replay(wrong, make)
    assert len(outcome.mismatches) == outcome.num_ticks == 300
    first = outcome.mismatches[0]
    assert first.decided + 1 == first.record["decision"]


@pytest.mark.parametrize("kind", ["running", "handle", "replica"])
def test_a_missing_input_is_found(kind: str) -> None:
    with serve_controllers() as make:
        outcome = replay([record for record in records() if record["kind"] != kind], make)
    assert outcome.mismatches


def test_a_clock_that_runs_otherwise_is_found() -> None:
    slow = [{**r, "t": START_S + (r["t"] - START_S) / 3} if r["kind"] == "tick" else r for r in records()]
    with serve_controllers() as make:
        assert replay(slow, make).mismatches


def test_half_a_last_line_is_left_out_and_a_changed_deployment_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"kind":"stale","t":1}\n{"kind":"ti')
    assert list(read_records(path)) == [{"kind": "stale", "t": 1}]
    whole = records()
    with serve_controllers() as make, pytest.raises(AssertionError, match="registered twice"):
        replay([*whole, whole[0]], make)


def test_the_policy_in_the_recorder_is_the_one_that_is_replayed() -> None:
    register = records()[0]
    assert register["kind"] == "register"
    assert register["application"] == "expert-math"
    assert register["autoscaling"]["policy"] == {}
    with driven(3, 5, policy=POLICIES[2]) as folder:
        (first, *_) = read_records(folder / "expert-math.Expert.jsonl")
    assert first["autoscaling"]["policy"] == POLICIES[2]


def test_after_uninstalling_nothing_is_left() -> None:
    before = dict(vars(DeploymentAutoscalingState))
    with driven(1, 5):
        pass
    assert dict(vars(DeploymentAutoscalingState)) == before
    assert autoscaling_state.time.__name__ == "time"
