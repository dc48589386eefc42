"""Sending cases through a router and the policy, exactly as they go in service."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modem.config import DomainConfig, GatewayConfig, RoutingPolicyConfig
from modem.evaluation.sets import Case
from modem.routing.base import Router
from modem.routing.policy import decide, hear, served_scores, to_score
from modem.routing.text import RoutingText
from modem.types import DomainScores, RoutingDecision

FALLBACK = "other"

Step = Callable[[int], None]
"""Called with the number of cases that were just done."""

_CHUNK = 64
"""Cases between two steps of a progress bar."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What became of n cases.

    Attributes:
        chosen: The most probable served domain of each, whatever its probability.
        confidences: That probability; shape ``[n]``.
        decisions: What the gateway would do, thresholds and history included.
    """

    chosen: tuple[str, ...]
    confidences: NDArray[np.float64]
    decisions: tuple[RoutingDecision, ...]

    @property
    def decided(self) -> tuple[str, ...]:
        """The domain that would answer each."""
        return tuple(decision.domain for decision in self.decisions)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a decision costs, one at a time.

    Attributes:
        num_decisions: Decisions that were timed.
        p50_ms: Median wall time of one, in milliseconds.
        p95_ms: The time that 95 % of them do not exceed.
        cpu_ms: Mean processor time of one, over all threads.
    """

    num_decisions: int
    p50_ms: float
    p95_ms: float
    cpu_ms: float


def counting(progress: Callable[[int, int], None], total: int) -> Step:
    """Return a step that adds up, for a bar that is told the numbers done and of all."""
    done = 0

    def step(more: int) -> None:
        nonlocal done
        done += more
        progress(done, total)

    return step


def measure(
    router: Router, cases: Sequence[Case], gateway: GatewayConfig, step: Step = lambda done: None
) -> Measured:
    """Decide for each case.

    Args:
        router: Scores the texts.
        cases: At least one.
        gateway: The domains that are served and the thresholds.
        step: Reports progress.
    """
    tops: list[tuple[str, float]] = []
    decisions: list[RoutingDecision] = []
    for start in range(0, len(cases), _CHUNK):
        chunk = cases[start : start + _CHUNK]
        scored, decided = decide_all([case.routed() for case in chunk], router, gateway)
        tops += [_top(scores, gateway) for scores in scored]
        decisions += decided
        step(len(chunk))
    return Measured(
        tuple(domain for domain, _ in tops), np.array([score for _, score in tops]), tuple(decisions)
    )


def measure_cost(router: Router, cases: Sequence[Case], gateway: GatewayConfig) -> Cost:
    """Time decisions one by one, after a few to warm up; the text function and the policy included."""
    measure(router, cases[:3], gateway)
    wall: list[float] = []
    cpu = time.process_time()
    for case in cases:
        started = time.perf_counter()
        decide_all([case.routed()], router, gateway)
        wall.append((time.perf_counter() - started) * 1000)
    cpu_ms = (time.process_time() - cpu) * 1000
    p50, p95 = np.quantile(wall, [0.5, 0.95]).tolist()
    return Cost(len(wall), p50, p95, cpu_ms / len(wall))


def accepted_by(
    cases: Sequence[Case], gateway: GatewayConfig, known: Sequence[str] = ()
) -> list[tuple[str, ...]]:
    """Return the domains that are right for each case, in the names of a configuration.

    A configuration may rename or merge what the router was trained on (``domains.*.labels``); the truth
    is renamed and merged with it.

    Args:
        cases: Labelled.
        gateway: The configuration.
        known: What the router can tell apart: those of it that no domain answers for are the fallback's.
    """
    answers = dict.fromkeys(known, gateway.routing.fallback)
    answers |= {label: name for name, domain in gateway.domains.items() for label in domain.labels or (name,)}
    return [tuple(dict.fromkeys(answers.get(label, label) for label in case.accepted)) for case in cases]


def serving_all(domains: Sequence[str]) -> GatewayConfig:
    """Return a configuration in which every domain of a router is served, with the default thresholds."""
    # What stands behind a domain plays no part in routing, but a domain cannot be without it.
    expert = DomainConfig(description="-", application="-", base_model="-", context_length_tokens=1)
    return GatewayConfig(
        domains=dict.fromkeys(domains, expert),
        routing=RoutingPolicyConfig(fallback=FALLBACK if FALLBACK in domains else domains[0]),
    )


def decide_all(
    texts: Sequence[RoutingText], router: Router, gateway: GatewayConfig
) -> tuple[list[DomainScores], list[RoutingDecision]]:
    """Score and decide as the gateway does.

    Args:
        texts: Of n requests.
        router: Scores them.
        gateway: The domains that are served and the thresholds.

    Returns:
        The scores of the n texts, without those of their histories, and the n decisions.
    """
    scores = router.score(to_score(texts))
    return scores[: len(texts)], [decide(heard, gateway) for heard in hear(texts, scores)]


def _top(scores: DomainScores, gateway: GatewayConfig) -> tuple[str, float]:
    served = served_scores(scores, gateway)
    return DomainScores(served).top() if served else (gateway.routing.fallback, 0.0)
