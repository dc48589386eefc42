import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modem.routing.discriminant import MOVED, MOVED_OF_PARENT, UNTOLD, Discriminant, fit
from modem.routing.folder import Background
from modem.types import DomainScores

KINSHIP = {"math": 0.05, "other": 1.0}
OTHER = DomainScores({"math": 0.0, "other": 1.0})

AT_MATH, AT_OTHER, AT_LAW = (1, 0), (0, 1), (0, 0.5, 1)
"""Where prompts lie: law is near other."""


def unit(rows: np.ndarray) -> np.ndarray:
    result: np.ndarray = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return result


def cloud(seed: int, n: int, at: Sequence[float], dim: int = 24) -> np.ndarray:
    """Unit vectors around a direction."""
    rows = np.random.default_rng(seed).normal(size=(n, dim)) / math.sqrt(dim)
    rows[:, : len(at)] += at
    return unit(rows)


def background(seed: int = 0, untold: int = 0) -> Background:
    """Prompts of math, and of other, some of which are law that nobody told."""
    other = np.vstack([cloud(seed + 1, 200 - untold, AT_OTHER), cloud(seed + 2, untold, AT_LAW)])
    return Background(np.vstack([cloud(seed, 400, AT_MATH), other]), np.repeat([0, 1], [400, 200]))


def law(seed: int = 5, known: Background | None = None, n: int = 12) -> Discriminant:
    return fit("law", cloud(seed, n + 2, AT_LAW), n, known or background(), KINSHIP)


def odds(domain: Discriminant, rows: np.ndarray, scores: DomainScores = OTHER) -> np.ndarray:
    return np.array([domain.log_odds(value, scores) for value in domain.alike(rows)])


def test_what_is_like_the_examples_is_likely_and_the_rest_is_not() -> None:
    assert np.median(odds(law(), cloud(6, 200, AT_LAW))) > 1
    assert np.median(odds(law(), cloud(7, 200, AT_OTHER))) < -1
    assert np.median(odds(law(), cloud(8, 200, AT_MATH))) < -3


@pytest.mark.parametrize("seed", range(0, 50, 10))
def test_hardly_any_of_the_background_is_moved(seed: int) -> None:
    known = background(seed)
    moved = odds(law(seed + 5, known), known.embeddings) > 0
    assert moved[known.labels == 0].mean() <= MOVED
    assert moved[known.labels == 1].mean() <= MOVED_OF_PARENT + UNTOLD


@pytest.mark.parametrize("seed", range(0, 50, 10))
def test_unseen_prompts_of_the_background_are_hardly_moved_either(seed: int) -> None:
    unseen = background(seed + 1000)
    moved = odds(law(seed + 5, background(seed)), unseen.embeddings) > 0
    assert moved[unseen.labels == 0].mean() <= MOVED + 0.01
    assert moved[unseen.labels == 1].mean() <= MOVED_OF_PARENT + UNTOLD + 0.05


def test_members_that_nobody_told_the_router_of_do_not_shut_the_door() -> None:
    new = cloud(6, 300, AT_LAW)
    told, untold = law(), law(known=background(untold=10))
    assert (odds(told, new) > 0).mean() > 0.8
    assert (odds(untold, new) > 0).mean() > (odds(told, new) > 0).mean() - 0.1


def test_a_domain_that_cannot_be_told_from_its_parent_takes_little_of_it() -> None:
    same = fit("same", cloud(5, 14, AT_OTHER), 12, background(), KINSHIP)
    assert (odds(same, cloud(6, 500, AT_OTHER)) > 0).mean() < 0.2
    assert np.median(same.left_out) < same.cut


def test_directions_in_which_all_prompts_differ_count_less() -> None:
    # As after fine-tuning: much of an embedding's length tells nothing of the new domain.
    def tuned(rows: np.ndarray, seed: int) -> np.ndarray:
        return unit(np.hstack([rows, 1.5 * unit(np.random.default_rng(seed).normal(size=(len(rows), 2)))]))

    known = Background(tuned(background().embeddings, 1), background().labels)
    positives, new = tuned(cloud(5, 14, AT_LAW), 2), tuned(cloud(6, 300, AT_LAW), 3)

    def caught(weights: np.ndarray) -> float:
        return float((new @ weights > np.quantile(known.embeddings @ weights, 0.99)).mean())

    centroid = positives.mean(axis=0) - known.embeddings.mean(axis=0)
    assert caught(fit("law", positives, 12, known, KINSHIP).weights) > caught(centroid) + 0.1


def test_left_out_is_what_fitting_without_an_example_gives() -> None:
    positives = cloud(5, 10, AT_LAW)
    whole = fit("law", positives, 8, background(), KINSHIP)
    assert len(whole.left_out) == 8
    for index in (0, 5):
        rest = fit("law", np.delete(positives, index, axis=0), 7, background(), KINSHIP)
        assert whole.left_out[index] == pytest.approx(float(rest.alike(positives[[index]])[0]))
        assert whole.left_out[index] < whole.alike(positives[[index]])[0]


def test_a_typical_example_gets_nine_to_one_unless_that_is_too_flat_or_too_steep() -> None:
    domain = law()
    typical = float(np.median(domain.left_out))
    spread = float(domain.alike(background().embeddings).std())
    width = math.log(9) / domain.slope
    assert width == pytest.approx(min(max(typical - domain.cut, 0.3 * spread), 0.8 * spread))


def test_what_the_router_is_sure_of_is_not_moved_by_a_word() -> None:
    domain = law()
    alike = domain.cut + 1 / domain.slope
    assert domain.log_odds(alike, OTHER) == pytest.approx(1)
    assert domain.log_odds(alike, DomainScores({"math": 1.0, "other": 0.0})) == pytest.approx(
        1 + math.log(0.05)
    )
    assert 0 < domain.log_odds(alike, DomainScores({"math": 0.5, "other": 0.5})) < 1


@pytest.mark.parametrize("scores", [{}, {"foreign": 1.0}, {"other": float("nan")}])
def test_scores_that_say_nothing_of_the_labels_make_it_impossible(scores: dict[str, float]) -> None:
    assert law().log_odds(100.0, DomainScores(scores)) == -math.inf


@given(st.floats(-1e6, 1e6), st.floats(0, 1e3), st.floats(0, 1))
def test_the_odds_rise_with_likeness(alike: float, more: float, of_math: float) -> None:
    domain = replace(_FITTED, slope=2.0, cut=0.5)
    scores = DomainScores({"math": of_math, "other": 1 - of_math})
    assert domain.log_odds(alike, scores) <= domain.log_odds(alike + more, scores) <= 30


@given(st.floats(-10, 10), st.floats(0, 1), st.floats(0, 1))
def test_the_odds_rise_with_kinship(alike: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    found = [
        _FITTED.log_odds(alike, DomainScores({"other": share, "math": 1 - share})) for share in (low, high)
    ]
    assert found[0] <= found[1] + 1e-9


def test_one_example_is_enough_to_fit() -> None:
    assert np.isfinite(odds(law(n=1), background().embeddings)).all()


@pytest.mark.parametrize("label", [0, 1])
def test_a_background_of_one_label_will_do(label: int) -> None:
    rows = background().embeddings
    domain = law(known=Background(rows, np.full(len(rows), label)))
    assert (odds(domain, rows) > 0).mean() <= MOVED_OF_PARENT + UNTOLD


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 1000),
    num_positive=st.integers(2, 20),
    num_background=st.integers(1, 30),
    flat=st.sampled_from(["nothing", "background", "all"]),
    dim=st.sampled_from([2, 8, 40]),
)
def test_any_vectors_give_odds_that_are_numbers(
    seed: int, num_positive: int, num_background: int, flat: str, dim: int
) -> None:
    rng = np.random.default_rng(seed)
    positives, rows = unit(rng.normal(size=(num_positive, dim))), unit(rng.normal(size=(num_background, dim)))
    if flat != "nothing":
        rows[:] = rows[0]
    if flat == "all":
        positives[:] = rows[0]
    known = Background(rows, rng.integers(0, 2, num_background))
    domain = fit("law", positives, num_positive - 1, known, KINSHIP)
    assert np.isfinite(odds(domain, unit(rng.normal(size=(20, dim))))).all()
    assert np.isfinite(domain.left_out).all()
    assert np.isfinite([domain.cut, domain.slope]).all()


_FITTED = law()
