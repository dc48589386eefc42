"""How good a router's probabilities are, overall and per domain."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modem.routing.calibration import calibration_error


@dataclass(frozen=True, slots=True)
class DomainFigures:
    """Figures of one domain.

    Attributes:
        domain: Its id.
        num_prompts: Prompts that belong to it.
        recall: Share of them that the router gives to it, in [0, 1]; None without prompts.
        precision: Share of what the router gives to it that belongs there; None if it gives none.
    """

    domain: str
    num_prompts: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one set of prompts.

    Attributes:
        num_prompts: Size of the set.
        accuracy: Share of prompts whose most probable domain is theirs, in [0, 1].
        macro: Mean of the recalls of the domains that occur: accuracy if all were equally frequent.
        ece: Expected calibration error, in [0, 1]; see `modem.routing.calibration`.
        log_loss: Mean of -ln(probability of the true domain).
        threshold: The confidence at which the next two figures are taken.
        coverage: Share of prompts whose most probable domain reaches the threshold.
        covered_accuracy: Accuracy among those; None if there are none.
        domains: Figures per domain, in the router's order.
    """

    num_prompts: int
    accuracy: float
    macro: float
    ece: float
    log_loss: float
    threshold: float
    coverage: float
    covered_accuracy: float | None
    domains: tuple[DomainFigures, ...]


def evaluate(
    probabilities: NDArray[np.float64],
    labels: Sequence[str],
    domains: Sequence[str],
    threshold: float = 0.5,
) -> Evaluation:
    """Compare probabilities with the truth.

    Args:
        probabilities: Shape ``[n, k]``, n at least 1.
        labels: The n true domains. One that the router does not know counts as a mistake and
            stays out of the log loss.
        domains: The k domains in the order of the columns.
        threshold: The confidence for coverage.
    """
    truth = np.array([domains.index(label) if label in domains else -1 for label in labels])
    chosen = probabilities.argmax(axis=1)
    right = chosen == truth
    covered = probabilities.max(axis=1) >= threshold
    known = truth >= 0
    recalls = [right[truth == column].mean() for column in np.unique(truth[known])]
    # A probability of exactly 0 would make one prompt outweigh all others.
    of_truth = np.clip(probabilities[known, truth[known]], 1e-12, 1.0)
    return Evaluation(
        num_prompts=len(labels),
        accuracy=float(right.mean()),
        macro=float(np.mean(recalls)) if recalls else 0.0,
        ece=calibration_error(probabilities.max(axis=1), right),
        log_loss=float(-np.log(of_truth).mean()) if known.any() else 0.0,
        threshold=threshold,
        coverage=float(covered.mean()),
        covered_accuracy=_share(right, covered),
        domains=tuple(
            DomainFigures(
                domain=domain,
                num_prompts=int((truth == column).sum()),
                recall=_share(right, truth == column),
                precision=_share(right, chosen == column),
            )
            for column, domain in enumerate(domains)
        ),
    )


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    """Return the share of hits among the selected; None if none are."""
    return float(hits[among].mean()) if among.any() else None
