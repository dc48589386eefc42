"""What a router loses when a question is wrapped, and whether it says the same to the same question."""

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from modem.config import GatewayConfig
from modem.evaluation.measure import Measured, Step, accepted_by, measure
from modem.evaluation.metrics import is_right
from modem.evaluation.sets import Case
from modem.evaluation.wrapping import Wrapping, wrappings
from modem.routing.base import Router


@dataclass(frozen=True, slots=True)
class Loss:
    """What one wrapping does to a set.

    Attributes:
        wrapping: Its name.
        accuracy: Share of the wrapped prompts whose most probable domain is right.
        loss_points: By how many points that is less than without; below 0 if it is more.
        decided_accuracy: The same for the decisions under the thresholds.
        decided_loss_points: The same.
        changed: Share of the prompts that get another most probable domain than without.
    """

    wrapping: str
    accuracy: float
    loss_points: float
    decided_accuracy: float
    decided_loss_points: float
    changed: float


@dataclass(frozen=True, slots=True)
class Robustness:
    """What wrappings do to a set.

    Attributes:
        set: Its name.
        num_prompts: Prompts that were wrapped.
        accuracy: As they stand, by the most probable domain.
        decided_accuracy: As they stand, by the decisions.
        losses: One for each wrapping.
    """

    set: str
    num_prompts: int
    accuracy: float
    decided_accuracy: float
    losses: tuple[Loss, ...]

    @property
    def worst(self) -> Loss:
        """The wrapping that costs most."""
        return max(self.losses, key=lambda loss: loss.loss_points)


def robustness(
    name: str,
    cases: Sequence[Case],
    router: Router,
    gateway: GatewayConfig,
    seed: int = 0,
    step: Step = lambda done: None,
) -> Robustness:
    """Wrap each case in every way and compare with the case as it stands.

    Args:
        name: Of the set.
        cases: Single prompts.
        router: Under test.
        gateway: The domains that are served and the thresholds.
        seed: Shuffles the context.
        step: Reports progress.
    """
    accepted = accepted_by(cases, gateway, router.domains)
    plain = measure(router, cases, gateway, step)
    losses = []
    for wrapping in wrappings():
        found = measure(router, wrapped(cases, wrapping, seed), gateway, step)
        losses.append(_loss(wrapping.name, found, plain, accepted))
    return Robustness(name, len(cases), *_accuracies(plain, accepted), tuple(losses))


def num_measured(num_cases: int) -> int:
    """Return how many decisions `robustness` takes."""
    return num_cases * (1 + len(wrappings()))


def wrapped(cases: Sequence[Case], wrapping: Wrapping, seed: int) -> list[Case]:
    """Return the cases wrapped; the same seed wraps the same."""
    return [
        case.said(functools.partial(_wrap, wrapping, case.domain, f"{seed}/{i}"))
        for i, case in enumerate(cases)
    ]


def _wrap(wrapping: Wrapping, domain: str, seed: str, text: str) -> str:
    return wrapping.wrap(text, domain, random.Random(seed))


def _accuracies(found: Measured, accepted: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Return the accuracy of the scores, and of the decisions."""
    return float(is_right(found.chosen, accepted).mean()), float(is_right(found.decided, accepted).mean())


def _loss(wrapping: str, found: Measured, plain: Measured, accepted: Sequence[Sequence[str]]) -> Loss:
    before, decided_before = _accuracies(plain, accepted)
    after, decided_after = _accuracies(found, accepted)
    changed = sum(one != other for one, other in zip(found.chosen, plain.chosen, strict=True))
    return Loss(
        wrapping=wrapping,
        accuracy=after,
        loss_points=100 * (before - after),
        decided_accuracy=decided_after,
        decided_loss_points=100 * (decided_before - decided_after),
        changed=changed / len(accepted),
    )
