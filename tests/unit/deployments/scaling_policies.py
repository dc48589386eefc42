"""Policies for the simulator's tests, found by their import paths as Serve finds a user's."""

from collections.abc import Mapping
from typing import Any

from ray.serve.config import AutoscalingContext

from modem.autoscaling.stats import PREFIX
from modem.simulation.control import HOLDS_UNTIL


def by_queue(ctx: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """As many replicas as requests wait, asked at every tick, with a state that counts the calls."""
    return ctx.total_queued_requests, {"calls": ctx.policy_state.get("calls", 0) + 1}


class Held:
    """Decides every ``interval_s`` from load and replicas' stats, and says until when that stands.

    For one deployment, or for those of an application.
    """

    def __init__(self, interval_s: float, per_replica: float = 2.0) -> None:
        self.interval_s = interval_s
        self.per_replica = per_replica

    def __call__(
        self, ctx: AutoscalingContext | Mapping[Any, AutoscalingContext]
    ) -> tuple[Any, dict[Any, Any]]:
        if isinstance(ctx, Mapping):
            found = {key: self.decide(each) for key, each in ctx.items()}
            return {key: n for key, (n, _) in found.items()}, {
                key: state for key, (_, state) in found.items()
            }
        return self.decide(ctx)

    def decide(self, ctx: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        number, at_s = ctx.policy_state.get("kept", (0.0, None))
        now_s = ctx.current_time or 0.0
        if at_s is None or now_s - at_s >= self.interval_s:
            running = ctx.aggregated_metrics.get(PREFIX + "running_requests", {})
            number, at_s = (ctx.total_num_requests + sum(running.values())) / self.per_replica / 2, now_s
        return number, {"kept": (number, at_s), HOLDS_UNTIL: at_s + self.interval_s}


class Broken:
    """Cannot be built."""

    def __init__(self) -> None:
        raise ValueError("no such luck")
