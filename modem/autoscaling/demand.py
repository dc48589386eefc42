"""What an expert's requests ask of its replicas, in requests and tokens, and what one replica can do."""

from collections.abc import Callable
from dataclasses import dataclass

from modem.autoscaling.base import ExpertLoad
from modem.autoscaling.stats import ReplicaStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one replica can, as far as replicas have published it; remembered while none is awake.

    Attributes:
        kv_capacity_tokens: Tokens that its KV cache holds; 0 if unknown.
        max_running_requests: Requests that its batch holds; 0 if unknown.
        prefill_tokens_per_s: Speed of reading prompts; 0 if unknown.
        tokens_per_request: Tokens that one running request holds on average; 0 if unknown.
        startup_s: Time from creation to readiness; 0 if unknown.
    """

    kv_capacity_tokens: float = 0.0
    max_running_requests: float = 0.0
    prefill_tokens_per_s: float = 0.0
    tokens_per_request: float = 0.0
    startup_s: float = 0.0

    def learn(self, load: ExpertLoad) -> "Profile":
        """Return the profile with what the replicas publish now; what they leave out stays."""
        running = sum(each.running_requests for each in load.stats)
        context = sum(each.context_tokens for each in load.stats)
        return Profile(
            kv_capacity_tokens=_mean(load.stats, lambda s: s.kv_capacity_tokens) or self.kv_capacity_tokens,
            max_running_requests=_mean(load.stats, lambda s: s.max_running_requests)
            or self.max_running_requests,
            prefill_tokens_per_s=_mean(load.stats, lambda s: s.prefill_tokens_per_s)
            or self.prefill_tokens_per_s,
            # Less than one request on average says little about requests.
            tokens_per_request=context / running if running >= 1 and context else self.tokens_per_request,
            # The slowest start is the one to be ready for.
            startup_s=max((each.startup_s for each in load.stats), default=0.0) or self.startup_s,
        )


def _mean(stats: tuple[ReplicaStats, ...], of: Callable[[ReplicaStats], float]) -> float:
    """Return the mean of the replicas that know it; 0 if none does."""
    known = [value for value in map(of, stats) if value > 0]
    return sum(known) / len(known) if known else 0.0


@dataclass(frozen=True, slots=True)
class Demand:
    """What all requests of an expert ask for, those included that wait outside its replicas.

    Attributes:
        requests: Requests that run or wait.
        tokens: Tokens that they hold in KV caches or will have read into them.
        prefill_tokens: Prompt tokens that are yet to be read.
    """

    requests: float
    tokens: float
    prefill_tokens: float


def demand_of(load: ExpertLoad, profile: Profile) -> Demand:
    """Add up the replicas' tokens, and what is known of requests that no replica has told of.

    A request at a handle has not been read by anyone, so its tokens are unknown: it counts as much as a
    running one holds on average, as yet to be read.
    """
    told = sum(each.running_requests + each.waiting_requests for each in load.stats)
    untold = max(0.0, load.ongoing_requests - told) * profile.tokens_per_request
    prefill = sum(each.prefill_tokens for each in load.stats) + untold
    context = sum(each.context_tokens for each in load.stats)
    return Demand(load.ongoing_requests, context + prefill, prefill)
