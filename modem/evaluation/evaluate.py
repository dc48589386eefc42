"""One evaluation of a router: figures of every set, robustness, added domains, cost."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modem.config import GatewayConfig
from modem.evaluation.added import AddedFigures, added_figures, can_grow, num_measured_added, read_law
from modem.evaluation.measure import Cost, Step, accepted_by, counting, measure, measure_cost
from modem.evaluation.metrics import (
    Calibration,
    Classification,
    GroupFigures,
    RiskPoint,
    Stability,
    by_group,
    calibrate,
    classify,
    is_right,
    risk_curve,
    stability,
)
from modem.evaluation.robustness import Robustness, num_measured, robustness
from modem.evaluation.sets import BORDERLINE_SUBJECTS, Case, EvaluationSet
from modem.routing.base import Router
from modem.types import RouterIdentity

NUM_TIMED = 50
"""Decisions that are timed one by one."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that made decisions out of scores; see `modem.config.RoutingPolicyConfig`."""

    threshold: float
    margin: float
    switch_margin: float
    out_of_domain: str
    fallback: str


@dataclass(frozen=True, slots=True)
class SetFigures:
    """Figures of one set.

    Attributes:
        name: Of the set.
        scores: By the most probable domain, whatever its probability.
        decisions: By what the gateway would do, thresholds and history included.
        reasons: How many decisions had which reason.
        calibration: Of the highest probability.
        risk: What a threshold on it would do.
        sources: Accuracy (of the scores) by data set, by subject, and by kind of case.
        subjects: The same.
        kinds: The same.
        without_borderline: Figures without the subjects on the border of two domains; None if
            the set names no such subject.
        stability: Between cases that say the same; None if the set has none.
    """

    name: str
    scores: Classification
    decisions: Classification
    reasons: Mapping[str, int]
    calibration: Calibration
    risk: tuple[RiskPoint, ...]
    sources: tuple[GroupFigures, ...]
    subjects: tuple[GroupFigures, ...]
    kinds: tuple[GroupFigures, ...]
    without_borderline: Classification | None
    stability: Stability | None


@dataclass(frozen=True, slots=True)
class Report:
    """One evaluation.

    Attributes:
        router: What was measured.
        policy: The thresholds.
        sets: Figures of each set.
        robustness: Of the sets whose prompts were wrapped.
        added: Of a domain that is added without training; None if that was not measured.
        cost: Of one decision.
    """

    router: RouterIdentity
    policy: Policy
    sets: tuple[SetFigures, ...]
    robustness: tuple[Robustness, ...]
    added: AddedFigures | None
    cost: Cost

    def of(self, name: str) -> SetFigures:
        """Return the figures of a set.

        Raises:
            KeyError: It was not measured.
        """
        return {found.name: found for found in self.sets}[name]


def evaluate(
    router: Router,
    gateway: GatewayConfig,
    sets: Sequence[EvaluationSet],
    wrapped: Sequence[EvaluationSet] = (),
    add_domain: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Measure a router.

    Args:
        router: What is measured.
        gateway: The domains that are served and the thresholds.
        sets: At least one.
        wrapped: Sets whose prompts are wrapped; of single prompts.
        add_domain: Whether to add a domain and measure that, if the router is one that domains can be
            added to.
        progress: Called with the numbers of decisions taken and of all.
    """
    domain = read_law() if add_domain and can_grow(router, read_law()) else None
    total = _num_decisions(sets, wrapped) + (num_measured_added() if domain else 0)
    step = counting(progress, total)
    return Report(
        router=router.identity,
        policy=policy_of(gateway),
        sets=tuple(set_figures(found, router, gateway, step) for found in sets),
        robustness=tuple(
            robustness(found.name, found.cases, router, gateway, step=step) for found in wrapped
        ),
        added=added_figures(router, gateway, domain, step) if domain else None,
        cost=measure_cost(router, sets[0].cases[:NUM_TIMED], gateway),
    )


def set_figures(
    found: EvaluationSet, router: Router, gateway: GatewayConfig, step: Step = lambda done: None
) -> SetFigures:
    """Measure one set."""
    cases = found.cases
    measured = measure(router, cases, gateway, step)
    accepted = accepted_by(cases, gateway, router.domains)
    right = is_right(measured.chosen, accepted)
    return SetFigures(
        name=found.name,
        scores=classify(measured.chosen, accepted),
        decisions=classify(measured.decided, accepted),
        reasons=dict(sorted(Counter(str(decision.reason) for decision in measured.decisions).items())),
        calibration=calibrate(measured.confidences, right),
        risk=risk_curve(measured.confidences, right),
        sources=by_group([case.source for case in cases], right),
        subjects=by_group([case.subject for case in cases], right),
        kinds=by_group([case.kind for case in cases], right),
        without_borderline=_without_borderline(cases, measured.chosen, accepted),
        stability=_stability(cases, measured.chosen, right),
    )


def policy_of(gateway: GatewayConfig) -> Policy:
    """Return the settings of a configuration that decide."""
    found = gateway.routing
    return Policy(found.threshold, found.margin, found.switch_margin, found.out_of_domain, found.fallback)


def _stability(cases: Sequence[Case], chosen: Sequence[str], right: NDArray[np.bool_]) -> Stability | None:
    groups = [case.group for case in cases]
    if not all(groups) or len(set(groups)) == len(groups):
        return None
    return stability(groups, chosen, right)


def _without_borderline(
    cases: Sequence[Case], chosen: Sequence[str], accepted: Sequence[tuple[str, ...]]
) -> Classification | None:
    kept = [i for i, case in enumerate(cases) if case.subject not in BORDERLINE_SUBJECTS]
    if not kept or len(kept) == len(cases):
        return None
    return classify([chosen[i] for i in kept], [accepted[i] for i in kept])


def _num_decisions(sets: Sequence[EvaluationSet], wrapped: Sequence[EvaluationSet]) -> int:
    return sum(len(found.cases) for found in sets) + sum(num_measured(len(w.cases)) for w in wrapped)
