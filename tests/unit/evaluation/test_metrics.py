import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.evaluation.metrics import (
    GroupFigures,
    Stability,
    by_group,
    calibrate,
    classify,
    is_right,
    risk_curve,
    stability,
    wilson,
)
from modem.training.metrics import DomainFigures, evaluate

DOMAINS = ("coding", "math", "other")
CHOICES = st.lists(st.tuples(st.sampled_from(DOMAINS), st.sampled_from(DOMAINS)), min_size=1, max_size=30)
CONFIDENT = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def test_figures_of_four_choices_by_hand() -> None:
    found = classify(["math", "math", "coding", "other"], [("math",), ("coding",), ("coding",), ("other",)])
    assert (found.num_prompts, found.accuracy) == (4, 0.75)
    assert found.macro == pytest.approx((0.5 + 1 + 1) / 3)
    assert found.domains == (
        DomainFigures("coding", 2, 0.5, 1.0),
        DomainFigures("math", 1, 1.0, 0.5),
        DomainFigures("other", 1, 1.0, 1.0),
    )
    assert found.confusion.domains == DOMAINS
    assert found.confusion.counts == ((1, 1, 0), (0, 1, 0), (0, 0, 1))


def test_another_accepted_domain_is_right_too() -> None:
    found = classify(["science", "other"], [("math", "science"), ("math", "science")])
    assert found.accuracy == 0.5
    assert {f.domain: f.num_prompts for f in found.domains} == {"math": 1, "other": 0, "science": 1}
    assert is_right(["science", "other"], [("math", "science"), ("math",)]).tolist() == [True, False]


def test_a_domain_that_nobody_can_choose_is_missed() -> None:
    found = classify(["other"], [("law",)])
    assert found.accuracy == found.macro == 0.0
    assert {f.domain: (f.recall, f.precision) for f in found.domains} == {
        "law": (0.0, None),
        "other": (None, 0.0),
    }


@given(CHOICES)
def test_classification_adds_up(pairs: Sequence[tuple[str, str]]) -> None:
    chosen, truth = [pair[0] for pair in pairs], [(pair[1],) for pair in pairs]
    found = classify(chosen, truth)
    counts = np.array(found.confusion.counts)
    assert counts.sum() == len(pairs) == found.num_prompts
    assert found.accuracy == pytest.approx(is_right(chosen, truth).mean())
    assert found.interval[0] <= found.accuracy <= found.interval[1]
    assert sum((f.recall or 0) * f.num_prompts for f in found.domains) / len(pairs) == pytest.approx(
        found.accuracy
    )
    if len({number for number in counts.sum(axis=1) if number}) == 1:
        assert found.macro == pytest.approx(found.accuracy)


@given(CHOICES, st.randoms(use_true_random=False))
def test_the_training_measures_the_same(pairs: Sequence[tuple[str, str]], rng: object) -> None:
    chosen, truth = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    probabilities = np.array([[0.9 if d == one else 0.05 for d in DOMAINS] for one in chosen])
    ours, theirs = classify(chosen, [(one,) for one in truth]), evaluate(probabilities, truth, DOMAINS)
    assert ours.accuracy == pytest.approx(theirs.accuracy)
    assert ours.macro == pytest.approx(theirs.macro)


def test_calibration_of_two_bins_by_hand() -> None:
    confidences = np.array([0.9, 0.9, 0.9, 0.9, 0.5, 0.5])
    right = np.array([True, True, True, False, True, False])
    found = calibrate(confidences, right)
    assert found.ece == pytest.approx((4 * abs(0.75 - 0.9) + 2 * 0) / 6)
    assert [(one.num_prompts, one.accuracy) for one in found.bins] == [(2, 0.5), (4, 0.75)]


@given(CONFIDENT)
def test_calibration_errors_are_shares(pairs: Sequence[tuple[float, bool]]) -> None:
    found = calibrate(np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs]))
    assert 0 <= found.ece <= 1
    assert sum(one.num_prompts for one in found.bins) == len(pairs)


def test_risk_by_hand() -> None:
    confidences = np.array([0.9, 0.8, 0.7, 0.6])
    curve = risk_curve(confidences, np.array([True, True, False, True]))
    assert [(point.threshold, point.coverage) for point in curve] == [
        (0.9, 0.25),
        (0.8, 0.5),
        (0.7, 0.75),
        (0.6, 1.0),
    ]
    assert [point.risk for point in curve] == pytest.approx([0, 0, 1 / 3, 1 / 4])


def test_equal_confidences_are_one_point() -> None:
    curve = risk_curve(np.full(100, 0.4), np.arange(100) < 30)
    (point,) = curve
    assert (point.coverage, point.risk) == pytest.approx((1.0, 0.7))


@given(CONFIDENT)
def test_a_lower_threshold_covers_more(pairs: Sequence[tuple[float, bool]]) -> None:
    confidences, right = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    curve = risk_curve(confidences, right)
    assert [point.threshold for point in curve] == sorted({point.threshold for point in curve}, reverse=True)
    assert [point.coverage for point in curve] == sorted(point.coverage for point in curve)
    assert curve[-1].coverage == 1
    assert curve[-1].risk == pytest.approx(1 - right.mean())
    assert all(0 <= point.risk <= 1 for point in curve)


def test_groups_are_measured_apart_and_nameless_ones_not_at_all() -> None:
    right = np.array([True, False, True, True])
    assert by_group(["b", "b", "a", ""], right) == (GroupFigures("a", 1, 1.0), GroupFigures("b", 2, 0.5))
    assert by_group(["", "", "", ""], right) == ()


def test_stability_by_hand() -> None:
    groups = ["1", "1", "2", "2", "2", "alone"]
    chosen = ["math", "math", "math", "math", "other", "math"]
    found = stability(groups, chosen, np.array([True, True, True, True, False, True]))
    assert found == Stability(2, 0.5, 0.5, (1 + 1 / 3) / 2)


def test_a_group_that_is_always_wrong_is_stable_and_not_right() -> None:
    found = stability(["1", "1"], ["math", "math"], np.array([False, False]))
    assert (found.all_same, found.all_right) == (1.0, 0.0)


def test_stability_needs_something_to_compare() -> None:
    with pytest.raises(ValueError, match="no group"):
        stability(["1", "2"], ["math", "math"], np.array([True, True]))


def test_the_interval_is_wilsons() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20)[0] == 0
    assert wilson(20, 20)[1] == pytest.approx(1)


@given(st.integers(1, 500), st.data())
def test_intervals_hold_the_share_and_narrow_with_more(total: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, total))
    low, high = wilson(hits, total)
    assert 0 <= low <= hits / total + 1e-12
    assert hits / total - 1e-12 <= high <= 1
    wide = wilson(hits * 10, total * 10)
    assert wide[1] - wide[0] < high - low or math.isclose(high, low)
