"""How long one decode step takes, by the number of requests in the batch: a line, learned on the way."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

FORGET_S = 1800.0
"""After so many seconds an observation counts 1/e of a new one: the mix of prompts moves."""

MIN_WEIGHT = 10.0
MIN_VARIANCE = 1.0
"""A line needs some observations, at batches that differ by at least about one request."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """``seconds = base_s + per_request_s * requests``.

    Attributes:
        base_s: What a step takes whatever the batch: reading the weights.
        per_request_s: What each request adds.
    """

    base_s: float
    per_request_s: float

    def most_requests(self, step_s: float) -> float:
        """Return how many requests a batch may have for its step to take at most so long.

        Infinity if a step's length does not depend on them, or if even one request alone takes longer: then
        no number of replicas helps.
        """
        room_s = step_s - self.base_s
        if self.per_request_s <= 0 or room_s < self.per_request_s:
            return math.inf
        return room_s / self.per_request_s


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Sums of a least-squares line through what replicas showed, old observations weighing less."""

    at_s: float = 0.0
    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def observe(self, now_s: float, points: Iterable[tuple[float, float]]) -> "StepTimes":
        """Return the sums with further observations.

        Args:
            now_s: Present time.
            points: Requests in a batch and seconds of its step.
        """
        fade = math.exp(-max(0.0, now_s - self.at_s) / FORGET_S)
        weight, x, y, xx, xy = (v * fade for v in (self.weight, self.x, self.y, self.xx, self.xy))
        for requests, step_s in points:
            weight, x, y = weight + 1, x + requests, y + step_s
            xx, xy = xx + requests * requests, xy + requests * step_s
        return StepTimes(now_s, weight, x, y, xx, xy)

    def line(self) -> StepTime | None:
        """Return the line; None if too little was seen."""
        if self.weight < MIN_WEIGHT:
            return None
        mean_x, mean_y = self.x / self.weight, self.y / self.weight
        variance = self.xx / self.weight - mean_x * mean_x
        if variance < MIN_VARIANCE:
            return None
        slope = max(0.0, (self.xy / self.weight - mean_x * mean_y) / variance)
        base = mean_y - slope * mean_x
        return StepTime(base, slope) if base >= 0 else StepTime(0.0, mean_y / mean_x)
