"""Serve's own decisions for one deployment, without a cluster and on simulated time.

`DeploymentAutoscalingState` and `ApplicationAutoscalingState` of Ray 2.60 are what a cluster's controller
runs. They need no cluster. They are given the simulation's time instead of the machine's, by replacing the
name ``time`` in the two modules that read it, in this process only and only while `simulated_time` lasts.
Policies are found by their import paths and built as Serve does it.

Every private name of Serve that this needs is used here and nowhere else;
`tests/unit/deployments/test_simulation.py` fails if one of them moves.
"""

import logging
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
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

from modem.errors import ConfigError
from modem.simulation.control import HandleReport, ReplicaReport
from modem.simulation.setup import ExpertSetup


class Clock:
    """What stands in for the module ``time`` in Serve's code."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def time(self) -> float:
        """Return the simulation's time."""
        return self.now_s

    monotonic = time


class _NoGauge:
    """Stands in for the gauges that a decision sets: nobody reads them here."""

    def set(self, *_: Any, **__: Any) -> None:
        """Do nothing."""


@contextmanager
def simulated_time() -> Iterator[Clock]:
    """Yield the clock that Serve's decision code sees meanwhile.

    Not for two threads at once: the time is one for the process. Not inside a Serve controller.
    """
    clock = Clock()
    modules = (_policy_module, _state_module)
    before = [module.time for module in modules]
    logger = logging.getLogger(SERVE_LOGGER_NAME)
    level = logger.level
    for module in modules:
        module.time = clock
    logger.setLevel(logging.WARNING)  # it would tell about each policy
    try:
        yield clock
    finally:
        logger.setLevel(level)
        for module, original in zip(modules, before, strict=True):
            module.time = original


class ServeDecisions:
    """Serve's state of one deployment, and of its application if that has a policy.

    Args:
        setup: The expert; it must have ``autoscaling``.
        clock: The time that Serve's code sees.

    Attributes:
        config: Serve's own settings, made from the expert's.
        first_target: ``initial_replicas``, or ``min_replicas`` without it.
        is_default: The policy is Serve's own.
        is_of_application: The policy is the application's.

    Raises:
        ConfigError: Serve refuses the settings, or the policy cannot be imported or built.
    """

    def __init__(self, setup: ExpertSetup, clock: Clock) -> None:
        self.config = _config(setup)
        self.is_of_application = setup.application_policy is not None
        self.is_default = not self.is_of_application and self.config.policy.is_default_policy_function()
        self._clock = clock
        self._id = DeploymentID(name=setup.deployment, app_name=setup.application)
        self._ids: dict[str, ReplicaID] = {}
        self._application: _state_module.ApplicationAutoscalingState | None = None
        self.first_target = self._register(setup)
        for name in [name for name in vars(self.state) if name.endswith("_gauge")]:
            setattr(self.state, name, _NoGauge())

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
                self.state = _state_module.DeploymentAutoscalingState(self._id)
                return int(self.state.register(info, -1))
            application = _state_module.ApplicationAutoscalingState(setup.application)
            application.register(AutoscalingPolicy(**setup.application_policy.model_dump(exclude_unset=True)))
            target = application.register_deployment(self._id, info, -1)
            self.state = application._deployment_autoscaling_states[self._id]
            self._application = application
            return int(target)
        except Exception as error:  # importing and building a policy runs foreign code
            reason = str(error) if isinstance(error, ConfigError) else repr(error)
            raise ConfigError(
                f"{setup.application}: {policy.policy_function} cannot be built with "
                f"policy_kwargs {policy.policy_kwargs}: {reason}"
            ) from error

    # --- inputs

    def take(self, handles: Sequence[HandleReport], replicas: Sequence[ReplicaReport]) -> None:
        """Record reports, each at the time of its sending."""
        now_s = self._clock.now_s
        for handle in handles:
            self._clock.now_s = handle.sent_s  # Serve notes when it got it
            if RAY_SERVE_COLUMNAR_AUTOSCALING_METRICS:
                self.state.record_columnar_metrics_for_handle(self.columnar(handle))
            else:
                self.state.record_request_metrics_for_handle(self.plain(handle))
        self._clock.now_s = now_s
        for replica in replicas:
            metrics: dict[str, Any] = dict(replica.stats)
            if replica.ongoing:
                metrics[RUNNING_REQUESTS_KEY] = replica.ongoing
            self.state.record_request_metrics_for_replica(
                ReplicaMetricReport(self._replica(replica.replica_id), metrics, replica.sent_s)
            )

    def columnar(self, report: HandleReport) -> FlatHandleReport:
        """Return what Serve decodes from a handle's report (``autoscaling_metrics_codec``).

        Serve adds columns up in another order than points, so the format matters in the last bit.
        """
        series = list(report.running.values())
        offsets = np.cumsum([0, *map(len, series)])
        entries = [(0, i, int(offsets[i]), len(one)) for i, one in enumerate(series)]
        points = [sample for one in series for sample in one]
        return {
            "handle_id": report.handle_id,
            "deployment_id": self._id,
            "actor_id": report.actor_id,
            "handle_source": DeploymentHandleSource.REPLICA.value,
            "timestamp": report.sent_s,
            "ts": np.array([sample.timestamp for sample in points], dtype=np.float64),
            "val": np.array([sample.value for sample in points], dtype=np.float64),
            "entries": np.array(entries, dtype=np.int64).reshape(-1, 4),
            "mi": 0,
            "replica_keys": [self._replica(name).to_full_id_str() for name in report.running],
            "q_ts": np.array([sample.timestamp for sample in report.queued], dtype=np.float64),
            "q_val": np.array([sample.value for sample in report.queued], dtype=np.float64),
        }

    def plain(self, report: HandleReport) -> HandleMetricReport:
        """Return the older form of a handle's report."""
        return HandleMetricReport(
            self._id,
            report.handle_id,
            report.actor_id,
            DeploymentHandleSource.REPLICA,
            report.queued,
            {RUNNING_REQUESTS_KEY: {self._replica(n).to_full_id_str(): s for n, s in report.running.items()}},
            report.sent_s,
        )

    def set_running(self, replica_ids: Sequence[str]) -> None:
        """Say which replicas run."""
        self.state.update_running_replica_ids([self._replica(name) for name in replica_ids])

    def replica_stopped(self, replica_id: str) -> None:
        """Forget a replica."""
        self.state.on_replica_stopped(self._replica(replica_id))
        self._ids.pop(replica_id, None)

    def drop_stale(self, alive_actor_ids: Collection[str]) -> None:
        """Forget handles that are dead or silent."""
        self.state.drop_stale_handle_metrics(set(alive_actor_ids))

    def has_handle(self, handle_id: str) -> bool:
        """Return whether a report of this handle is kept."""
        return self.state._handle_store.received_at(handle_id) is not None

    def scaled(self, up: bool) -> None:
        """Note the time of a change."""
        if up:
            self.state.record_scale_up()
        else:
            self.state.record_scale_down()

    def _replica(self, replica_id: str) -> ReplicaID:
        if replica_id not in self._ids:
            self._ids[replica_id] = ReplicaID(replica_id, self._id)
        return self._ids[replica_id]

    # --- decisions

    def decide(self, target: int) -> int:
        """Return the number of replicas that there shall be."""
        if self._application is None:
            return int(self.state.get_decision_num_replicas(target))
        decisions = self._application.get_decision_num_replicas({self._id: target})
        return int(decisions.get(self._id, target))

    @property
    def last_total(self) -> float:
        """The total of requests that the last decision went by."""
        return float(self.state.get_last_decision_total_num_requests())

    @property
    def policy_state(self) -> Mapping[str, Any]:
        """What the policy and Serve's wrapper of it remember."""
        if self._application is None:
            return self.state._policy_state or {}
        return (self._application._policy_state or {}).get(self._id) or {}

    @property
    def delay(self) -> tuple[int, float | None]:
        """Direction and begin of the delay that runs: above 0 up, below 0 down, 0 none."""
        state = self.policy_state
        direction = int(state.get(SERVE_AUTOSCALING_DECISION_COUNTERS_KEY) or 0)
        return direction, state.get(SERVE_AUTOSCALING_DECISION_TIMESTAMP_KEY)

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and most replicas."""
        return int(self.state.get_num_replicas_lower_bound()), int(self.state.get_num_replicas_upper_bound())

    def wanted_by_serve(self, total: float, num_running: int, target: int) -> int:
        """Return what Serve's own policy wants for a total of requests, before delays and bounds."""
        context = SimpleNamespace(
            current_num_replicas=num_running,
            config=self.config,
            total_num_requests=total,
            target_num_replicas=target,
        )
        wanted, _ = _policy_module._core_replica_queue_length_policy(context)
        return max(int(_policy_module._apply_scaling_factors(wanted, num_running, self.config)), 0)


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
