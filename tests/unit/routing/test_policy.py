from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modem.config import DomainConfig, GatewayConfig, RoutingPolicyConfig
from modem.routing.policy import Heard, decide, hear, pin, served_scores, to_score
from modem.routing.text import RoutingText
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
    assert decide(Heard(found), gateway(), 3.5) == RoutingDecision("math", "top_score", 0.8, found, 3.5)


def test_a_doubtful_domain_goes_to_the_fallback_with_the_doubt_on_record() -> None:
    found = scores(math=0.4, health=0.3, other=0.3)
    assert decide(Heard(found), gateway()) == RoutingDecision("other", "low_confidence", 0.4, found)


def test_a_probability_at_the_threshold_is_enough() -> None:
    assert decide(Heard(scores(math=0.5, other=0.5)), gateway()).domain == "math"


def test_without_scores_the_fallback_answers_and_the_wait_is_kept() -> None:
    decision = decide(Heard(None), gateway(fallback="science"), router_ms=1000.0)
    assert decision == RoutingDecision("science", "router_unavailable", None, None, 1000.0)


def test_a_confident_fallback_is_an_ordinary_choice() -> None:
    assert decide(Heard(scores(math=0.1, other=0.9)), gateway()).reason == "top_score"


def test_a_top_domain_that_is_not_served_counts_as_absent_without_renormalising() -> None:
    found = scores(law=0.7, math=0.2, other=0.1)
    decision = decide(Heard(found), gateway())
    assert (decision.domain, decision.reason, decision.confidence) == ("other", "low_confidence", 0.2)


def test_the_next_served_domain_may_still_reach_the_threshold() -> None:
    found = scores(law=0.6, math=0.4)
    assert decide(Heard(found), gateway(threshold=0.3)).domain == "math"


def test_a_router_that_knows_no_served_domain_leaves_the_fallback() -> None:
    decision = decide(Heard(scores(law=1.0)), gateway(threshold=0.0))
    assert (decision.domain, decision.reason, decision.confidence) == ("other", "low_confidence", 0.0)


def test_a_score_that_is_not_a_number_is_no_score() -> None:
    found = scores(math=float("nan"), coding=0.9)
    assert decide(Heard(found), gateway()).domain == "coding"
    assert decide(Heard(scores(math=float("nan"))), gateway(threshold=0.0)).reason == "low_confidence"


def test_ties_go_to_the_first_name_whatever_the_order() -> None:
    assert decide(Heard(scores(math=0.5, coding=0.5)), gateway()).domain == "coding"
    assert decide(Heard(scores(coding=0.5, math=0.5)), gateway()).domain == "coding"


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
    assert decide(Heard(found), config).domain in config.domains


@given(distributions(), gateways())
def test_the_reason_agrees_with_the_confidence(found: DomainScores, config: GatewayConfig) -> None:
    decision = decide(Heard(found), config)
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
    if decide(Heard(found), gateway(threshold=high)).reason == "top_score":
        assert decide(Heard(found), gateway(threshold=low)) == decide(Heard(found), gateway(threshold=high))


@given(distributions(), gateways())
def test_the_order_of_the_scores_does_not_matter(found: DomainScores, config: GatewayConfig) -> None:
    backwards = DomainScores(dict(reversed(list(found.scores.items()))))
    assert decide(Heard(found), config).domain == decide(Heard(backwards), config).domain


@given(distributions(), gateways())
def test_domains_that_are_not_served_change_nothing(found: DomainScores, config: GatewayConfig) -> None:
    served = {domain: score for domain, score in found.scores.items() if domain in config.domains}
    assume(served)
    assert decide(Heard(found), config).domain == decide(Heard(DomainScores(served)), config).domain


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_the_extremes_of_the_threshold(threshold: float) -> None:
    decision = decide(Heard(scores(math=0.6, other=0.4)), gateway(threshold=threshold))
    assert decision.reason == ("top_score" if threshold == 0 else "low_confidence")


def settings(**routing: object) -> GatewayConfig:
    config = gateway()
    return config.model_copy(update={"routing": RoutingPolicyConfig.model_validate(routing)})


class TestMargin:
    def test_a_domain_that_leads_by_too_little_is_doubtful(self) -> None:
        found = scores(math=0.5, science=0.45, other=0.05)
        assert decide(Heard(found), settings(threshold=0.4, margin=0.1)).reason == "low_confidence"
        assert decide(Heard(found), settings(threshold=0.4, margin=0.04)).domain == "math"

    def test_a_single_served_domain_has_no_rival(self) -> None:
        assert decide(Heard(scores(math=0.9)), settings(margin=0.5)).domain == "math"


class TestOutOfDomain:
    STRANGE = DomainScores({"math": 0.9, "other": 0.1}, unfamiliar="language")

    def test_it_goes_to_the_fallback_and_says_so(self) -> None:
        decision = decide(Heard(self.STRANGE), gateway())
        assert (decision.domain, decision.reason, decision.confidence) == ("other", "out_of_domain", 0.9)

    def test_unless_the_scores_are_to_decide(self) -> None:
        decision = decide(Heard(self.STRANGE), settings(out_of_domain="score"))
        assert (decision.domain, decision.reason) == ("math", "top_score")


class TestConversation:
    HISTORY = scores(coding=0.9, other=0.1)

    def test_a_turn_that_says_nothing_stays(self) -> None:
        heard = Heard(scores(other=0.95, math=0.05), self.HISTORY, says_nothing=True)
        decision = decide(heard, gateway(), 2.0)
        assert (decision.domain, decision.reason, decision.router_ms) == ("coding", "conversation", 2.0)

    def test_it_stays_with_the_fallback_where_the_history_is_doubtful(self) -> None:
        doubtful = scores(math=0.4, coding=0.3, health=0.3)
        decision = decide(Heard(scores(health=0.9), doubtful, says_nothing=True), gateway())
        assert (decision.domain, decision.reason) == ("other", "conversation")

    def test_a_clear_change_of_subject_leaves(self) -> None:
        decision = decide(Heard(scores(health=0.9, coding=0.05, other=0.05), self.HISTORY), gateway())
        assert (decision.domain, decision.reason) == ("health", "top_score")

    def test_an_unclear_one_does_not(self) -> None:
        found = scores(math=0.55, coding=0.4, other=0.05)
        decision = decide(Heard(found, self.HISTORY), gateway())
        assert (decision.domain, decision.reason, decision.scores) == ("coding", "conversation", found)

    def test_nor_does_a_doubtful_one(self) -> None:
        found = scores(math=0.4, coding=0.35, other=0.25)
        assert decide(Heard(found, self.HISTORY), gateway()).domain == "coding"

    def test_a_doubtful_history_has_no_say(self) -> None:
        doubtful = scores(coding=0.4, other=0.3, math=0.3)
        assert decide(Heard(scores(math=0.6, coding=0.4), doubtful), gateway()).domain == "math"

    def test_the_same_domain_is_an_ordinary_choice(self) -> None:
        assert decide(Heard(scores(coding=0.6), self.HISTORY), gateway()).reason == "top_score"

    def test_the_margin_is_a_setting(self) -> None:
        heard = Heard(scores(math=0.55, coding=0.4, other=0.05), self.HISTORY)
        assert decide(heard, settings(switch_margin=0.1)).domain == "math"


class TestLabels:
    @staticmethod
    def domain(*labels: str) -> DomainConfig:
        return gateway().domains["math"].model_copy(update={"labels": labels})

    def test_a_domain_may_answer_for_a_label_of_another_name(self) -> None:
        config = gateway().model_copy(
            update={"domains": {"mathe": self.domain("math"), "other": self.domain()}}
        )
        assert decide(Heard(scores(math=0.8, other=0.2)), config).domain == "mathe"

    def test_labels_merged_into_one_domain_add_up(self) -> None:
        stem = self.domain("math", "science")
        config = gateway().model_copy(update={"domains": {"stem": stem, "other": self.domain()}})
        found = scores(math=0.35, science=0.3, other=0.35)
        assert served_scores(found, config) == {"stem": pytest.approx(0.65), "other": 0.35}

    def test_two_domains_may_not_answer_for_one_label(self) -> None:
        domain = {"description": "d", "application": "a", "base_model": "m", "context_length_tokens": 1}
        with pytest.raises(ValueError, match="more than one domain answers for the label 'math'"):
            GatewayConfig.model_validate(
                {"domains": {"math": domain, "calculus": {**domain, "labels": ["math"]}, "other": domain}}
            )

    def test_labels_and_examples_exclude_each_other(self) -> None:
        with pytest.raises(ValueError, match="not both"):
            DomainConfig(
                description="d",
                application="a",
                base_model="m",
                context_length_tokens=1,
                labels=("law",),
                examples=("Can I sue?",),
            )


class TestHearing:
    def test_histories_come_after_the_texts_and_go_back_to_their_own(self) -> None:
        texts = [RoutingText("a"), RoutingText("b", "b before"), RoutingText("c", "c before", True)]
        assert to_score(texts) == ["a", "b", "c", "b before", "c before"]
        answers = [DomainScores({name: 1.0}) for name in to_score(texts)]
        a, b, c = hear(texts, answers)
        assert a == Heard(answers[0])
        assert b == Heard(answers[1], answers[3])
        assert c == Heard(answers[2], answers[4], says_nothing=True)

    @pytest.mark.parametrize("number", [0, 1, 3])
    def test_a_router_that_answers_too_much_or_too_little_is_found_out(self, number: int) -> None:
        with pytest.raises(ValueError, match="2 texts"):
            hear([RoutingText("a", "before")], [DomainScores({"math": 1.0})] * number)


@given(distributions(), st.none() | distributions(), st.booleans(), gateways())
def test_a_conversation_too_ends_in_a_served_domain(
    last: DomainScores, history: DomainScores | None, says_nothing: bool, config: GatewayConfig
) -> None:
    assert decide(Heard(last, history, says_nothing), config).domain in config.domains


@given(distributions(), distributions(), gateways())
def test_a_history_only_ever_keeps_its_own_domain(
    last: DomainScores, history: DomainScores, config: GatewayConfig
) -> None:
    alone, before = decide(Heard(last), config), decide(Heard(history), config)
    assert decide(Heard(last, history), config).domain in {alone.domain, before.domain}
