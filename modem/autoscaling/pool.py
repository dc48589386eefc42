"""What the experts of one controller know of each other: their claims to GPUs, by the name of the pool.

Serve calls the policies of all applications one after another in one process, its controller, and pickles a
policy's module by value but what that imports by reference. So this module exists there once, and its `POOLS`
is what all policies of a pool share (docs/decisions/0006-gpu-budget.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from modem.autoscaling.allocation import Claim

SILENT_S = 60.0
"""An expert that has said nothing for so long is gone, and so is its claim."""

ASLEEP_S = 15.0
"""An expert without a replica that has said nothing for so long is being woken: see `Entry.claim_at`."""

WAKING_S = 1800.0
"""Such a one is gone after so long."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The last word of one expert.

    Attributes:
        at_s: When.
        claim: Its claim.
        granted: Replicas that it was promised.
        running_replicas: Replicas that were running.
    """

    at_s: float
    claim: Claim
    granted: int
    running_replicas: int

    def claim_at(self, now_s: float) -> Claim | None:
        """Return the claim as it is to be taken now; None if the expert is gone.

        Serve does not call a deployment's policy while requests wait and no replica runs. So an expert
        without replicas that falls silent is being woken, and has the replica that Serve starts for it.
        """
        silent_s = now_s - self.at_s
        if silent_s < 0:  # the clock of another run
            return None
        if self.running_replicas == 0 and ASLEEP_S < silent_s <= WAKING_S:
            claim = self.claim
            woken = max(1, claim.has)
            return replace(claim, has=woken, need=max(claim.need, float(woken)), wish=max(claim.wish, woken))
        return self.claim if silent_s <= SILENT_S else None


@dataclass(slots=True)
class Pool:
    """The claims to one pool of GPUs."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def publish(self, entry: Entry) -> None:
        """Replace an expert's last word."""
        self.entries[entry.claim.expert] = entry

    def others(self, expert: str, now_s: float) -> Sequence[tuple[Claim, int]]:
        """Return the other experts' claims and what they were promised; those that are gone are dropped."""
        found = []
        for name, entry in list(self.entries.items()):
            claim = entry.claim_at(now_s)
            if claim is None:
                del self.entries[name]
            elif name != expert:
                found.append((claim, entry.granted))
        return found


class Pools:
    """The pools by name."""

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}

    def named(self, name: str) -> Pool:
        """Return a pool; it is made when it is first asked for."""
        return self._pools.setdefault(name, Pool())

    def clear(self) -> None:
        """Forget everything: for simulations, which run one after another in one process."""
        self._pools.clear()


POOLS = Pools()
"""The pools of this process."""
