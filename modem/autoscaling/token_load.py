"""``token_load``: tokens in flight and waiting, against what a replica holds and reads."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from modem.autoscaling.base import Decision, ExpertLoad
from modem.autoscaling.demand import Demand, Profile, demand_of
from modem.autoscaling.hysteresis import HoldParams, Needs, settle


class TokenLoadParams(HoldParams):
    """Parameters of `TokenLoad`, besides those of `HoldParams`.

    Attributes:
        kv_utilization: Share of a replica's KV cache that its requests should fill. 0.8 is also where
            arXiv 2603.09730 calls a replica saturated: above it vLLM begins to preempt.
        prefill_wait_s: Seconds of prompt reading that a replica may have before it, so about how long a new
            prompt waits.
        prefill_tokens_per_s: A replica's speed of reading prompts; as measured by replicas if not given.
        kv_capacity_tokens: Tokens that a replica's KV cache holds; as published by replicas if not given.
    """

    kind: Literal["token_load"] = "token_load"
    kv_utilization: float = Field(default=0.8, gt=0, le=1)
    prefill_wait_s: float = Field(default=1.0, gt=0, le=600)
    prefill_tokens_per_s: float | None = Field(default=None, gt=0)
    kv_capacity_tokens: float | None = Field(default=None, gt=0)

    def build(self) -> "TokenLoad":
        """Return the policy."""
        return TokenLoad(self)


@dataclass(frozen=True, slots=True)
class TokenState:
    """What `TokenLoad` remembers of one expert.

    Attributes:
        profile: What its replicas can.
        needs: What was needed lately.
    """

    profile: Profile
    needs: Needs


class TokenLoad:
    """As many replicas as the scarcest of three things takes: places, KV cache, or reading of prompts.

    .. code-block:: text

        n = max( requests       / target_ongoing_requests,
                 tokens         / (kv_utilization * kv_capacity_tokens),
                 prefill_tokens / (prefill_wait_s * prefill_tokens_per_s) )

    ``requests`` are those that run or wait. ``tokens`` are what they hold in the KV cache or will have read
    into it; ``prefill_tokens`` the part of them that is yet to be read. So ten long prompts count as what
    they are. What is not known of a replica drops out; with nothing known it is Serve's own rule.

    Sources: counting prefill and decode tokens apart against measured capacity, TokenScale (arXiv
    2512.03416); KV headroom as the sign of saturation, WVA (arXiv 2603.09730, llm-d).
    """

    def __init__(self, params: TokenLoadParams) -> None:
        self._params = params

    def decide(self, load: ExpertLoad, state: TokenState | None) -> Decision[TokenState]:
        """Decide; see the class."""
        profile = (state.profile if state else Profile()).learn(load)
        need, reason = self._need(load, demand_of(load, profile), profile)
        number, needs = settle(load, need, self._params, state.needs if state else None)
        return Decision(number, need, reason, TokenState(profile, needs))

    def _need(self, load: ExpertLoad, demand: Demand, profile: Profile) -> tuple[float, str]:
        params = self._params
        kv_tokens = params.kv_capacity_tokens or profile.kv_capacity_tokens
        speed = params.prefill_tokens_per_s or profile.prefill_tokens_per_s
        needs = {"requests": demand.requests / load.target_ongoing_requests}
        if kv_tokens:
            needs["kv"] = demand.tokens / (params.kv_utilization * kv_tokens)
        if speed:
            needs["prefill"] = demand.prefill_tokens / (params.prefill_wait_s * speed)
        reason = max(needs, key=needs.__getitem__)
        return needs[reason], reason
