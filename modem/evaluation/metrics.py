"""Figures of choices against the truth: pure functions on arrays and names."""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modem.routing.calibration import Bin, bins, calibration_error
from modem.training.metrics import DomainFigures

_Z = 1.96
"""Of the normal distribution: 95 % lie within so many standard deviations."""

_COVERAGES = tuple(step / 20 for step in range(1, 21))


@dataclass(frozen=True, slots=True)
class Confusion:
    """Which domains are taken for which.

    Attributes:
        domains: Names of the rows and columns.
        counts: ``counts[i][j]``: prompts of domain i that were given to j.
    """

    domains: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Classification:
    """How many choices are right.

    Attributes:
        num_prompts: Choices made.
        accuracy: Share that is right, in [0, 1], at the mix of domains that the prompts have.
        interval: 95 % confidence interval of the accuracy (Wilson's score interval).
        macro: Mean of the recalls of the domains that occur: accuracy if all were equally frequent.
        domains: Recall and precision of each.
        confusion: Which are taken for which.
    """

    num_prompts: int
    accuracy: float
    interval: tuple[float, float]
    macro: float
    domains: tuple[DomainFigures, ...]
    confusion: Confusion


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether confidences mean what they say.

    Attributes:
        ece: Expected calibration error over 15 equal-width intervals of the top probability.
        bins: The intervals that hold prompts, for a reliability diagram.
    """

    ece: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """What a threshold does.

    Attributes:
        threshold: Only choices at least so confident count.
        coverage: Share of prompts that leaves, in (0, 1].
        risk: Share of mistakes among them.
    """

    threshold: float
    coverage: float
    risk: float


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """The accuracy of a part of a set.

    Attributes:
        name: Of the source, the subject or the kind.
        num_prompts: Its size.
        accuracy: Share that is right, in [0, 1].
    """

    name: str
    num_prompts: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class Stability:
    """Whether the same thing said otherwise gets the same answer.

    Attributes:
        num_groups: Groups of two or more prompts.
        all_same: Share of the groups in which every prompt goes to one domain.
        all_right: Share in which every prompt goes to the right one.
        pairs_same: Probability that two prompts of a group go to one domain, mean over the groups.
    """

    num_groups: int
    all_same: float
    all_right: float
    pairs_same: float


def is_right(chosen: Sequence[str], accepted: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
    """Return for each choice whether it is among the accepted ones."""
    return np.array([one in right for one, right in zip(chosen, accepted, strict=True)], dtype=bool)


def classify(chosen: Sequence[str], accepted: Sequence[Sequence[str]]) -> Classification:
    """Compare choices with the truth.

    Args:
        chosen: The n domains that were chosen, n at least 1.
        accepted: For each the domains that are right, the first before all. Where another accepted one
            was chosen, the prompt counts as one of that domain.
    """
    truth = [one if one in right else right[0] for one, right in zip(chosen, accepted, strict=True)]
    domains = tuple(sorted({*truth, *chosen}))
    counts = _counts(truth, chosen, domains)
    figures = tuple(_domain_figures(counts, column, domain) for column, domain in enumerate(domains))
    right = int(np.trace(counts))
    recalls = [found.recall for found in figures if found.recall is not None]
    return Classification(
        num_prompts=len(chosen),
        accuracy=right / len(chosen),
        interval=wilson(right, len(chosen)),
        macro=float(np.mean(recalls)),
        domains=figures,
        confusion=Confusion(domains, tuple(tuple(row) for row in counts.tolist())),
    )


def calibrate(confidences: NDArray[np.float64], right: NDArray[np.bool_]) -> Calibration:
    """Compare confidences, shape ``[n]``, with whether each choice was right."""
    return Calibration(calibration_error(confidences, right), tuple(bins(confidences, right)))


def risk_curve(confidences: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[RiskPoint, ...]:
    """Return what is risked when only the most confident choices are trusted, in steps of 5 %.

    Choices of equal confidence are trusted together, because no threshold parts them; so a curve may have
    fewer points than steps.
    """
    ordered = np.sort(confidences)[::-1]
    thresholds = {float(ordered[math.ceil(share * len(ordered)) - 1]) for share in _COVERAGES}
    return tuple(_risk_point(confidences, right, threshold) for threshold in sorted(thresholds, reverse=True))


def by_group(names: Sequence[str], right: NDArray[np.bool_]) -> tuple[GroupFigures, ...]:
    """Return the accuracy of each group, by name; prompts without one are left out."""
    found: dict[str, list[bool]] = defaultdict(list)
    for name, hit in zip(names, right.tolist(), strict=True):
        if name:
            found[name].append(hit)
    return tuple(GroupFigures(name, len(hits), sum(hits) / len(hits)) for name, hits in sorted(found.items()))


def stability(groups: Sequence[Hashable], chosen: Sequence[str], right: NDArray[np.bool_]) -> Stability:
    """Compare the choices within each group; groups of one say nothing and are left out.

    Raises:
        ValueError: No group has two prompts.
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    found = [indices for indices in members.values() if len(indices) > 1]
    if not found:
        raise ValueError("no group has two prompts to compare")
    same = [_pairs_same([chosen[index] for index in indices]) for indices in found]
    return Stability(
        num_groups=len(found),
        all_same=sum(share == 1 for share in same) / len(found),
        all_right=float(np.mean([right[indices].all() for indices in found])),
        pairs_same=float(np.mean(same)),
    )


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson 1927): holds for small sets and at 0 and 1."""
    share, square = hits / total, _Z * _Z
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = _Z / (1 + square / total) * math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _counts(truth: Sequence[str], chosen: Sequence[str], domains: Sequence[str]) -> NDArray[np.int64]:
    counts = np.zeros((len(domains), len(domains)), dtype=np.int64)
    for (row, column), number in Counter(zip(truth, chosen, strict=True)).items():
        counts[domains.index(row), domains.index(column)] = number
    return counts


def _domain_figures(counts: NDArray[np.int64], index: int, domain: str) -> DomainFigures:
    hits, of_domain, given = counts[index, index], counts[index].sum(), counts[:, index].sum()
    return DomainFigures(
        domain=domain,
        num_prompts=int(of_domain),
        recall=float(hits / of_domain) if of_domain else None,
        precision=float(hits / given) if given else None,
    )


def _risk_point(confidences: NDArray[np.float64], right: NDArray[np.bool_], threshold: float) -> RiskPoint:
    covered = confidences >= threshold
    return RiskPoint(threshold, float(covered.mean()), float(1 - right[covered].mean()))


def _pairs_same(chosen: Sequence[str]) -> float:
    pairs = math.comb(len(chosen), 2)
    return sum(math.comb(number, 2) for number in Counter(chosen).values()) / pairs
