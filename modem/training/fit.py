"""Fitting the linear head on frozen embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError
from modem.training.metrics import evaluate

CANDIDATES = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Inverse strengths of the L2 penalty that are tried."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Embeddings with their domains.

    Attributes:
        embeddings: Shape ``[n, dim]``.
        labels: The n domains.
    """

    embeddings: NDArray[np.float32]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted multinomial logistic regression.

    Attributes:
        domains: The k domains in the order of the rows.
        weights: Shape ``[k, dim]``.
        bias: Shape ``[k]``.
        c: Inverse strength of the penalty.
        log_loss: Mean over the sets that chose ``c``.
    """

    domains: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    c: float
    log_loss: float


def fit(
    training: Labelled,
    choosing: Sequence[Labelled],
    domains: Sequence[str],
    candidates: Sequence[float] = CANDIDATES,
) -> Fit:
    """Fit a head for each candidate penalty and keep the one with the least log loss.

    Log loss rather than accuracy chooses, because a threshold is applied to the probabilities:
    they have to mean what they say. Domains weigh the same, however many prompts they have.

    Args:
        training: To fit on; holds every domain.
        choosing: Sets to choose the penalty on, by the mean of their log losses, so that a large
            set counts no more than a small one; never a test set.
        domains: Order of the rows.
        candidates: Penalties to try.

    Raises:
        ConfigError: A domain has no training prompts, or a set to choose on is empty.
    """
    if not choosing or not all(labelled.labels for labelled in choosing):
        raise ConfigError("training needs held-out prompts to choose the penalty on; give it more data")
    missing = sorted(set(domains) - set(training.labels))
    if missing or len(domains) < 2:
        raise ConfigError(f"training needs two domains or more, each with prompts; without: {missing}")
    fits = [_fit_one(training, choosing, domains, c) for c in candidates]
    return min(fits, key=lambda fitted: fitted.log_loss)


def _fit_one(training: Labelled, choosing: Sequence[Labelled], domains: Sequence[str], c: float) -> Fit:
    from sklearn.linear_model import LogisticRegression

    columns = {domain: column for column, domain in enumerate(domains)}
    model = LogisticRegression(C=c, max_iter=2000, class_weight="balanced")
    model.fit(training.embeddings, [columns[label] for label in training.labels])
    weights, bias = model.coef_, model.intercept_
    if len(domains) == 2:
        # For two classes scikit-learn keeps one row, the second class's logit against the first's.
        weights, bias = np.vstack([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2])
    losses = [
        evaluate(model.predict_proba(labelled.embeddings), labelled.labels, domains).log_loss
        for labelled in choosing
    ]
    return Fit(tuple(domains), weights.astype(np.float32), bias.astype(np.float32), c, float(np.mean(losses)))
