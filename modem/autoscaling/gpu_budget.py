"""``gpu_budget``: another policy, within a number of GPUs that several experts share."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from modem.autoscaling.allocation import Claim, allocate
from modem.autoscaling.base import AnyPolicy, Decision, ExpertLoad, PolicyParams
from modem.autoscaling.forecast import ForecastParams
from modem.autoscaling.hysteresis import Needs, just_fell
from modem.autoscaling.ongoing_requests import OngoingRequestsParams
from modem.autoscaling.pool import POOLS, Entry, Pools
from modem.autoscaling.slo import SloParams
from modem.autoscaling.token_load import TokenLoadParams

NEED_WINDOW_S = 60.0
"""The pool goes by the largest need of so long: a pause of a moment frees nothing."""

_ROUNDING = 1e-9

Inner = Annotated[
    OngoingRequestsParams | TokenLoadParams | SloParams | ForecastParams, Field(discriminator="kind")
]


class GpuBudgetParams(PolicyParams):
    """Parameters of `GpuBudget`.

    Attributes:
        num_gpus: GPUs of the pool: the same number for all experts of a pool.
        gpus_per_replica: GPUs that a replica of this expert takes.
        pool: Name of the pool.
        weight: How much a request of this expert counts against one of another expert's.
        policy: The policy that says what the expert needs, with ``kind`` and its parameters.
        interval_s: Seconds between two decisions.
        turn_s: How long an expert keeps what it was given although others want it.
        idle_s: How long the last replica stays after the last request, as long as nobody wants its GPUs.
            Serve's ``downscale_to_zero_delay_s`` comes on top and holds GPUs that others want.
        surge: After a step down an expert gets more again within ``turn_s`` only if it needs this many times
            what it has.
    """

    kind: Literal["gpu_budget"] = "gpu_budget"
    num_gpus: float = Field(gt=0)
    gpus_per_replica: float = Field(default=1.0, gt=0)
    pool: str = Field(default="default", min_length=1)
    weight: float = Field(default=1.0, gt=0)
    policy: Inner = TokenLoadParams()
    interval_s: float = Field(default=1.0, ge=0, le=10)
    turn_s: float = Field(default=600.0, ge=0, le=86400)
    idle_s: float = Field(default=600.0, ge=0, le=86400)
    surge: float = Field(default=1.5, ge=1, le=10)

    def build(self) -> "GpuBudget":
        """Return the policy."""
        return GpuBudget(self)


@dataclass(frozen=True, slots=True)
class BudgetState:
    """What `GpuBudget` remembers of one expert.

    Attributes:
        inner: State of the policy within.
        needs: What was needed in the last minute.
        wish: What the policy within last asked for.
        wish_up_s: When that last rose.
        wish_down_s: When that last fell.
        needed_s: When a replica was last needed.
        waiting_since_s: Since when it needs a replica and none runs.
        awake_since_s: Since when one runs.
    """

    inner: Any
    needs: Needs
    wish: int
    wish_up_s: float | None = None
    wish_down_s: float | None = None
    needed_s: float | None = None
    waiting_since_s: float | None = None
    awake_since_s: float | None = None


class GpuBudget:
    """What another policy wants, cut to this expert's share of the pool.

    .. code-block:: text

        wish = policy(load)
        mine = allocate(all claims of the pool, num_gpus)[this expert]          (modem.autoscaling.allocation)
        n    = min(mine, what it has + GPUs that nobody has or was promised)

    When experts want more GPUs than there are, ``allocate`` gives each of them that has requests a first
    replica, by turns if even that is too much, and each further one to whom it saves most requests per GPU.
    An expert that needs nothing gives its GPUs to one that does, also to one that sleeps. ``min_replicas``
    are never taken.

    Named as an application's ``autoscaling_policy`` it is called while the expert sleeps, too, and so knows
    at once that it wakes. Named in ``autoscaling_config`` it is not: the others then take an expert that has
    fallen silent without a replica for one that Serve is waking (`modem.autoscaling.pool`).

    Sources: capacity where it saves most of the target, Chiron (arXiv 2501.08090) and SageServe (arXiv
    2502.14617, as an integer program); greedy by gain per cost, the classical rule for such a knapsack.
    """

    def __init__(self, params: GpuBudgetParams, pools: Pools = POOLS) -> None:
        self._params = params
        self._pools = pools
        self._inner: AnyPolicy = params.policy.build()

    def decide(self, load: ExpertLoad, state: BudgetState | None) -> Decision[BudgetState]:
        """Decide, and tell the pool; see the class."""
        params, pool = self._params, self._pools.named(self._params.pool)
        before = state or BudgetState(None, Needs(NEED_WINDOW_S, load.now_s), load.target_replicas)
        wanted = self._inner.decide(_as_wished(load, before), before.inner)
        after = self._remember(load, before, wanted)
        claim = self._claim(load, after)
        others = pool.others(load.expert, load.now_s)
        claims = [claim, *(other for other, _ in others)]
        mine = allocate(claims, params.num_gpus, load.now_s, params.turn_s)[load.expert]
        taken = sum(max(other.has, granted) * other.gpus_per_replica for other, granted in others)
        room = int((params.num_gpus - taken) / params.gpus_per_replica + _ROUNDING)
        number = min(mine, max(room, claim.has, load.min_replicas))
        if (
            0 < claim.has < number
            and just_fell(load, params.turn_s)
            and claim.need <= claim.has * params.surge
        ):
            number = claim.has
        number = load.within_bounds(number)
        pool.publish(Entry(load.now_s, claim, number, load.running_replicas))
        return Decision(number, wanted.need, "budget" if number < claim.wish else wanted.reason, after)

    def _remember(self, load: ExpertLoad, before: BudgetState, wanted: Decision[Any]) -> BudgetState:
        now_s, wish = load.now_s, math.ceil(wanted.num_replicas - _ROUNDING)
        if load.running_replicas == 0:  # Serve's own rule only answers once a replica runs
            wish = max(wish, math.ceil(wanted.need - _ROUNDING))
        wish = load.within_bounds(wish)
        needs = before.needs.note(now_s, wanted.need)
        awake = load.running_replicas > 0
        waits = not awake and needs.highest > 0
        return BudgetState(
            inner=wanted.state,
            needs=needs,
            wish=wish,
            wish_up_s=now_s if wish > before.wish else before.wish_up_s,
            wish_down_s=now_s if wish < before.wish else before.wish_down_s,
            needed_s=now_s if wanted.need > 0 else before.needed_s,
            waiting_since_s=_since(before.waiting_since_s, now_s) if waits else None,
            awake_since_s=_since(before.awake_since_s, now_s) if awake else None,
        )

    def _claim(self, load: ExpertLoad, state: BudgetState) -> Claim:
        params, needed = self._params, math.ceil(state.needs.highest - _ROUNDING)
        has = max(load.running_replicas, load.target_replicas)
        idles = has > 0 and state.needed_s is not None and load.now_s - state.needed_s < params.idle_s
        return Claim(
            expert=load.expert,
            gpus_per_replica=params.gpus_per_replica,
            min_replicas=load.min_replicas,
            max_replicas=load.max_replicas,
            need=state.needs.highest,
            # More than it needs it may keep, but not take.
            wish=max(min(state.wish, max(has, needed)), int(idles)),
            has=has,
            requests=load.ongoing_requests,
            weight=params.weight,
            waiting_since_s=state.waiting_since_s,
            awake_since_s=state.awake_since_s,
            raised_s=load.last_scale_up_s,
        )


def _as_wished(load: ExpertLoad, before: BudgetState) -> ExpertLoad:
    """Show the inner policy what it asked for, not what it got: else it would ask for less and less."""
    return replace(
        load,
        target_replicas=before.wish if load.target_replicas else 0,
        last_scale_up_s=before.wish_up_s,
        last_scale_down_s=before.wish_down_s,
    )


def _since(before_s: float | None, now_s: float) -> float:
    return now_s if before_s is None else before_s
