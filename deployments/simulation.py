"""Serve's own decision code for the simulator: the classes that the controller of a cluster runs.

`DeploymentAutoscalingState` of Ray 2.60 needs no cluster. It is given the simulation's time instead of the
machine's, by replacing the name ``time`` in the two modules that read it, in this process only and only
while `serve_controllers` lasts. Policies are found by their import paths and built as Serve does it.

Every private name of Serve that this needs is imported here; `tests/unit/deployments/test_simulation.py`
fails if one of them moves.
"""

import logging
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil, inf
from types import SimpleNamespace
from typing import Any

import numpy as np
from ray.serve import autoscaling_policy as _policy_module
from ray.serve._private import autoscaling_state as _state_module
from ray.serve._private.autoscaling_metrics_codec import FlatHandleReport
from ray.serve._private.common import (
    RUNNING_REQUESTS_KEY,
    DeploymentHandleSource,
    DeploymentID,
    HandleMetricReport,
    ReplicaID,
    ReplicaMetricReport,
)
from ray.serve._private.constants import (
    RAY_SERVE_COLUMNAR_AUTOSCALING_METRICS,
    SERVE_AUTOSCALING_DECISION_COUNTERS_KEY,
    SERVE_AUTOSCALING_DECISION_TIMESTAMP_KEY,
    SERVE_LOGGER_NAME,
)
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from modem.autoscaling.pool import POOLS
from modem.errors import ConfigError
from modem.simulation.bounds import ROUNDING_S, Bounds, Zones, bounds_of, total_bounds, window_start_s
from modem.simulation.control import HOLDS_UNTIL, HandleReport, ReplicaReport
from modem.simulation.setup import ExpertSetup

_SLACK_S = 1e-3
"""The end of a delay, or of a policy's holding, is looked at so much earlier than computed: asking once too
often changes nothing, and a rounding of large times is far less."""


class _Clock:
    """What stands in for the module ``time`` in Serve's code."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def time(self) -> float:
        return self.now_s

    monotonic = time


class _NoGauge:
    """Stands in for the gauges that a decision sets: nobody reads them here."""

    def set(self, *_: Any, **__: Any) -> None:
        """Do nothing."""


@contextmanager
def serve_controllers() -> Iterator["ServeControllers"]:
    """Yield what makes a controller for an expert; Serve's code sees simulated time meanwhile.

    Not for two threads at once: the time is one for the process. Not inside a Serve controller.
    """
    clock = _Clock()
    modules = (_policy_module, _state_module)
    before = [module.time for module in modules]
    logger = logging.getLogger(SERVE_LOGGER_NAME)
    level = logger.level
    for module in modules:
        module.time = clock
    logger.setLevel(logging.WARNING)  # it would tell about each policy
    try:
        yield ServeControllers(clock)
    finally:
        logger.setLevel(level)
        for module, original in zip(modules, before, strict=True):
            module.time = original


class ServeControllers:
    """Makes controllers that share a clock (`modem.simulation.control.ControllerFactory`).

    Args:
        clock: The time that Serve's code sees.
    """

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    def reset(self) -> None:
        """Forget the pools of GPUs that policies share within a process."""
        POOLS.clear()

    def __call__(self, setup: ExpertSetup) -> "ServeController":
        """Return a controller that knows nothing yet.

        Raises:
            ConfigError: As `ServeController` does.
        """
        return ServeController(setup, self._clock)


class ServeController:
    """One expert's decisions, by Serve's code (`modem.simulation.control.Controller`).

    Args:
        setup: The expert; it must have ``autoscaling``.
        clock: The time that Serve's code sees.

    Raises:
        ConfigError: Serve refuses the settings, or the policy cannot be imported or built.
    """

    def __init__(self, setup: ExpertSetup, clock: _Clock) -> None:
        self.deployment_id = DeploymentID(name=setup.deployment, app_name=setup.application)
        self.config = _config(setup)
        self._clock = clock
        self._is_default = (
            setup.application_policy is None and self.config.policy.is_default_policy_function()
        )
        self._application: _state_module.ApplicationAutoscalingState | None = None
        self._first_target = self._register(setup)
        for name in [name for name in vars(self.state) if name.endswith("_gauge")]:
            setattr(self.state, name, _NoGauge())
        self._ids: dict[str, ReplicaID] = {}
        self._running: tuple[str, ...] = ()
        self._queued: dict[str, Bounds] = {}
        self._handle_running: dict[str, Mapping[str, Bounds]] = {}
        self._ongoing: dict[str, Bounds] = {}
        self._new_handles: dict[str, HandleReport] = {}
        self._new_replicas: dict[str, ReplicaReport] = {}
        self._zones: dict[tuple[int, int], Zones] = {}
        self._handle_sent_s: dict[str, float] = {}
        self._replica_sent_s: dict[str, float] = {}
        self._is_fresh = True
        self._was_cold = False
        self._cold_replicas = ceil(self.config.get_upscaling_factor())

    def _register(self, setup: ExpertSetup) -> int:
        """Do what Serve does with a new deployment, and with its application if that has a policy."""
        # Of a deployment's info, registering reads these attributes only.
        info: Any = SimpleNamespace(
            deployment_config=SimpleNamespace(autoscaling_config=self.config, gang_scheduling_config=None),
            target_capacity=None,
            target_capacity_direction=None,
            config_changed=lambda _: False,
        )
        policy = setup.application_policy or self.config.policy
        try:
            if setup.application_policy is None:
                self.state = _state_module.DeploymentAutoscalingState(self.deployment_id)
                return int(self.state.register(info, -1))
            application = _state_module.ApplicationAutoscalingState(setup.application)
            application.register(AutoscalingPolicy(**setup.application_policy.model_dump(exclude_unset=True)))
            target = application.register_deployment(self.deployment_id, info, -1)
            self.state = application._deployment_autoscaling_states[self.deployment_id]
            self._application = application
            return int(target)
        except Exception as error:  # importing and building a policy runs foreign code
            reason = str(error) if isinstance(error, ConfigError) else repr(error)
            raise ConfigError(
                f"{setup.application}: {policy.policy_function} cannot be built with "
                f"policy_kwargs {policy.policy_kwargs}: {reason}"
            ) from error

    def first_target(self) -> int:
        """Return ``initial_replicas``, or ``min_replicas`` without it."""
        return self._first_target

    def replica(self, replica_id: str) -> ReplicaID:
        """Return Serve's id for a replica of ours."""
        if replica_id not in self._ids:
            self._ids[replica_id] = ReplicaID(replica_id, self.deployment_id)
        return self._ids[replica_id]

    def record_handle(self, report: HandleReport) -> None:
        """Take a handle's report; Serve's code gets it, if no newer one comes before, with the next round."""
        if report.sent_s <= self._handle_sent_s.get(report.handle_id, -inf):
            return
        self._handle_sent_s[report.handle_id] = report.sent_s
        self._new_handles[report.handle_id] = report
        if report.queued:
            self._queued[report.handle_id] = bounds_of(report.queued)
        if report.running or report.handle_id in self._handle_running:
            self._handle_running[report.handle_id] = {n: bounds_of(s) for n, s in report.running.items() if s}
        self._is_fresh = True

    def record_replica(self, report: ReplicaReport) -> None:
        """Take a replica's report, as `record_handle` does."""
        if report.sent_s <= self._replica_sent_s.get(report.replica_id, -inf):
            return
        self._replica_sent_s[report.replica_id] = report.sent_s
        self._new_replicas[report.replica_id] = report
        if report.ongoing:
            self._ongoing[report.replica_id] = bounds_of(report.ongoing)
        else:
            self._ongoing.pop(report.replica_id, None)
        self._is_fresh = True

    def _hand_over(self) -> None:
        """Give Serve's code the reports that have come since the last round."""
        if not self._new_handles and not self._new_replicas:
            return
        now_s = self._clock.now_s
        for handle in self._new_handles.values():
            self._clock.now_s = handle.sent_s  # Serve notes when it got it
            if RAY_SERVE_COLUMNAR_AUTOSCALING_METRICS:
                self.state.record_columnar_metrics_for_handle(self._columnar(handle))
            else:
                self.state.record_request_metrics_for_handle(self._plain(handle))
        self._clock.now_s = now_s
        for replica in self._new_replicas.values():
            metrics: dict[str, Any] = dict(replica.stats)
            if replica.ongoing:
                metrics[RUNNING_REQUESTS_KEY] = replica.ongoing
            self.state.record_request_metrics_for_replica(
                ReplicaMetricReport(self.replica(replica.replica_id), metrics, replica.sent_s)
            )
        self._new_handles.clear()
        self._new_replicas.clear()

    def _columnar(self, report: HandleReport) -> FlatHandleReport:
        """Return what Serve decodes from a handle's report (``autoscaling_metrics_codec``).

        Serve adds columns up in another order than points, so the format matters in the last bit.
        """
        series = list(report.running.values())
        offsets = np.cumsum([0, *map(len, series)])
        entries = [(0, i, int(offsets[i]), len(one)) for i, one in enumerate(series)]
        points = [sample for one in series for sample in one]
        return {
            "handle_id": report.handle_id,
            "deployment_id": self.deployment_id,
            "actor_id": report.actor_id,
            "handle_source": DeploymentHandleSource.REPLICA.value,
            "timestamp": report.sent_s,
            "ts": np.array([sample.timestamp for sample in points], dtype=np.float64),
            "val": np.array([sample.value for sample in points], dtype=np.float64),
            "entries": np.array(entries, dtype=np.int64).reshape(-1, 4),
            "mi": 0,
            "replica_keys": [self.replica(name).to_full_id_str() for name in report.running],
            "q_ts": np.array([sample.timestamp for sample in report.queued], dtype=np.float64),
            "q_val": np.array([sample.value for sample in report.queued], dtype=np.float64),
        }

    def _plain(self, report: HandleReport) -> HandleMetricReport:
        return HandleMetricReport(
            self.deployment_id,
            report.handle_id,
            report.actor_id,
            DeploymentHandleSource.REPLICA,
            report.queued,
            {RUNNING_REQUESTS_KEY: {self.replica(n).to_full_id_str(): s for n, s in report.running.items()}},
            report.sent_s,
        )

    def set_running(self, replica_ids: Sequence[str]) -> None:
        """Say which replicas run."""
        self._running = tuple(replica_ids)
        self.state.update_running_replica_ids([self.replica(name) for name in replica_ids])
        self._is_fresh = True

    def replica_stopped(self, replica_id: str) -> None:
        """Forget a replica."""
        self._new_replicas.pop(replica_id, None)
        self.state.on_replica_stopped(self.replica(replica_id))
        self._ongoing.pop(replica_id, None)
        self._replica_sent_s.pop(replica_id, None)
        self._ids.pop(replica_id, None)

    def drop_stale(self, now_s: float, alive_actor_ids: Collection[str]) -> None:
        """Forget handles that are dead or silent."""
        self._clock.now_s = now_s
        self._hand_over()
        self.state.drop_stale_handle_metrics(set(alive_actor_ids))
        for handle_id in [h for h in self._queued if self.state._handle_store.received_at(h) is None]:
            for kept in (self._queued, self._handle_running, self._handle_sent_s):
                kept.pop(handle_id, None)

    def decide(self, now_s: float, target: int) -> int:
        """Ask Serve's code, and so the policy."""
        self._clock.now_s = now_s
        self._hand_over()
        if self._application is None:
            decision = self.state.get_decision_num_replicas(target)
        else:
            decisions = self._application.get_decision_num_replicas({self.deployment_id: target})
            decision = decisions.get(self.deployment_id, target)
        self._is_fresh = False
        self._was_cold = (
            self._application is None
            and not self._running
            and self.state.get_last_decision_total_num_requests() > 0
        )
        return int(decision)

    def scaled(self, now_s: float, old: int, new: int) -> None:
        """Note the time of a change."""
        self._clock.now_s = now_s
        if new > old:
            self.state.record_scale_up()
        else:
            self.state.record_scale_down()

    # --- how long an answer stands

    def wake_s(self, now_s: float, target: int) -> float:
        """Return a time before which calls of `decide` would only repeat its answer."""
        if self._application is not None:
            # While no replica runs, what the policy's answer is good for depends on whether requests wait.
            return now_s if self._is_fresh and not self._running else self._wake_held(now_s, target)
        sources = self._sources()
        if not self._running and any(source.high for source in sources):
            # Serve's cold path: it asks no deployment's policy and leaves no trace.
            return inf if target >= self._cold_replicas and self._surely_positive(sources) else now_s
        if not self._is_default:
            return self._wake_held(now_s, target)
        if not self._running:
            return inf if target or not self._pending() else now_s
        return self._wake_default(now_s, target, sources)

    def _sources(self) -> list[Bounds]:
        """Return the series that Serve would merge, as ``get_total_num_requests`` chooses them."""
        found = [self._ongoing[name] for name in self._running if name in self._ongoing]
        if not found:
            for running in self._handle_running.values():
                found += [bounds for name, bounds in running.items() if name in self._running]
        return [*found, *self._queued.values()]

    def _surely_positive(self, sources: Sequence[Bounds]) -> bool:
        # The last value always has a part in a mean and a maximum.
        return self.config.aggregation_function != "min" and any(source.last for source in sources)

    def _pending(self) -> int:
        """Return the direction of the delay that runs: above 0 up, below 0 down, 0 none."""
        return int(self._policy_state().get(SERVE_AUTOSCALING_DECISION_COUNTERS_KEY) or 0)

    def _policy_state(self) -> Mapping[str, Any]:
        if self._application is None:
            return self.state._policy_state or {}
        return (self._application._policy_state or {}).get(self.deployment_id) or {}

    def _wake_held(self, now_s: float, target: int) -> float:
        """For any policy: it says itself how long its number stands; then only a delay can end."""
        held_s = float(self._policy_state().get(HOLDS_UNTIL, -inf)) - _SLACK_S
        if held_s <= now_s or self._was_cold:
            return now_s
        return float(min(held_s, self._delay_end_s(target, self._pending())))

    def _wake_default(self, now_s: float, target: int, sources: Sequence[Bounds]) -> float:
        """For Serve's own policy: it rises with the total, and the total has bounds."""
        low, high = total_bounds(sources)
        end_s = self._end_within(low, high, now_s, target)
        if end_s > now_s or self._is_fresh:
            return end_s
        # No report since the last decision: the total only drifts from what it was then to the last values.
        until_s = now_s + float(self.config.metrics_interval_s)
        total = float(self.state.get_last_decision_total_num_requests())
        drifted = total
        if self.config.aggregation_function == "mean":
            window_s = now_s - window_start_s(sources) - ROUNDING_S
            if window_s <= ROUNDING_S:
                return now_s
            last = sum(source.last for source in sources)
            ahead_s = until_s - now_s
            drifted += (last - total) * ahead_s / (window_s + ahead_s)
        lower, higher = min(total, drifted), max(total, drifted)
        return min(self._end_within(lower, higher, now_s, target), until_s)

    def _end_within(self, low: float, high: float, now_s: float, target: int) -> float:
        """Return when the answer may change while the total stays within bounds; now if it may at once."""
        direction = self._direction(low * (1 - 1e-9), target)
        if direction != self._direction(high * (1 + 1e-9), target):
            return now_s
        pending = self._pending()
        if not direction:
            return now_s if pending else inf
        if direction * pending < 0:
            return now_s  # the delay that runs is reset at the very next round
        bound = self.state.get_num_replicas_upper_bound() if direction > 0 else -self._lower_bound()
        if direction * target >= bound:
            return inf  # what it asks for is clipped, and its delay is reset when it turns
        return self._delay_end_s(target, direction) if pending else now_s

    def _direction(self, total: float, target: int) -> int:
        """Return whether Serve's policy would want more than the target (1), less (-1) or neither (0)."""
        key = (len(self._running), target)
        zones = self._zones.get(key)
        if zones is None:
            zones = self._zones[key] = Zones()
        known = zones.find(total)
        if known is None:
            known = self._asked(total, target)
            zones.add(total, known)
        return known

    def _asked(self, total: float, target: int) -> int:
        replicas = len(self._running)
        context = SimpleNamespace(
            current_num_replicas=replicas,
            config=self.config,
            total_num_requests=total,
            target_num_replicas=target,
        )
        wanted, _ = _policy_module._core_replica_queue_length_policy(context)
        number = max(int(_policy_module._apply_scaling_factors(wanted, replicas, self.config)), 0)
        return int(number > target) - int(number < target)

    def _delay_end_s(self, target: int, direction: int) -> float:
        """Return when the delay that runs is over; infinity if none does or its end has no effect."""
        started_s = self._policy_state().get(SERVE_AUTOSCALING_DECISION_TIMESTAMP_KEY)
        if not direction or started_s is None:
            return inf
        config = self.config
        if direction > 0:
            if target >= self.state.get_num_replicas_upper_bound():
                return inf
            return float(started_s + config.upscale_delay_s - _SLACK_S)
        if target <= self._lower_bound():
            return inf
        delay_s = config.downscale_delay_s
        if target == 1 and config.downscale_to_zero_delay_s is not None:
            delay_s = config.downscale_to_zero_delay_s
        return float(started_s + delay_s - _SLACK_S)

    def _lower_bound(self) -> int:
        return int(self.state.get_num_replicas_lower_bound())


def _config(setup: ExpertSetup) -> AutoscalingConfig:
    if setup.autoscaling is None:
        raise ConfigError(f"{setup.application}: no autoscaling_config, so there is nothing to decide")
    fields = setup.autoscaling.model_dump(exclude_unset=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # metrics_interval_s is deprecated and yet the only such setting
            return AutoscalingConfig(**fields)
    except Exception as error:  # importing a policy runs foreign code
        # Pydantic spreads an error over lines.
        reason = " ".join(f"{error or type(error).__name__}".split())
        raise ConfigError(f"{setup.application}: autoscaling_config: {reason}") from error
