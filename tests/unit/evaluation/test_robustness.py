from collections.abc import Sequence

import pytest

from modem.evaluation.measure import serving_all
from modem.evaluation.robustness import num_measured, robustness, wrapped
from modem.evaluation.wrapping import wrappings
from modem.types import DomainScores, RouterIdentity
from tests.builders import DOMAINS
from tests.routers import KeywordRouter
from tests.unit.evaluation.cases import keyword_cases

GATEWAY = serving_all(DOMAINS)
CASES = keyword_cases()


class Forgetful:
    """Reads any prompt right, until it has seen as many as there are."""

    identity = RouterIdentity("forgetful", "1")
    domains = DOMAINS

    def __init__(self, good: int) -> None:
        self.left = good

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        found = KeywordRouter().score(texts)
        self.left -= len(texts)
        return found if self.left >= 0 else [DomainScores(dict.fromkeys(DOMAINS, 0.2)) for _ in texts]


def test_a_router_that_is_not_thrown_off_loses_nothing() -> None:
    class Oracle(KeywordRouter):
        """Knows every question by a word that nothing else holds."""

        def score(self, texts: Sequence[str]) -> list[DomainScores]:
            return super().score([" ".join(w for w in text.split() if w in marks) for text in texts])

    marks = set(DOMAINS)
    plain = robustness("drills", CASES, Oracle(), GATEWAY)
    assert (plain.accuracy, plain.decided_accuracy, plain.num_prompts) == (1.0, 1.0, len(CASES))
    few_shot = next(loss for loss in plain.losses if loss.wrapping == "few_shot")
    assert (few_shot.loss_points, few_shot.decided_loss_points, few_shot.changed) == (0, 0, 0)


def test_losses_are_points_against_the_prompts_as_they_stand() -> None:
    found = robustness("drills", CASES, Forgetful(len(CASES)), GATEWAY)
    assert found.accuracy == 1.0
    assert [loss.wrapping for loss in found.losses] == [one.name for one in wrappings()]
    for loss in found.losses:
        # All domains equal: the first name wins, and below the threshold the fallback does.
        assert loss.loss_points == pytest.approx(80)
        assert loss.decided_loss_points == pytest.approx(80)
        assert loss.changed == pytest.approx(0.8)
        assert loss.accuracy == pytest.approx(0.2)
    assert found.worst in found.losses


def test_the_worst_is_the_one_that_costs_most() -> None:
    found = robustness("drills", CASES, Forgetful(len(CASES) * 8), GATEWAY)
    assert found.worst.wrapping == "context_around"
    assert sum(loss.loss_points > 50 for loss in found.losses) == 1


def test_wrapping_is_repeatable_and_depends_on_the_seed() -> None:
    context = wrappings()[-1]
    first, again, other = (wrapped(CASES, context, seed) for seed in (1, 1, 2))
    assert first == again
    assert [case.prompt for case in first] != [case.prompt for case in other]
    assert first[0].prompt != first[1].prompt.replace(CASES[1].prompt, CASES[0].prompt)
    assert [case.domain for case in first] == [case.domain for case in CASES]


def test_progress_counts_all_that_is_measured() -> None:
    seen: list[int] = []
    robustness("drills", CASES, KeywordRouter(), GATEWAY, step=seen.append)
    assert sum(seen) == num_measured(len(CASES)) == 9 * len(CASES)
