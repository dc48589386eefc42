from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modem.config import DomainConfig, GatewayConfig, RoutingPolicyConfig
from modem.routing.policy import decide, pin
from modem.types import DomainScores, RoutingDecision

FIVE = ("math", "health", "science", "coding", "other")


def gateway(domains: Sequence[str] = FIVE, threshold: float = 0.5, fallback: str = "other") -> GatewayConfig:
    domain = DomainConfig(description="d", application="a", base_model="m", context_length_tokens=1)
    return GatewayConfig(
        domains=dict.fromkeys(domains, domain),
        routing=RoutingPolicyConfig(threshold=threshold, fallback=fallback),
    )


def scores(**values: float) -> DomainScores:
    return DomainScores(values)


def test_a_confident_domain_is_taken() -> None:
    found = scores(math=0.8, other=0.2)
    assert decide(found, gateway(), 3.5) == RoutingDecision("math", "top_score", 0.8, found, 3.5)


def test_a_doubtful_domain_goes_to_the_fallback_with_the_doubt_on_record() -> None:
    found = scores(math=0.4, health=0.3, other=0.3)
    assert decide(found, gateway()) == RoutingDecision("other", "low_confidence", 0.4, found)


def test_a_probability_at_the_threshold_is_enough() -> None:
    assert decide(scores(math=0.5, other=0.5), gateway()).domain == "math"


def test_without_scores_the_fallback_answers_and_the_wait_is_kept() -> None:
    decision = decide(None, gateway(fallback="science"), router_ms=1000.0)
    assert decision == RoutingDecision("science", "router_unavailable", None, None, 1000.0)


def test_a_confident_fallback_is_an_ordinary_choice() -> None:
    assert decide(scores(math=0.1, other=0.9), gateway()).reason == "top_score"


def test_a_top_domain_that_is_not_served_counts_as_absent_without_renormalising() -> None:
    found = scores(law=0.7, math=0.2, other=0.1)
    decision = decide(found, gateway())
    assert (decision.domain, decision.reason, decision.confidence) == ("other", "low_confidence", 0.2)


def test_the_next_served_domain_may_still_reach_the_threshold() -> None:
    found = scores(law=0.6, math=0.4)
    assert decide(found, gateway(threshold=0.3)).domain == "math"


def test_a_router_that_knows_no_served_domain_leaves_the_fallback() -> None:
    decision = decide(scores(law=1.0), gateway(threshold=0.0))
    assert (decision.domain, decision.reason, decision.confidence) == ("other", "low_confidence", 0.0)


def test_a_score_that_is_not_a_number_is_no_score() -> None:
    found = scores(math=float("nan"), coding=0.9)
    assert decide(found, gateway()).domain == "coding"
    assert decide(scores(math=float("nan")), gateway(threshold=0.0)).reason == "low_confidence"


def test_ties_go_to_the_first_name_whatever_the_order() -> None:
    assert decide(scores(math=0.5, coding=0.5), gateway()).domain == "coding"
    assert decide(scores(coding=0.5, math=0.5), gateway()).domain == "coding"


def test_a_pinned_domain_was_never_scored() -> None:
    assert pin("health") == RoutingDecision("health", "pinned", None, None, 0.0)


NAMES = st.sampled_from([*FIVE, "law", "music"])
PROBABILITY = st.floats(min_value=0, max_value=1)


@st.composite
def distributions(draw: st.DrawFn) -> DomainScores:
    raw = draw(st.dictionaries(NAMES, st.floats(min_value=0.001, max_value=1), min_size=1))
    total = sum(raw.values())
    return DomainScores({name: value / total for name, value in raw.items()})


@st.composite
def gateways(draw: st.DrawFn) -> GatewayConfig:
    domains = draw(st.lists(st.sampled_from(FIVE), min_size=1, unique=True))
    return gateway(domains, draw(PROBABILITY), draw(st.sampled_from(domains)))


@given(st.none() | distributions(), gateways())
def test_the_result_is_always_a_served_domain(found: DomainScores | None, config: GatewayConfig) -> None:
    assert decide(found, config).domain in config.domains


@given(distributions(), gateways())
def test_the_reason_agrees_with_the_confidence(found: DomainScores, config: GatewayConfig) -> None:
    decision = decide(found, config)
    assert decision.confidence is not None
    served = [score for domain, score in found.scores.items() if domain in config.domains]
    assert decision.confidence == max(served, default=0.0)
    if decision.reason == "top_score":
        assert decision.confidence >= config.routing.threshold
        assert found.scores[decision.domain] == decision.confidence
    else:
        assert decision.domain == config.routing.fallback


@given(distributions(), PROBABILITY, PROBABILITY)
def test_a_higher_threshold_never_takes_what_a_lower_one_refused(
    found: DomainScores, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    if decide(found, gateway(threshold=high)).reason == "top_score":
        assert decide(found, gateway(threshold=low)) == decide(found, gateway(threshold=high))


@given(distributions(), gateways())
def test_the_order_of_the_scores_does_not_matter(found: DomainScores, config: GatewayConfig) -> None:
    backwards = DomainScores(dict(reversed(list(found.scores.items()))))
    assert decide(found, config).domain == decide(backwards, config).domain


@given(distributions(), gateways())
def test_domains_that_are_not_served_change_nothing(found: DomainScores, config: GatewayConfig) -> None:
    served = {domain: score for domain, score in found.scores.items() if domain in config.domains}
    assume(served)
    assert decide(found, config).domain == decide(DomainScores(served), config).domain


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_the_extremes_of_the_threshold(threshold: float) -> None:
    decision = decide(scores(math=0.6, other=0.4), gateway(threshold=threshold))
    assert decision.reason == ("top_score" if threshold == 0 else "low_confidence")
