import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.training.metrics import DomainFigures, evaluate

DOMAINS = ("math", "coding", "other")


def test_figures_of_a_small_set_by_hand() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.4, 0.3, 0.3], [0.1, 0.8, 0.1], [0.1, 0.3, 0.6]])
    found = evaluate(probabilities, ["math", "coding", "coding", "other"], DOMAINS)
    assert (found.num_prompts, found.accuracy, found.coverage) == (4, 0.75, 0.75)
    assert found.covered_accuracy == 1.0
    assert found.macro == pytest.approx((1 + 0.5 + 1) / 3)
    # Confidences 0.8 (right), 0.4 (wrong), 0.8 (right) and 0.6 (right), each value in a bin of its own.
    assert found.ece == pytest.approx((2 * 0.2 + 0.4 + 0.4) / 4)
    assert found.log_loss == pytest.approx(-sum(map(math.log, (0.8, 0.3, 0.8, 0.6))) / 4)
    assert found.domains == (
        DomainFigures("math", 1, 1.0, 0.5),
        DomainFigures("coding", 2, 0.5, 1.0),
        DomainFigures("other", 1, 1.0, 1.0),
    )


def test_what_does_not_occur_has_no_figure() -> None:
    found = evaluate(np.array([[0.4, 0.3, 0.3]]), ["math"], DOMAINS)
    assert found.covered_accuracy is None
    assert found.domains[1] == DomainFigures("coding", 0, None, None)


def test_a_label_the_router_does_not_know_is_a_mistake() -> None:
    found = evaluate(np.array([[1.0, 0.0, 0.0]] * 2), ["law", "math"], DOMAINS)
    assert found.accuracy == 0.5
    assert found.log_loss == 0.0
    unknown = evaluate(np.array([[1.0, 0.0, 0.0]]), ["law"], DOMAINS)
    assert (unknown.log_loss, unknown.macro, unknown.ece) == (0.0, 0.0, 1.0)


def test_a_probability_of_zero_keeps_the_loss_finite() -> None:
    assert math.isfinite(evaluate(np.array([[1.0, 0.0, 0.0]]), ["other"], DOMAINS).log_loss)


ROWS = st.lists(
    st.tuples(*(st.floats(0.01, 1) for _ in DOMAINS), st.sampled_from(DOMAINS)), min_size=1, max_size=20
)


@given(ROWS, st.floats(0, 1))
def test_recall_weighted_by_size_is_accuracy(
    rows: list[tuple[float, float, float, str]], threshold: float
) -> None:
    raw = np.array([row[:3] for row in rows])
    found = evaluate(raw / raw.sum(axis=1, keepdims=True), [str(row[3]) for row in rows], DOMAINS, threshold)
    weighted = sum((figures.recall or 0) * figures.num_prompts for figures in found.domains)
    assert weighted / len(rows) == pytest.approx(found.accuracy)
    assert 0 <= found.coverage <= 1
    assert 0 <= found.ece <= 1
    assert 0 <= found.macro <= 1
