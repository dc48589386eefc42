"""Whether probabilities mean what they say, and the one number that makes them: pure functions on arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 15
"""Equal intervals of confidence over which calibration is measured."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Where a temperature is looked for. Labels that are all right, or no better than chance, would lead
to zero or to infinity."""

_STEPS = 60
"""Halvings of the search interval: beyond the precision of a float."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The choices in one interval of confidence: a row of a reliability table.

    Attributes:
        num_prompts: How many.
        confidence: Their mean confidence.
        accuracy: Share that is right.
    """

    num_prompts: int
    confidence: float
    accuracy: float


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return probabilities of shape ``[n, k]`` for logits of shape ``[n, k]`` divided by a temperature."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    # Softmax does not change under a shift; this one keeps exp from overflowing.
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the temperature under which the true domains get the least log loss.

    Temperature scaling (Guo et al., arXiv 1706.04599): one number divides all logits, so no choice
    changes, only how sure it is. Log loss is convex in the inverse temperature; its slope there is the mean
    logit that the probabilities expect less the mean logit of the truth, and the zero is found by halving.

    Args:
        logits: Shape ``[n, k]``, of prompts that the router did not learn; n at least 1.
        labels: The n true columns.

    Returns:
        A number from `MIN_TEMPERATURE` to `MAX_TEMPERATURE`; above 1 the router was too sure.

    Raises:
        ValueError: The shapes do not fit, a logit is not finite, or a label is no column.
    """
    values, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    _check(values, truth)
    of_truth = values[np.arange(len(truth)), truth].mean()
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    for _ in range(_STEPS):
        middle = (low + high) / 2
        expected = (softmax(values, 1 / middle) * values).sum(axis=1).mean()
        low, high = (middle, high) if expected < of_truth else (low, middle)
    return float(np.clip(2 / (low + high), MIN_TEMPERATURE, MAX_TEMPERATURE))


def calibration_error(confidences: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error, in [0, 1].

    The mean distance of confidence and accuracy over `NUM_BINS` equal intervals of confidence, weighted
    by their prompts (Naeini et al., AAAI 2015).

    Args:
        confidences: The n highest probabilities.
        right: Whether each of these choices is true.
    """
    found = bins(confidences, right)
    return sum(row.num_prompts * abs(row.accuracy - row.confidence) for row in found) / max(1, len(right))


def bins(confidences: NDArray[np.float64], right: NDArray[np.bool_]) -> list[Bin]:
    """Return the reliability table: choices by interval of confidence, those without any left out."""
    numbers = np.clip((confidences * NUM_BINS).astype(int), 0, NUM_BINS - 1)
    return [
        Bin(
            num_prompts=int((numbers == number).sum()),
            confidence=float(confidences[numbers == number].mean()),
            accuracy=float(right[numbers == number].mean()),
        )
        for number in np.unique(numbers)
    ]


def _check(logits: NDArray[np.float64], labels: NDArray[np.integer]) -> None:
    if logits.ndim != 2 or logits.size == 0 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits [n, k] and labels [n] are needed, not {logits.shape} and {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"labels must be columns from 0 to {logits.shape[1] - 1}")
    if not np.isfinite(logits).all():
        raise ValueError("logits must be finite")
