"""modem's autoscaling policies as Serve builds and calls them; the decisions are in `modem.autoscaling`.

Named in a config file as ``autoscaling_config.policy.policy_function: deployments.autoscaling:TokenLoad``,
or in an application's ``autoscaling_policy``, with the parameters under ``policy_kwargs``. Serve builds the
class once and calls it in the controller, every tenth of a second.

Serve pickles this module by value, and what it imports by reference: nothing here may hold state of its own.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from ray.serve.config import AutoscalingContext

from modem.autoscaling.base import Decision, ExpertLoad
from modem.autoscaling.catalogue import params_of
from modem.autoscaling.stats import PREFIX, ReplicaStats

STATE_KEY = "modem"
"""Where in Serve's state of a policy ours is; Serve adds keys of its own."""

HOLDS_UNTIL_KEY = "modem_holds_until_s"
"""Where a decision says until when it stands: the simulator (`modem.simulation.control`) asks no sooner."""

_MEASURED = frozenset(
    {"kv_capacity_tokens", "max_running_requests", "prefill_tokens_per_s", "decode_step_s", "startup_s"}
)
"""What a replica measured about itself: the newest value counts, a mean with older zeros would mislead."""

FAILED = "failed"
"""Reason of a decision that could not be made; the expert stays as it is."""

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Kept:
    """The last decision about one expert, which stands until the next is due.

    Attributes:
        at_s: When it was made.
        decision: What was decided, with the policy's own state.
    """

    at_s: float
    decision: Decision[Any]


class ServePolicy:
    """What the policies have in common.

    Args:
        policy_kwargs: Parameters, as `modem.autoscaling.catalogue.POLICIES` describes them.

    Raises:
        ConfigError: A parameter is wrong.
    """

    steers_factors: ClassVar[bool] = True
    """Whether Serve's scaling factors are taken out of the way, but for the wake; see `_number`."""

    reads_stats: ClassVar[bool] = True
    """Whether the policy looks at what replicas publish; Serve averages it on demand, which takes time."""

    def __init__(self, **policy_kwargs: Any) -> None:
        params = params_of(type(self).__name__, policy_kwargs)
        self._interval_s: float = getattr(params, "interval_s", 0.0)
        self._policy = params.build()

    def __call__(
        self, context: AutoscalingContext | Mapping[Any, AutoscalingContext]
    ) -> tuple[Any, dict[Any, Any]]:
        """Decide for one deployment, or for all deployments of an application.

        Args:
            context: Serve's view of one deployment, or a mapping of them by deployment.

        Returns:
            The number of replicas and the state that Serve keeps, or a mapping of each.
        """
        if not isinstance(context, Mapping):
            return self._decide(context)
        decided = {key: self._decide(each) for key, each in context.items()}
        for key, each in context.items():
            _wake_with(each, decided[key][0])
        return {key: n for key, (n, _) in decided.items()}, {
            key: state for key, (_, state) in decided.items()
        }

    def _decide(self, context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        kept: Kept | None = context.policy_state.get(STATE_KEY)
        now_s = float(context.current_time or 0.0)
        if kept is None or not 0 <= now_s - kept.at_s < self._interval_s:
            decision = self._decide_now(context, kept.decision if kept else None)
            kept = Kept(now_s, decision)
        state = {STATE_KEY: kept, HOLDS_UNTIL_KEY: kept.at_s + self._interval_s}
        return self._number(context, kept.decision.num_replicas), state

    def _decide_now(self, context: AutoscalingContext, before: Decision[Any] | None) -> Decision[Any]:
        name, state = type(self).__name__, before.state if before else None
        try:
            decision = self._policy.decide(load_of(context, self.reads_stats), state)
        except Exception:  # noqa: BLE001  # raised here, it would stop Serve's scaling of every application
            if before is None or before.reason != FAILED:
                _log().exception("Policy %s failed: %s stays as it is", name, _name(context))
            stays = float(context.target_num_replicas)
            return Decision(stays, stays, FAILED, state)
        if before is None or before.num_replicas != decision.num_replicas:
            message = "%s wants %g replicas of %s (%s: the load needs %.2f)"
            details = (name, decision.num_replicas, _name(context), decision.reason, decision.need)
            _log().info(message, *details)
        return decision

    def _number(self, context: AutoscalingContext, wanted: float) -> float:
        """Return the number from which Serve's wrapper arrives at the wanted one.

        The wrapper multiplies a step by ``upscaling_factor`` or ``downscaling_factor``. A policy that knows
        what it wants needs no gain, so both are undone here. That leaves ``upscaling_factor`` one meaning:
        how many replicas start when a request comes to a sleeping expert.
        """
        running = context.current_num_replicas
        if not self.steers_factors or running == 0 or wanted == running:
            return wanted
        config: Any = context.config
        up = wanted > running
        factor = config.get_upscaling_factor() if up else config.get_downscaling_factor()
        return wanted if factor == 1 else running + (wanted - running - _ROUNDING) / factor


class OngoingRequests(ServePolicy):
    """`modem.autoscaling.ongoing_requests`: Serve's own rule, its factors included."""

    steers_factors = False
    reads_stats = False


class TokenLoad(ServePolicy):
    """`modem.autoscaling.token_load`: tokens against what a replica holds and reads."""


class Slo(ServePolicy):
    """`modem.autoscaling.slo`: holds a time to first token."""


class Forecast(ServePolicy):
    """`modem.autoscaling.forecast`: another policy, for the load to come as well."""


class GpuBudget(ServePolicy):
    """`modem.autoscaling.gpu_budget`: another policy, within GPUs that experts share."""


def load_of(context: AutoscalingContext, with_stats: bool = True) -> ExpertLoad:
    """Read Serve's context as the load of one expert."""
    config: Any = context.config
    return ExpertLoad(
        expert=_name(context),
        now_s=float(context.current_time or 0.0),
        running_replicas=context.current_num_replicas,
        target_replicas=context.target_num_replicas,
        min_replicas=context.capacity_adjusted_min_replicas,
        max_replicas=context.capacity_adjusted_max_replicas,
        ongoing_requests=context.total_num_requests,
        queued_requests=context.total_queued_requests or 0.0,
        target_ongoing_requests=config.get_target_ongoing_requests(),
        upscale_delay_s=config.upscale_delay_s,
        downscale_delay_s=config.downscale_delay_s,
        stats=replica_stats(context) if with_stats else (),
        last_scale_up_s=context.last_scale_up_time,
        last_scale_down_s=context.last_scale_down_time,
    )


def replica_stats(context: AutoscalingContext) -> tuple[ReplicaStats, ...]:
    """Return what each replica published: loads averaged over the look-back window, the rest the newest."""
    averaged, series = context.aggregated_metrics or {}, context.raw_metrics or {}
    found: dict[Any, dict[str, float]] = {}
    for field in fields(ReplicaStats):
        name = PREFIX + field.name
        for replica, value in averaged.get(name, {}).items():
            newest = series.get(name, {}).get(replica) if field.name in _MEASURED else None
            found.setdefault(replica, {})[name] = newest[-1].value if newest else value
    return tuple(ReplicaStats.from_metrics(metrics) for metrics in found.values())


def _wake_with(context: AutoscalingContext, wanted: float) -> None:
    """Let a sleeping expert with requests wake with as many replicas as they need.

    While no replica runs, Serve's wrapper of an application's policy ignores what the policy returns. It then
    takes ``max(ceil(upscaling_factor), context.target_num_replicas)`` from this very context, which is made
    anew for every call (``_get_cold_start_scale_up_replicas`` in Ray 2.60). Without this a burst on a
    sleeping expert pays two start-ups in a row: one for the first replica, one for the rest.
    """
    if context.current_num_replicas == 0 and context.total_num_requests > 0:
        wanted = min(context.capacity_adjusted_max_replicas, wanted)
        context.target_num_replicas = max(context.target_num_replicas, math.ceil(wanted))


def _name(context: AutoscalingContext) -> str:
    return f"{context.app_name}/{context.deployment_name}"


def _log() -> logging.Logger:
    return logging.getLogger("ray.serve")
