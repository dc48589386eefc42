"""What a replica measures of its own answers: first tokens, times between tokens, speed of reading."""

import math
from collections import deque
from collections.abc import Iterable

RECENT_S = 30.0
"""After so many seconds an observation counts 1/e of a new one."""

MIN_WEIGHT = 0.05
"""With less than this nothing was seen lately: one observation lasts a minute and a half."""

NUM_READS = 64
"""So many of the last prompts say how fast prompts are read."""


class RecentMean:
    """The mean of what was seen lately, old observations weighing less."""

    def __init__(self) -> None:
        self._at_s = 0.0
        self._weight = 0.0
        self._total = 0.0

    def add(self, now_s: float, total: float, count: int = 1) -> None:
        """Take in observations by their sum and number."""
        fade = self._fade(now_s)
        self._weight, self._total = self._weight * fade + count, self._total * fade + total
        self._at_s = now_s

    def at(self, now_s: float) -> float:
        """Return the mean; 0 if nothing was seen lately."""
        seen = self._weight * self._fade(now_s) >= MIN_WEIGHT
        return self._total / self._weight if seen else 0.0

    def _fade(self, now_s: float) -> float:
        return math.exp(-max(0.0, now_s - self._at_s) / RECENT_S)


class ReadSpeed:
    """How many prompt tokens a replica reads in a second in which it reads.

    Prompts are read side by side, so their times are not added up: what counts is the time in which at least
    one was being read.
    """

    def __init__(self) -> None:
        self._reads: deque[tuple[float, float, float]] = deque(maxlen=NUM_READS)

    def add(self, from_s: float, to_s: float, tokens: float) -> None:
        """Take in one prompt that was read from then to then."""
        if to_s > from_s and tokens > 0:
            self._reads.append((from_s, to_s, tokens))

    @property
    def tokens_per_s(self) -> float:
        """The speed of the last prompts; 0 if none was read."""
        busy_s = union_s((from_s, to_s) for from_s, to_s, _ in self._reads)
        return sum(tokens for _, _, tokens in self._reads) / busy_s if busy_s else 0.0


def union_s(intervals: Iterable[tuple[float, float]]) -> float:
    """Return how long at least one of the intervals lasts."""
    total, end = 0.0, -math.inf
    for from_s, to_s in sorted(intervals):
        total += max(0.0, to_s - max(from_s, end))
        end = max(end, to_s)
    return total
