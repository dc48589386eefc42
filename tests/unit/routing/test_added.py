import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.routing.added import WithAdded, mix, routed_examples, with_added
from modem.routing.cache import Cached
from modem.routing.compact import CompactRouter
from modem.routing.familiar import Familiar
from modem.types import AddedDomain, DomainScores
from tests.builders import DOMAINS
from tests.compact import write_compact_router
from tests.routers import KeywordRouter
from tests.unit.routing.extensible import KNOWN, LAW, MUSIC, RealRouter

TEXTS = [
    "My landlord keeps my deposit. May he?",
    "Is a verbal contract legally binding?",
    "What scale goes over a minor seventh chord?",
    "Solve x^2 = 9.",
    "fix my Python loop",
    "who was king of France?",
    "",
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> CompactRouter:
    return CompactRouter(write_compact_router(tmp_path_factory.mktemp("added")))


# --- the mixture ---------------------------------------------------------------------------------

ODDS = st.floats(-40, 40)


@st.composite
def distributions(draw: st.DrawFn) -> DomainScores:
    raw = draw(st.lists(st.floats(0.001, 1), min_size=2, max_size=5))
    return DomainScores({DOMAINS[i]: value / sum(raw) for i, value in enumerate(raw)})


ADDED_ODDS = st.dictionaries(st.sampled_from(["law", "music", "cooking"]), ODDS)


@given(distributions(), ADDED_ODDS)
def test_a_mixture_is_one_distribution(scores: DomainScores, odds: dict[str, float]) -> None:
    found = mix(scores, odds).scores
    assert math.fsum(found.values()) == pytest.approx(1, abs=1e-9)
    assert all(0 <= score <= 1 for score in found.values())
    assert set(found) == set(scores.scores) | set(odds)


@given(distributions(), ADDED_ODDS)
def test_the_ratios_of_what_was_known_stay(scores: DomainScores, odds: dict[str, float]) -> None:
    found = mix(scores, odds).scores
    kept = math.fsum(found[name] for name in scores.scores)
    for name, score in scores.scores.items():
        assert found[name] / kept == pytest.approx(score, rel=1e-6)


@given(distributions())
def test_without_an_added_domain_nothing_changes(scores: DomainScores) -> None:
    assert mix(scores, {}) is scores


@given(distributions(), ADDED_ODDS, ODDS, st.floats(0.01, 5))
def test_a_likelier_domain_gets_more_and_all_others_less(
    scores: DomainScores, odds: dict[str, float], one: float, more: float
) -> None:
    before, after = (mix(scores, {**odds, "law": value}).scores for value in (one, one + more))
    assert after["law"] >= before["law"]
    for name in set(before) - {"law"}:
        assert after[name] <= before[name]
    if -20 < one < 20:
        assert after["law"] > before["law"]


@given(distributions(), st.permutations([("law", 1.5), ("music", -0.25), ("cooking", 7.0)]))
def test_the_order_of_the_added_domains_does_not_matter(
    scores: DomainScores, odds: list[tuple[str, float]]
) -> None:
    assert mix(scores, dict(odds)) == mix(scores, {"law": 1.5, "music": -0.25, "cooking": 7.0})


def test_even_odds_are_half_and_impossible_ones_are_nothing() -> None:
    scores = DomainScores({"math": 0.75, "other": 0.25}, unfamiliar="language")
    found = mix(scores, {"law": 0.0, "music": -math.inf})
    assert found == DomainScores({"math": 0.375, "other": 0.125, "law": 0.5, "music": 0.0}, "language")


# --- the router ----------------------------------------------------------------------------------


def test_without_domains_the_router_is_itself(tiny: CompactRouter) -> None:
    assert with_added(tiny, ()) is tiny
    keyword = KeywordRouter()
    assert with_added(keyword, []) is keyword


def test_all_is_one_distribution_with_the_old_ratios(tiny: CompactRouter) -> None:
    found = with_added(tiny, (LAW, MUSIC)).score(TEXTS)
    for before, after in zip(tiny.score(TEXTS), found, strict=True):
        assert set(after.scores) == {*DOMAINS, "law", "music"}
        assert math.fsum(after.scores.values()) == pytest.approx(1, abs=1e-9)
        kept = math.fsum(after.scores[name] for name in DOMAINS)
        for name in DOMAINS:
            assert after.scores[name] / kept == pytest.approx(before.scores[name], rel=1e-6)


def test_domains_may_come_in_any_order(tiny: CompactRouter) -> None:
    one, other = with_added(tiny, (LAW, MUSIC)), with_added(tiny, (MUSIC, LAW))
    assert one.identity == other.identity
    for a, b in zip(one.score(TEXTS), other.score(TEXTS), strict=True):
        assert dict(a.scores) == dict(b.scores)


def test_another_domain_leaves_the_odds_of_the_first(tiny: CompactRouter) -> None:
    alone, both = with_added(tiny, (LAW,)), with_added(tiny, (LAW, MUSIC))
    for a, b in zip(alone.score(TEXTS[:-1]), both.score(TEXTS[:-1]), strict=True):
        assert a.scores["law"] / a.scores["math"] == pytest.approx(b.scores["law"] / b.scores["math"])


def test_an_example_that_is_not_learnt_is_less_likely(tiny: CompactRouter) -> None:
    found = with_added(tiny, (LAW, MUSIC))
    assert isinstance(found, WithAdded)
    examples = routed_examples(LAW)
    learnt, left_out = found.score(examples), found.score_left_out("law", examples)
    for a, b in zip(learnt, left_out, strict=True):
        assert b.scores["law"] < a.scores["law"]
        assert math.fsum(b.scores.values()) == pytest.approx(1)
        assert b.scores["music"] / b.scores["math"] == pytest.approx(a.scores["music"] / a.scores["math"])


def test_a_blank_text_belongs_to_no_added_domain(tiny: CompactRouter) -> None:
    (found,) = with_added(tiny, (LAW,)).score([" \n"])
    assert found.scores["law"] == 0
    assert found.scores["math"] == pytest.approx(1 / len(DOMAINS))


def test_no_texts_no_scores(tiny: CompactRouter) -> None:
    assert with_added(tiny, (LAW,)).score([]) == []


def test_the_version_tells_what_was_added(tiny: CompactRouter) -> None:
    versions = [
        with_added(tiny, added).identity.version
        for added in (
            (LAW,),
            (MUSIC,),
            (LAW, MUSIC),
            (AddedDomain("law", LAW.description, LAW.examples[:3]),),
            (AddedDomain("law", "Another description.", LAW.examples),),
        )
    ]
    assert len({tiny.identity.version, *versions}) == 6
    assert versions[0].startswith(f"{tiny.identity.version}+law.")
    assert with_added(tiny, (LAW,)).identity.name == tiny.identity.name


def test_it_lists_its_domains_and_stays_extensible(tiny: CompactRouter) -> None:
    found = with_added(tiny, (LAW,))
    assert found.domains == (*DOMAINS, "law")
    assert with_added(found, (MUSIC,)).domains == (*DOMAINS, "law", "music")


def test_it_works_through_wrappers(tiny: CompactRouter) -> None:
    plain = with_added(tiny, (LAW,)).score(TEXTS)
    wrapped = with_added(Cached(Familiar(tiny), 8), (LAW,)).score(TEXTS)
    assert [dict(scores.scores) for scores in wrapped] == [dict(scores.scores) for scores in plain]
    assert wrapped[-1].unfamiliar == "empty"


def test_a_trained_domain_takes_no_examples(tiny: CompactRouter) -> None:
    known = AddedDomain("math", "Numbers.", ("What is 2 + 2?",))
    with pytest.raises(ConfigError, match=r"domains\.math: the router was trained on 'math'"):
        with_added(tiny, (LAW, known))


def test_a_router_without_embeddings_is_refused() -> None:
    with pytest.raises(ConfigError, match="the router keyword gives no embeddings; use kind: compact"):
        with_added(KeywordRouter(), (LAW,))


def test_a_router_without_a_background_is_refused(tmp_path: Path) -> None:
    bare = CompactRouter(write_compact_router(tmp_path, background=False))
    with pytest.raises(ConfigError, match=r"comes with no background\.safetensors"):
        with_added(bare, (LAW,))


# --- with a real encoder -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> WithAdded:
    found = with_added(RealRouter(), (LAW, MUSIC))
    assert isinstance(found, WithAdded)
    return found


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("Is a verbal contract legally binding?", "law"),
        ("Can my landlord throw me out without notice?", "law"),
        ("What is the sentence for shoplifting?", "law"),
        ("What scale fits a minor seventh chord?", "music"),
        ("How do I string a violin?", "music"),
        ("solve 4x = 20", "math"),
        ("sort a list of numbers in Java", "coding"),
        ("tell me about the history of Spain", "other"),
    ],
)
def test_a_handful_of_examples_makes_a_domain(real: WithAdded, text: str, domain: str) -> None:
    assert real.score([text])[0].top()[0] == domain


def test_most_examples_are_recognised_without_having_been_learnt(real: WithAdded) -> None:
    for domain in (LAW, MUSIC):
        found = real.score_left_out(domain.name, routed_examples(domain))
        caught = [scores.top()[0] == domain.name for scores in found]
        assert sum(caught) >= 0.75 * len(caught)


def test_a_domain_is_kin_to_what_the_router_takes_its_examples_for(real: WithAdded) -> None:
    for domain, found in zip((LAW, MUSIC), real.fitted, strict=True):
        scores = RealRouter().score(routed_examples(domain))
        shares = {label: sum(one.scores[label] for one in scores) for label in KNOWN}
        assert sorted(KNOWN, key=found.kinship.__getitem__) == sorted(KNOWN, key=shares.__getitem__)
        assert max(found.kinship.values()) == 1
        assert min(found.kinship.values()) > 0


def test_examples_need_not_be_clean(real: WithAdded) -> None:
    odd = AddedDomain("law", LAW.description, (*LAW.examples, "x" * 2000, "\ud800", "你好", " "))
    found = with_added(RealRouter(), (odd,)).score(TEXTS)
    assert all(math.fsum(scores.scores.values()) == pytest.approx(1) for scores in found)
