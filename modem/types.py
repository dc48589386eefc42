"""The nouns that cross boundaries: scores, decisions, expert states.

A *domain* is the lower-case id of a field of knowledge, such as ``math``; it is also the
name under which its expert answers on the wire.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Reason = Literal[
    "top_score",
    "conversation",
    "low_confidence",
    "out_of_domain",
    "pinned",
    "router_unavailable",
    "expert_unavailable",
]
"""Why a request went to its domain; sent to the client as ``x-modem-reason``.

``conversation``: the turns before decided, because the last one says little or leaves their domain without
a clear margin. ``out_of_domain``: nothing that the router was trained on, such as another language.
"""

ExpertStateName = Literal["ready", "starting", "asleep", "failed"]


@dataclass(frozen=True, slots=True)
class DomainScores:
    """What a router makes of one text.

    Attributes:
        scores: Probability per domain, each in [0, 1], summing to 1.
        unfamiliar: Why the text is none that the router was made for (``empty``, ``characters``,
            ``language``), so that the scores mean little; empty if it is.
    """

    scores: Mapping[str, float]
    unfamiliar: str = ""

    def top(self) -> tuple[str, float]:
        """Return the most probable domain and its probability; ties go to the first name."""
        return min(self.scores.items(), key=lambda item: (-item[1], item[0]))


@dataclass(frozen=True, slots=True)
class AddedDomain:
    """A domain that the router was not trained on, described so that it can be told from the others.

    Attributes:
        name: Its id.
        description: One sentence on what belongs to it.
        examples: Prompts that belong to it.
    """

    name: str
    description: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RouterIdentity:
    """Which router made a decision, so that logged decisions can be compared over time."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """Where a request goes, and why.

    Attributes:
        domain: The domain whose expert is to answer.
        reason: Why.
        confidence: Probability the router gave the top domain; None if it was not asked or
            did not answer.
        scores: All probabilities; None in the same cases.
        router_ms: Milliseconds spent waiting for the router; 0 if it was not asked.
    """

    domain: str
    reason: Reason
    confidence: float | None = None
    scores: DomainScores | None = None
    router_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class ExpertState:
    """What the serving platform knows of one expert application.

    Attributes:
        state: ``ready`` (a replica answers), ``starting``, ``asleep`` (scaled to zero, wakes on
            the next request) or ``failed``.
        num_replicas: Replicas that answer now.
        message: The platform's own words where the state is ``failed``, for operators only.
        num_running: Requests of this gateway that a replica has; what waits inside an engine is among them.
        num_waiting: Requests of this gateway that wait for a replica.
    """

    state: ExpertStateName
    num_replicas: int
    message: str = ""
    num_running: int = 0
    num_waiting: int = 0
