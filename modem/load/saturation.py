"""When a rate that rises in steps has risen enough: the step after which less good work comes out."""

from collections.abc import Sequence
from dataclasses import dataclass

FALLEN = 0.95
"""Goodput below this share of the best step's has fallen; less is a quarrel over a handful of requests."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One level of the rate.

    Attributes:
        start_s: When it begins, from the run's start.
        end_s: When the next one does.
        rate: Requests a second that are offered.
        num_planned: Requests that are.
    """

    start_s: float
    end_s: float
    rate: float
    num_planned: int


class SaturationWatch:
    """Judges each step as soon as its verdict is certain.

    Goodput of a step is its rate times the share of its requests that were good: so the luck of the draw in
    how many there were plays no part.

    Args:
        steps: In order.
        stop_below: A step with a smaller share of good requests ends the run.
    """

    def __init__(self, steps: Sequence[PlannedStep], stop_below: float) -> None:
        self._steps = steps
        self._stop_below = stop_below
        self._num_good = [0] * len(steps)
        self._num_bad = [0] * len(steps)
        self._at = 0
        self._best = 0.0

    def add(self, intended_s: float, good: bool) -> None:
        """Count a request, by when it was meant to be sent."""
        for number, step in enumerate(self._steps):
            if step.start_s <= intended_s < step.end_s:
                counts = self._num_good if good else self._num_bad
                counts[number] += 1

    def verdict(self) -> str | None:
        """Return why the run is to end; None while it is not."""
        while self._at < len(self._steps):
            step, good, bad = self._steps[self._at], self._num_good[self._at], self._num_bad[self._at]
            planned = max(step.num_planned, 1)
            most = 1 - bad / planned  # if all that are still under way turn out good
            if step.num_planned and (most < self._stop_below or most * step.rate < FALLEN * self._best):
                return (
                    f"goodput fell at {step.rate:.3g} requests/s: at most {100 * most:.0f} % of them "
                    f"met the targets, and {self._best:.3g} good ones a second were the most"
                )
            if good + bad < step.num_planned:
                return None
            self._best = max(self._best, good / planned * step.rate)
            self._at += 1
        return None
