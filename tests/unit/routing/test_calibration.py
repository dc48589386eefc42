import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from modem.routing.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    NUM_BINS,
    Bin,
    bins,
    calibration_error,
    fit_temperature,
    softmax,
)

LOGITS = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 12), st.integers(2, 5)), elements=st.floats(-30, 30)
)


def log_loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    return float(-np.log(softmax(logits, temperature)[np.arange(len(labels)), labels] + 1e-300).mean())


def drawn(temperature: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that follow their softmax at a temperature."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2.0, size=(n, 4))
    cumulated = softmax(logits, temperature).cumsum(axis=1)
    return logits, (rng.random((n, 1)) > cumulated).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.05)


def test_scaled_logits_need_a_scaled_temperature() -> None:
    logits, labels = drawn(1.0, 500)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3 * fit_temperature(logits, labels))


def test_a_router_that_is_always_right_may_be_as_sure_as_allowed() -> None:
    assert fit_temperature(np.eye(3), np.arange(3)) == pytest.approx(MIN_TEMPERATURE)


def test_a_router_that_is_always_wrong_is_told_to_be_unsure() -> None:
    assert fit_temperature(5 * np.eye(3), np.array([1, 2, 0])) == pytest.approx(MAX_TEMPERATURE)


def test_half_precision_is_enough() -> None:
    logits, labels = drawn(2.0, 1000)
    found = fit_temperature(logits.astype(np.float16), labels)
    assert found == pytest.approx(fit_temperature(logits, labels), rel=1e-2)


@given(LOGITS, st.data())
def test_no_other_temperature_has_less_log_loss(logits: np.ndarray, data: st.DataObject) -> None:
    n, k = logits.shape
    labels = np.array(data.draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n)))
    best = fit_temperature(logits, labels)
    assert MIN_TEMPERATURE <= best <= MAX_TEMPERATURE
    for other in (MIN_TEMPERATURE, 0.9 * best, 1.1 * best, 1.0, MAX_TEMPERATURE):
        other = min(max(other, MIN_TEMPERATURE), MAX_TEMPERATURE)
        assert log_loss(logits, labels, best) <= log_loss(logits, labels, other) + 1e-9


@given(LOGITS, st.floats(MIN_TEMPERATURE, MAX_TEMPERATURE))
def test_a_temperature_changes_no_order(logits: np.ndarray, temperature: float) -> None:
    found = softmax(logits, temperature)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    chosen = logits.argmax(axis=1)
    np.testing.assert_allclose(found[np.arange(len(logits)), chosen], found.max(axis=1))


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((2, 3)), np.array([0]), "are needed"),
        (np.zeros(3), np.array([0]), "are needed"),
        (np.zeros((0, 3)), np.array([], dtype=int), "are needed"),
        (np.zeros((1, 3)), np.array([3]), "columns from 0 to 2"),
        (np.zeros((1, 3)), np.array([-1]), "columns from 0 to 2"),
        (np.zeros((1, 3)), np.array([0.5]), "columns from 0 to 2"),
        (np.array([[0.0, np.nan]]), np.array([0]), "finite"),
    ],
)
def test_what_does_not_fit_is_refused(logits: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_temperature(logits, labels)


def test_calibration_error_by_hand() -> None:
    confidences = np.array([0.9, 0.9, 0.9, 0.9, 0.55, 0.55])
    right = np.array([True, True, True, False, True, False])
    # Four of six are 0.15 too sure, two of six 0.05.
    assert calibration_error(confidences, right) == pytest.approx((4 * 0.15 + 2 * 0.05) / 6)


def test_a_reliability_table_by_hand() -> None:
    found = bins(np.array([1.0, 0.98, 0.2]), np.array([True, False, False]))
    assert found == [Bin(1, 0.2, 0.0), Bin(2, 0.99, 0.5)]


def test_sure_and_right_is_calibrated() -> None:
    assert calibration_error(np.ones(3), np.ones(3, dtype=bool)) == 0


def test_nothing_to_compare_is_no_error() -> None:
    assert calibration_error(np.array([]), np.array([], dtype=bool)) == 0


CHOICES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@given(CHOICES)
def test_a_table_holds_every_prompt_once(choices: list[tuple[float, bool]]) -> None:
    confidences, right = (np.array(part) for part in zip(*choices, strict=True))
    found = bins(confidences, right)
    assert sum(row.num_prompts for row in found) == len(choices)
    assert len(found) <= NUM_BINS
    assert sum(row.num_prompts * row.accuracy for row in found) == pytest.approx(right.sum())
    assert [row.confidence for row in found] == sorted(row.confidence for row in found)


@given(CHOICES)
def test_the_error_lies_between_the_overall_gap_and_one(choices: list[tuple[float, bool]]) -> None:
    confidences, right = (np.array(part) for part in zip(*choices, strict=True))
    gap = abs(confidences.mean() - right.mean())
    assert gap - 1e-9 <= calibration_error(confidences, right) <= 1


def test_scaling_by_the_fitted_temperature_mends_an_overconfident_router() -> None:
    logits, labels = drawn(3.0)

    def error(temperature: float) -> float:
        found = softmax(logits, temperature)
        return calibration_error(found.max(axis=1), found.argmax(axis=1) == labels)

    assert error(1.0) > 0.2
    assert error(fit_temperature(logits, labels)) < 0.02
