"""What an autoscaling policy is: load of one expert in, number of replicas out. No clock, no I/O."""

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from modem.autoscaling.stats import ReplicaStats
from modem.config import Config

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertLoad:
    """All that a policy may know about one expert at one moment.

    Attributes:
        expert: A name that no other expert has: application and deployment.
        now_s: Present time, in seconds since the epoch (since the start, in a simulation).
        running_replicas: Replicas that answer requests.
        target_replicas: Replicas that Serve aims at; more than are running while some start.
        min_replicas: Least that Serve allows.
        max_replicas: Most that Serve allows.
        ongoing_requests: Requests that run or wait, in replicas and at handles, averaged over the look-back
            window.
        queued_requests: The part of them that waits at handles.
        target_ongoing_requests: Requests that the config file aims at for one replica. It changes live.
        upscale_delay_s: How long Serve waits before it carries out a step up.
        downscale_delay_s: How long Serve waits before it carries out a step down.
        stats: What running replicas told of themselves; those that have not spoken yet are missing.
        last_scale_up_s: When the target last rose; None if it never did.
        last_scale_down_s: When the target last fell; None if it never did.
    """

    expert: str
    now_s: float
    running_replicas: int
    target_replicas: int
    min_replicas: int
    max_replicas: int
    ongoing_requests: float
    queued_requests: float = 0.0
    target_ongoing_requests: float
    upscale_delay_s: float = 0.0
    downscale_delay_s: float = 0.0
    stats: tuple[ReplicaStats, ...] = ()
    last_scale_up_s: float | None = None
    last_scale_down_s: float | None = None

    def within_bounds(self, num_replicas: int) -> int:
        """Return the number that Serve allows and that is nearest to this one."""
        return max(self.min_replicas, min(self.max_replicas, num_replicas))


@dataclass(frozen=True, slots=True)
class Decision(Generic[S]):
    """What a policy wants.

    Attributes:
        num_replicas: Replicas that the expert should have. Serve rounds up, delays and bounds it.
        need: Replicas that the load of this moment needs, neither rounded nor held back nor bounded.
        reason: One word for people and logs: what decided.
        state: What the policy wants to have back at its next call.
    """

    num_replicas: float
    need: float
    reason: str
    state: S


class Policy(Protocol[S]):
    """Decides how many replicas one expert should have. One object may serve many experts."""

    def decide(self, load: ExpertLoad, state: S | None) -> Decision[S]:
        """Decide.

        Args:
            load: The present.
            state: That of this expert's decision before; None at the first call.
        """
        ...


AnyPolicy = Policy[Any]
"""A policy of which the caller only keeps the state and gives it back."""


class PolicyParams(Config):
    """Parameters of a policy, as they stand under ``policy_kwargs``."""

    def build(self) -> AnyPolicy:
        """Return the policy."""
        raise NotImplementedError
