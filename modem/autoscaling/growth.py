"""How fast the number of requests grows, as far as that is no chance."""

import math
from dataclasses import dataclass

NUM_SAMPLES = 20
"""How finely the past is kept."""

MIN_AGE_S = 10.0
"""Younger samples say nothing: Serve averages over a window of about that length."""


@dataclass(frozen=True, slots=True)
class History:
    """Ongoing requests at earlier times, while the number of running replicas was the present one.

    With another number of replicas requests were worked off at another speed, so what came before says
    nothing about the growth to come.

    Attributes:
        running_replicas: How many replicas were running.
        samples: Time in seconds and requests, oldest first; never more than some `NUM_SAMPLES`.
    """

    running_replicas: int = 0
    samples: tuple[tuple[float, float], ...] = ()

    def note(self, now_s: float, requests: float, running_replicas: int, window_s: float) -> "History":
        """Return the history with one more sample, as long as the last one is old enough."""
        if running_replicas != self.running_replicas or running_replicas == 0:
            return History(running_replicas, ((now_s, requests),))
        kept = tuple(sample for sample in self.samples if sample[0] >= now_s - window_s)
        if kept and now_s - kept[-1][0] < window_s / NUM_SAMPLES:
            return History(running_replicas, kept)
        return History(running_replicas, (*kept, (now_s, requests)))

    def growth_per_s(self, now_s: float, requests: float, certainty: float) -> float:
        """Return the growth that is certain, in requests per second; 0 if there is none.

        A steady Poisson load has a variance as large as its mean, so two counts ``a`` and ``b`` of it differ
        by some ``sqrt(a + b)``. Only what exceeds that so many times is growth.

        Args:
            now_s: Present time.
            requests: Present requests.
            certainty: How many standard deviations are put down to chance.
        """
        growth = 0.0
        for at_s, then in self.samples:
            age_s = now_s - at_s
            if age_s >= MIN_AGE_S:
                chance = certainty * math.sqrt(requests + then)
                growth = max(growth, (requests - then - chance) / age_s)
        return growth
