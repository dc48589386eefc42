from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.config import DomainConfig, GatewayConfig, RoutingPolicyConfig
from modem.evaluation.measure import accepted_by, measure, measure_cost, serving_all
from modem.evaluation.sets import Case, committed, prompt_case
from modem.routing.policy import decide, hear, to_score
from modem.types import DomainScores, RouterIdentity
from tests.builders import DOMAINS, gateway_config
from tests.routers import KeywordRouter
from tests.unit.evaluation.cases import keyword_cases

ROUTER = KeywordRouter()
GATEWAY = serving_all(DOMAINS)


def test_what_is_measured_is_what_the_gateway_decides() -> None:
    cases = [*committed("multi_turn").cases, *keyword_cases()]
    texts = [case.routed() for case in cases]
    scores = ROUTER.score(to_score(texts))
    expected = [decide(heard, GATEWAY) for heard in hear(texts, scores)]
    found = measure(ROUTER, cases, GATEWAY)
    assert list(found.decisions) == expected
    assert found.decided == tuple(decision.domain for decision in expected)
    assert len({decision.reason for decision in expected}) > 1


def test_the_most_probable_domain_counts_below_the_threshold_too() -> None:
    strict = GATEWAY.model_copy(update={"routing": RoutingPolicyConfig(threshold=0.95)})
    found = measure(ROUTER, [prompt_case("some math", "math")], strict)
    assert found.chosen == ("math",)
    assert found.confidences.tolist() == [0.9]
    assert found.decided == ("other",)


class Drawn:
    """Gives out scores that were drawn before."""

    identity = RouterIdentity("drawn", "1")
    domains = DOMAINS

    def __init__(self, rows: Sequence[Sequence[float]]) -> None:
        self._rows = list(rows)

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        taken, self._rows = self._rows[: len(texts)], self._rows[len(texts) :]
        return [DomainScores({d: v / sum(row) for d, v in zip(DOMAINS, row, strict=True)}) for row in taken]


@given(
    st.lists(st.lists(st.floats(0.01, 1), min_size=5, max_size=5), min_size=1, max_size=70),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_choices_are_the_highest_scores_and_doubt_goes_to_the_fallback(
    rows: list[list[float]], threshold: float, margin: float
) -> None:
    doubtful = GATEWAY.model_copy(update={"routing": RoutingPolicyConfig(threshold=threshold, margin=margin)})
    cases = [prompt_case(f"a question about rivers, number {i}", "science") for i in range(len(rows))]
    found = measure(Drawn(rows), cases, doubtful)
    for row, chosen, confidence, decided in zip(
        rows, found.chosen, found.confidences, found.decided, strict=True
    ):
        shares = sorted((value / sum(row) for value in row), reverse=True)
        assert confidence == pytest.approx(shares[0])
        assert row[DOMAINS.index(chosen)] == max(row)
        if shares[0] < threshold - 1e-9 or shares[0] - shares[1] < margin - 1e-9:
            assert decided == "other"
        elif shares[0] > threshold + 1e-9 and shares[0] - shares[1] > margin + 1e-9:
            assert decided == chosen


def test_what_nobody_serves_is_the_fallbacks() -> None:
    gateway = serving_all(("math", "other"))
    cases = [prompt_case("x", "health"), prompt_case("x", "math"), prompt_case("x", "law")]
    assert accepted_by(cases, gateway, DOMAINS) == [("other",), ("math",), ("law",)]
    assert accepted_by(cases, gateway) == [("health",), ("math",), ("law",)]


@given(st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=4, unique=True))
def test_where_every_domain_is_served_the_truth_is_the_label(labels: list[str]) -> None:
    case = Case(({"role": "user", "content": "x"},), labels[0], tuple(labels[1:]))
    assert accepted_by([case], GATEWAY, DOMAINS) == [tuple(labels)]


def test_histories_are_scored_and_not_taken_for_texts() -> None:
    turns = (
        {"role": "user", "content": "a long question on health"},
        {"role": "user", "content": "continue"},
    )
    found = measure(ROUTER, [Case(turns, "health"), prompt_case("coding rivers now", "coding")], GATEWAY)
    assert found.decided == ("health", "coding")
    assert len(found.chosen) == 2


def test_truth_is_renamed_and_merged_with_the_domains() -> None:
    base = gateway_config(["other", "math"])["domains"]
    domains = {**base, "medicine": {**base["other"], "labels": ["health", "science"]}}
    gateway = GatewayConfig.model_validate({"domains": domains})
    cases = [prompt_case("x", "health"), Case(({"role": "user", "content": "x"},), "math", ("science",))]
    assert accepted_by([*cases, prompt_case("x", "law")], gateway) == [
        ("medicine",),
        ("math", "medicine"),
        ("law",),
    ]
    found = measure(ROUTER, [prompt_case("my health", "health")], gateway)
    assert found.chosen == ("medicine",)


def test_a_router_without_a_served_domain_leaves_all_to_the_fallback() -> None:
    gateway = GatewayConfig.model_validate(
        {"domains": {"law": DomainConfig(**gateway_config(["other"])["domains"]["other"])}}
        | {"routing": {"fallback": "law"}}
    )
    found = measure(ROUTER, [prompt_case("math", "math")], gateway)
    assert (found.chosen, found.confidences.tolist(), found.decided) == (("law",), [0.0], ("law",))


def test_progress_counts_every_case() -> None:
    seen: list[int] = []
    measure(ROUTER, keyword_cases(per_domain=20), GATEWAY, seen.append)
    assert sum(seen) == 100
    assert len(seen) == 2


def test_the_fallback_is_other_where_there_is_one() -> None:
    assert serving_all(("math", "other")).routing.fallback == "other"
    assert serving_all(("math", "law")).routing.fallback == "math"


def test_costs_are_taken_one_decision_at_a_time() -> None:
    class Counting(KeywordRouter):
        calls: list[int]

        def score(self, texts):  # type: ignore[no-untyped-def]
            self.calls.append(len(texts))
            return super().score(texts)

    router = Counting()
    router.calls = []
    cost = measure_cost(router, keyword_cases()[:10], GATEWAY)
    assert router.calls == [3] + [1] * 10
    assert cost.num_decisions == 10
    assert 0 < cost.p50_ms <= cost.p95_ms
    assert cost.cpu_ms == pytest.approx(cost.p50_ms, abs=5)
