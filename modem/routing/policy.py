"""From scores to a decision: pure functions, no clock, no I/O."""

import math

from modem.config import GatewayConfig
from modem.types import DomainScores, RoutingDecision


def decide(scores: DomainScores | None, config: GatewayConfig, router_ms: float = 0.0) -> RoutingDecision:
    """Choose the domain that answers.

    The most probable *configured* domain is taken if its probability reaches
    ``config.routing.threshold``. Probabilities are not renormalised over the configured domains:
    what the router gave to a domain that is not served is doubt about the others.

    Args:
        scores: What the router said; None if it failed or missed its deadline.
        config: The domains, the threshold and the fallback.
        router_ms: Milliseconds spent waiting for the router, passed through.

    Returns:
        A decision for a configured domain. Its confidence is the probability of the most probable
        configured domain, 0 if the router scored none of them, None without scores.
    """
    fallback = config.routing.fallback
    if scores is None:
        return RoutingDecision(fallback, "router_unavailable", router_ms=router_ms)
    # A score that is not a number says nothing; left in, it would also make the order undefined.
    served = {
        domain: score
        for domain, score in scores.scores.items()
        if domain in config.domains and not math.isnan(score)
    }
    if not served:
        return RoutingDecision(fallback, "low_confidence", 0.0, scores, router_ms)
    domain, confidence = DomainScores(served).top()
    if confidence < config.routing.threshold:
        return RoutingDecision(fallback, "low_confidence", confidence, scores, router_ms)
    return RoutingDecision(domain, "top_score", confidence, scores, router_ms)


def pin(domain: str) -> RoutingDecision:
    """Return the decision for a request that names its domain itself; the router is not asked.

    Args:
        domain: A configured domain; whether it is one is for the caller to check.
    """
    return RoutingDecision(domain, "pinned")
