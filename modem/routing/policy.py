"""From scores to a decision: pure functions, no clock, no I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from modem.config import GatewayConfig
from modem.routing.text import RoutingText
from modem.types import DomainScores, Reason, RoutingDecision


@dataclass(frozen=True, slots=True)
class Heard:
    """What the router made of one request.

    Attributes:
        scores: Of the text; None if the router failed or missed its deadline.
        history: Of the earlier turns; None if there are none.
        says_nothing: The last turn has no content of its own (`modem.routing.text.RoutingText`).
    """

    scores: DomainScores | None
    history: DomainScores | None = None
    says_nothing: bool = False


def to_score(texts: Sequence[RoutingText]) -> list[str]:
    """Return the strings that the router is asked for: each text, then each history there is."""
    return [text.text for text in texts] + [text.history for text in texts if text.history]


def hear(texts: Sequence[RoutingText], scores: Sequence[DomainScores | None]) -> list[Heard]:
    """Give the answers to `to_score` back to their requests; None is a text on which the router failed.

    Raises:
        ValueError: There are more or fewer of them than was asked for.
    """
    if len(scores) != len(to_score(texts)):
        raise ValueError(f"the router gave {len(scores)} answers to {len(to_score(texts))} texts")
    histories = iter(scores[len(texts) :])
    return [
        Heard(one, next(histories) if text.history else None, text.says_nothing)
        for text, one in zip(texts, scores[: len(texts)], strict=True)
    ]


def decide(heard: Heard, config: GatewayConfig, router_ms: float = 0.0) -> RoutingDecision:
    """Choose the domain that answers.

    The most probable *configured* domain is taken if its probability reaches ``routing.threshold`` and
    leads by ``routing.margin``. Probabilities are not renormalised over the configured domains: what the
    router gave to a domain that is not served is doubt about the others.

    In a conversation the domain of the earlier turns has a say: a last turn that says nothing
    ("continue") stays with it, and another goes elsewhere only if that is ``routing.switch_margin`` more
    probable for it. The client sends the history with each request, so no state is kept.

    Args:
        heard: What the router said.
        config: The domains, the thresholds and the fallback.
        router_ms: Milliseconds spent waiting for the router, passed through.

    Returns:
        A decision for a configured domain. Its confidence is the probability of the most probable
        configured domain, 0 if the router scored none of them, None without scores.
    """
    if heard.scores is None:
        return RoutingDecision(config.routing.fallback, "router_unavailable", router_ms=router_ms)
    decision = replace(_choose(heard.scores, config), router_ms=router_ms)
    if heard.history is None:
        return decision
    before = _choose(heard.history, config)
    if heard.says_nothing:
        return replace(before, reason="conversation", router_ms=router_ms)
    if before.reason != "top_score" or before.domain == decision.domain:
        return decision
    return decision if _clearly_leaves(before.domain, heard.scores, config) else _stay(decision, before)


def served_scores(scores: DomainScores, config: GatewayConfig) -> dict[str, float]:
    """Return the probability of each configured domain, the sum over the labels it answers for.

    A domain whose labels the router does not know is absent. A score that is not a number says nothing;
    left in, it would make the order undefined.
    """
    known = {label: score for label, score in scores.scores.items() if not math.isnan(score)}
    found: dict[str, float] = {}
    for name, domain in config.domains.items():
        own = [known[label] for label in domain.labels or (name,) if label in known]
        if own:
            found[name] = sum(own)
    return found


def pin(domain: str) -> RoutingDecision:
    """Return the decision for a request that names its domain itself; the router is not asked.

    Args:
        domain: A configured domain; whether it is one is for the caller to check.
    """
    return RoutingDecision(domain, "pinned")


def _choose(scores: DomainScores, config: GatewayConfig) -> RoutingDecision:
    """Decide without a history."""
    served = served_scores(scores, config)
    if not served:
        return _fall_back(scores, config, "low_confidence", 0.0)
    domain, confidence = DomainScores(served).top()
    if scores.unfamiliar and config.routing.out_of_domain == "fallback":
        return _fall_back(scores, config, "out_of_domain", confidence)
    next_best = max((score for name, score in served.items() if name != domain), default=0.0)
    if confidence < config.routing.threshold or confidence - next_best < config.routing.margin:
        return _fall_back(scores, config, "low_confidence", confidence)
    return RoutingDecision(domain, "top_score", confidence, scores)


def _fall_back(
    scores: DomainScores, config: GatewayConfig, reason: Reason, confidence: float
) -> RoutingDecision:
    return RoutingDecision(config.routing.fallback, reason, confidence, scores)


def _clearly_leaves(before: str, scores: DomainScores, config: GatewayConfig) -> bool:
    served = served_scores(scores, config)
    lead = DomainScores(served).top()[1] - served.get(before, 0.0) if served else 0.0
    return lead >= config.routing.switch_margin


def _stay(decision: RoutingDecision, before: RoutingDecision) -> RoutingDecision:
    """Keep the conversation's domain; the scores stay those of the last turn."""
    return replace(decision, domain=before.domain, reason="conversation")
