import pytest

from modem.evaluation.evaluate import evaluate, policy_of, set_figures
from modem.evaluation.measure import serving_all
from modem.evaluation.metrics import GroupFigures
from modem.evaluation.robustness import num_measured
from modem.evaluation.sets import EvaluationSet, committed, prompt_case
from tests.builders import DOMAINS
from tests.routers import KeywordRouter
from tests.unit.evaluation.cases import keyword_cases, keyword_set

ROUTER = KeywordRouter()
GATEWAY = serving_all(DOMAINS)


def with_(field: str, values: dict[str, str]) -> EvaluationSet:
    """A set whose cases have a field: right ones (a domain in their words) and wrong ones."""
    from dataclasses import replace

    cases = [
        replace(prompt_case(text, "math"), **{field: value})  # type: ignore[arg-type]
        for value, text in ((v, t) for v, texts in values.items() for t in texts.split("/"))
    ]
    return EvaluationSet("fields", tuple(cases))


def test_a_report_holds_every_set_and_every_wrapping() -> None:
    seen: list[tuple[int, int]] = []
    sets = [keyword_set("one"), keyword_set("two", 2)]
    report = evaluate(ROUTER, GATEWAY, sets, [sets[1]], True, lambda *step: seen.append(step))
    assert [found.name for found in report.sets] == ["one", "two"]
    assert report.of("two").scores.num_prompts == 10
    assert [found.set for found in report.robustness] == ["two"]
    assert report.router == ROUTER.identity
    # This router has no embeddings, so no domain can be added to it.
    assert report.added is None
    total = 20 + 10 + num_measured(10)
    assert seen[-1] == (total, total)
    with pytest.raises(KeyError):
        report.of("three")


def test_scores_and_decisions_are_told_apart() -> None:
    doubtful = [prompt_case("nothing to go by", "coding"), prompt_case("nothing to go by", "other")]
    found = set_figures(EvaluationSet("mixed", (*keyword_cases(2), *doubtful)), ROUTER, GATEWAY)
    # Without a keyword all domains are equal: "coding" comes first, and the fallback answers.
    assert found.scores.accuracy == pytest.approx(11 / 12)
    assert found.decisions.accuracy == pytest.approx(11 / 12)
    assert found.scores.confusion != found.decisions.confusion
    assert found.reasons == {"low_confidence": 2, "top_score": 10}
    assert found.calibration.ece > 0
    assert found.risk[0].risk == 0


def test_parts_of_a_set_are_measured_apart() -> None:
    for field, attribute in (("source", "sources"), ("subject", "subjects"), ("kind", "kinds")):
        found = set_figures(with_(field, {"good": "some math/more math", "bad": "health"}), ROUTER, GATEWAY)
        assert getattr(found, attribute) == (GroupFigures("bad", 1, 0.0), GroupFigures("good", 2, 1.0))


def test_borderline_subjects_are_left_out_of_a_second_figure() -> None:
    subjects = {"algebra": "some math", "econometrics": "health", "virology": "coding"}
    found = set_figures(with_("subject", subjects), ROUTER, GATEWAY)
    assert found.scores.accuracy == pytest.approx(1 / 3)
    assert found.without_borderline is not None
    assert (found.without_borderline.num_prompts, found.without_borderline.accuracy) == (1, 1.0)
    assert set_figures(with_("subject", {"algebra": "math"}), ROUTER, GATEWAY).without_borderline is None
    only = set_figures(with_("subject", {"virology": "math"}), ROUTER, GATEWAY)
    assert only.without_borderline is None


def test_groups_are_compared_where_every_case_has_one() -> None:
    found = set_figures(with_("group", {"a": "math/math", "b": "math/health"}), ROUTER, GATEWAY)
    assert found.stability is not None
    assert (found.stability.num_groups, found.stability.all_same) == (2, 0.5)
    assert set_figures(keyword_set(), ROUTER, GATEWAY).stability is None
    assert set_figures(with_("group", {"a": "math", "b": "health"}), ROUTER, GATEWAY).stability is None


def test_the_paraphrases_of_the_project_are_groups() -> None:
    found = set_figures(committed("paraphrase"), ROUTER, GATEWAY)
    assert found.stability is not None
    assert found.stability.num_groups == 60


def test_the_settings_that_decided_are_kept() -> None:
    policy = policy_of(GATEWAY)
    assert (policy.threshold, policy.switch_margin, policy.fallback) == (0.5, 0.3, "other")
