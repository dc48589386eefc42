"""Telling prompts of one new domain from all that a router knows, by their embeddings: pure functions.

A linear discriminant. On a dozen examples it does as well as a ridge regression or better, and it keeps
doing so when fine-tuning has turned most of an encoder's variance towards the labels that it was tuned
for, where a ridge, a centroid and neighbours lose the directions in which a new domain differs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modem.routing.folder import Background
from modem.types import DomainScores

MOVED = 0.02
"""Share of the background of other labels that may look like an added domain. What the router thinks of
a prompt has a say too, so that about half of them are moved."""

MOVED_OF_PARENT = 0.04
"""The same for the label that an added domain is cut out of: law out of ``other``."""

UNTOLD = 0.05
"""Greatest share of that label that is taken for prompts of the new domain that nobody told the router."""

_SHRINKAGE = 0.75
"""Of the variance towards a sphere. Less learns the accidents of 500 prompts; more forgets in which
directions prompts of one label differ."""

_TYPICAL_ODDS = math.log(9.0)
"""Log odds that an example as typical as the median gets when it was not learnt."""

_WIDTHS = (0.3, 0.8)
"""Bounds of the distance between even and typical odds, in standard deviations of the background. Flat odds
would draw off probability from doubtful prompts everywhere."""

_MAX_LOG_ODDS = 30.0

Vectors = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Discriminant:
    """An added domain as numbers.

    Attributes:
        name: Its id.
        weights: Shape ``[dim]``: ``embedding @ weights`` tells how much a prompt is like the domain.
        cut: The value of that at which the odds are even.
        slope: Log odds per unit of it.
        kinship: How much of each label of the router may belong to the domain, by what the router makes of
            the examples; 1 for the label that it is cut out of.
        left_out: The value for each example, had it not been learnt: what to expect of such prompts.
    """

    name: str
    weights: Vectors
    cut: float
    slope: float
    kinship: Mapping[str, float]
    left_out: tuple[float, ...]

    def alike(self, embeddings: NDArray[np.floating]) -> Vectors:
        """Return how much prompts are like the domain, shape ``[n]``, for embeddings ``[n, dim]``."""
        return np.asarray(embeddings, dtype=np.float64) @ self.weights

    def log_odds(self, alike: float, scores: DomainScores) -> float:
        """Return the log odds of the domain against all that the router knows.

        Args:
            alike: How much the prompt is like the domain.
            scores: What the router makes of it. If it is sure of a label in which none of the examples lie,
                the words deceive: a program that reads court files is no law.
        """
        kin = sum(score * self.kinship.get(label, 0.0) for label, score in scores.scores.items())
        if not kin > 0:
            return -math.inf
        odds = min(max(self.slope * (alike - self.cut), -_MAX_LOG_ODDS), _MAX_LOG_ODDS)
        return odds + math.log(min(kin, 1.0))


def fit(
    name: str,
    positives: NDArray[np.floating],
    num_examples: int,
    background: Background,
    kinship: Mapping[str, float],
) -> Discriminant:
    """Fit the vectors of one domain: a direction, then where the odds are even and how steep they are.

    The direction is the linear discriminant: the difference of the means, weighed by the inverse of the
    variance within the router's labels. The odds are even where at most `MOVED` of the background lies
    above, and `MOVED_OF_PARENT` of the label that the domain is cut out of. What of that label looks more
    like the domain than half of its own examples is not counted, up to `UNTOLD`: it belongs to the domain
    and nobody told the router.

    Args:
        name: Of the domain.
        positives: Shape ``[p, dim]``: the examples, then what describes them; p at least 2.
        num_examples: How many are examples; at least 1.
        background: Embeddings and labels.
        kinship: By label, in the order of the background's numbers.
    """
    known = background.embeddings.astype(np.float64)
    like = np.asarray(positives, dtype=np.float64)
    variance, middle = _variance(known, background.labels), known.mean(axis=0)
    weights = np.linalg.solve(variance, like.mean(axis=0) - middle)
    # Without one of them the mean is another, and so is the direction; the variance is the background's.
    others = (like.sum(axis=0) - like[:num_examples]) / (len(like) - 1) - middle
    left_out = np.einsum("id,id->i", others, np.linalg.solve(variance, like[:num_examples].T).T)
    typical, seen = float(np.median(left_out)), known @ weights
    parent = background.labels == int(np.argmax(list(kinship.values())))
    of_others = _quantile(seen[~parent], MOVED)
    cut = max(of_others, _quantile(_told(seen[parent], typical), MOVED_OF_PARENT))
    spread = float(seen.std())
    width = float(np.clip(typical - cut, _WIDTHS[0] * spread, _WIDTHS[1] * spread))
    slope = _TYPICAL_ODDS / max(width, 1e-9)
    return Discriminant(name, weights, cut, slope, dict(kinship), tuple(left_out.tolist()))


def _variance(rows: Vectors, labels: NDArray[np.int64]) -> Vectors:
    """Return the variance within labels, shape ``[dim, dim]``, shrunk towards a sphere."""
    centred = rows.copy()
    for label in np.unique(labels):
        centred[labels == label] -= rows[labels == label].mean(axis=0)
    variance = centred.T @ centred / len(rows)
    mean = max(float(np.trace(variance)) / len(variance), 1e-6)
    shrunk: Vectors = (1 - _SHRINKAGE) * variance + _SHRINKAGE * mean * np.eye(len(variance))
    return shrunk


def _told(values: Vectors, typical: float) -> Vectors:
    """Drop the values that are as high as those of the domain itself, at most `UNTOLD` of them."""
    ordered = np.sort(values)
    least = math.ceil(len(ordered) * (1 - UNTOLD))
    return ordered[: max(least, int((ordered < typical).sum()))]


def _quantile(values: NDArray[np.floating], share_above: float) -> float:
    """Return what at most a share of the values lies above; minus infinity of nothing."""
    return float(np.quantile(values, 1 - share_above, method="higher")) if len(values) else -math.inf
