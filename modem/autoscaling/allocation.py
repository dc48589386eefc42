"""Who gets how many of the GPUs that several experts share: one pure function."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KEEP = 1.25
"""A replica that runs counts this much more than one that would have to start: moving costs a start-up."""

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one expert wants of the pool, and what it has.

    Attributes:
        expert: Its name.
        gpus_per_replica: GPUs that each of its replicas takes.
        min_replicas: Replicas that it has in any case.
        max_replicas: Replicas that it has at most.
        need: Replicas that its load needs, not rounded.
        wish: Replicas that it would have if GPUs were free; more than it needs while it waits before it gives
            one back.
        has: Replicas that run or start.
        requests: Requests that run or wait.
        weight: How much one of its requests counts against one of another expert's.
        waiting_since_s: Since when it needs a replica and none runs; None if one does or it needs none.
        awake_since_s: Since when a replica of it runs; None if none does.
        raised_s: When its number of replicas last rose; None if it never did.
    """

    expert: str
    gpus_per_replica: float
    min_replicas: int
    max_replicas: int
    need: float
    wish: int
    has: int
    requests: float
    weight: float = 1.0
    waiting_since_s: float | None = None
    awake_since_s: float | None = None
    raised_s: float | None = None

    @property
    def needed(self) -> int:
        """The need as whole replicas, within the bounds and no more than it wishes for."""
        return max(self.min_replicas, min(self.max_replicas, self.wish, math.ceil(self.need - _ROUNDING)))

    def saves(self, granted: int) -> float:
        """Return how many requests one replica more would bring within target, per GPU, weighted.

        A replica carries ``requests / need`` of them, the last one only the rest.
        """
        if self.need <= 0:
            return 0.0
        rest = min(1.0, max(0.0, self.need - granted))
        # An expert that is expected to need a replica has no requests yet: it counts like one request.
        carried = self.weight * max(self.requests, 1.0) / self.need * rest
        return carried / self.gpus_per_replica * (KEEP if granted < self.has else 1.0)


def allocate(claims: Sequence[Claim], num_gpus: float, now_s: float, turn_s: float) -> Mapping[str, int]:
    """Share out the GPUs.

    1. Everyone has its ``min_replicas``.
    2. Everyone who needs a replica gets its first, as long as there are GPUs. First come those whose turn of
       ``turn_s`` is not over, then who has waited longest, without overtaking. So nobody starves: who has had
       its turn yields to who waits.
    3. Who was given more within ``turn_s`` keeps what it needs of it, so that replicas do not wander.
    4. Then one replica at a time to whom it saves most requests per GPU, up to what each needs.
    5. What is left goes to those who would rather keep what they do not need just now.

    Args:
        claims: One for each expert.
        num_gpus: GPUs of the pool.
        now_s: Present time.
        turn_s: How long an expert may keep what it was given while others want it.

    Returns:
        Replicas for each expert. More GPUs than there are only if the ``min_replicas`` alone are more.
    """
    shares = _Shares(sorted(claims, key=lambda claim: claim.expert), num_gpus)
    shares.give_firsts(now_s, turn_s)
    young = [c for c in shares.claims if c.raised_s is not None and now_s - c.raised_s < turn_s]
    shares.give_best({claim.expert: min(claim.has, claim.needed) for claim in young})
    shares.give_best({claim.expert: claim.needed for claim in claims})
    shares.give_best({claim.expert: min(claim.max_replicas, claim.wish) for claim in claims})
    return shares.granted


class _Shares:
    """What is granted so far, and what is left."""

    def __init__(self, claims: Sequence[Claim], num_gpus: float) -> None:
        self.claims = claims
        self.granted = {claim.expert: claim.min_replicas for claim in claims}
        self._free = num_gpus - sum(claim.min_replicas * claim.gpus_per_replica for claim in claims)
        self._most = self._free
        self._refused: set[str] = set()

    def give_firsts(self, now_s: float, turn_s: float) -> None:
        """Give one replica to who needs one and has none, by turns."""
        blocked = False
        for claim in sorted(self.claims, key=lambda claim: _turn(claim, now_s, turn_s)):
            can_ever = claim.gpus_per_replica <= self._most + _ROUNDING
            if self.granted[claim.expert] or not claim.needed or not can_ever:
                continue
            waits = claim.awake_since_s is None
            if self._fits(claim) and not (waits and blocked):
                self._give(claim)
                continue
            self._refused.add(claim.expert)
            blocked = blocked or waits  # who waits behind it must not take what is being freed for it

    def give_best(self, limits: Mapping[str, int]) -> None:
        """Give one replica at a time to whom it saves most, until all are at their limits or none fits."""
        while fitting := [claim for claim in self.claims if self._may_have(claim, limits)]:
            self._give(max(fitting, key=lambda claim: _rank(claim, self.granted[claim.expert])))

    def _may_have(self, claim: Claim, limits: Mapping[str, int]) -> bool:
        below = self.granted[claim.expert] < limits.get(claim.expert, 0)
        return below and claim.expert not in self._refused and self._fits(claim)

    def _fits(self, claim: Claim) -> bool:
        return claim.gpus_per_replica <= self._free + _ROUNDING

    def _give(self, claim: Claim) -> None:
        self.granted[claim.expert] += 1
        self._free -= claim.gpus_per_replica


def _turn(claim: Claim, now_s: float, turn_s: float) -> tuple[int, float]:
    """Return a claim's place in the queue for a first replica, smallest first."""
    if claim.awake_since_s is not None:
        in_turn = now_s - claim.awake_since_s < turn_s
        return (0, claim.awake_since_s) if in_turn else (2, -claim.awake_since_s)
    return 1, claim.waiting_since_s if claim.waiting_since_s is not None else now_s


def _rank(claim: Claim, granted: int) -> tuple[float, bool]:
    return claim.saves(granted), granted < claim.has
