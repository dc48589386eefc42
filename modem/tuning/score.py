"""What several runs say about settings: their cost, whether they hold the targets, how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modem.slo import Slo
from modem.tuning.measure import NUM_BLOCKS, Run, shares_of
from modem.tuning.settings import Settings

NUM_DRAWS = 1000
INTERVAL = (0.05, 0.95)
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of one way to scale one expert.

    Attributes:
        cost_hours: GPU-hours of all scenarios, the mean over seeds.
        share: Share of requests within the target that fares worst.
        budget_used: How much of the misses that a target allows is used up, in the scenario and for the
            target where it is most; more than 1 is a target missed. See `modem.slo.Target.budget_used`.
        by_seed: The same of each seed.
        num_requests: Requests that were counted, over all seeds.
        is_cut: A run was ended early, because it could not matter any more: all figures are rough.
    """

    cost_hours: float
    share: float
    budget_used: float
    by_seed: tuple[float, ...]
    num_requests: int
    is_cut: bool = False

    @property
    def num_seeds(self) -> int:
        """Seeds that were run."""
        return len(self.by_seed)

    def holds(self, margin: float = 0.0) -> bool:
        """Return whether the targets are held with so much of the budget to spare, and by each seed.

        Of a run that was cut that is not known, so it is no.
        """
        if self.is_cut:
            return False
        return self.budget_used <= 1 - margin + ROUNDING and max(self.by_seed) <= 1 + ROUNDING


@dataclass(frozen=True, slots=True)
class Tried:
    """Settings and their score.

    Attributes:
        settings: What was tried.
        score: What came of it.
    """

    settings: Settings
    score: Score


def score(runs: Sequence[Sequence[Run]], slo: Slo) -> Score:
    """Put runs together.

    Args:
        runs: For each seed one run of each scenario.
        slo: The targets.
    """
    by_seed = tuple(_budget_used([[run] for run in of_seed], slo) for of_seed in runs)
    everything = [run for of_seed in runs for run in of_seed]
    shares = shares_of(everything)
    worst = int(np.argmax([t.budget_used(float(s)) for t, s in zip(slo.targets, shares, strict=True)]))
    return Score(
        float(np.mean([sum(run.cost_hours for run in of_seed) for of_seed in runs])),
        float(shares[worst]),
        _budget_used(list(zip(*runs, strict=True)), slo),
        by_seed,
        sum(int(run.num_requests.sum()) for run in everything),
        any(run.is_cut for run in everything),
    )


def _budget_used(scenarios: Sequence[Sequence[Run]], slo: Slo) -> float:
    """Return the most that is used in one scenario, the runs of each put together."""
    return max(
        target.budget_used(float(share))
        for runs in scenarios
        for target, share in zip(slo.targets, shares_of(runs), strict=True)
    )


def share_interval(runs: Sequence[Run], slo: Slo, rng: np.random.Generator) -> tuple[float, float]:
    """Return between which values the share within the worst target lies, with 90 % probability.

    By resampling parts of the time with replacement, in all runs the same, and runs with replacement (block
    bootstrap; Kuensch, Annals of Statistics 17, 1989): requests that come one after the other wait for one
    and the same thing, so they are no independent witnesses. What it cannot know is traffic that the trace
    does not hold.
    """
    requests = np.array([run.num_requests for run in runs], dtype=np.float64)
    met = np.array([run.num_met for run in runs], dtype=np.float64)
    shares = shares_of(runs)
    worst = int(np.argmax([t.budget_used(float(s)) for t, s in zip(slo.targets, shares, strict=True)]))
    drawn = []
    for _ in range(NUM_DRAWS):
        rows = rng.integers(len(runs), size=len(runs))[:, None]
        blocks = rng.integers(NUM_BLOCKS, size=NUM_BLOCKS)[None, :]
        total = requests[rows, blocks].sum()
        drawn.append(met[:, worst][rows, blocks].sum() / total if total else 1.0)
    low, high = np.quantile(drawn, INTERVAL)
    return float(low), float(high)


def front(tried: Sequence[Tried]) -> tuple[Tried, ...]:
    """Return those that nobody beats in cost and in the targets at once, the cheapest first.

    Of those that ran to the end, if any did.
    """
    best: list[Tried] = []
    whole = [each for each in tried if not each.score.is_cut]
    for each in sorted(whole or tried, key=lambda one: (one.score.cost_hours, one.score.budget_used)):
        if not best or each.score.budget_used < best[-1].score.budget_used:
            best.append(each)
    return tuple(best)


def cheapest(tried: Sequence[Tried], margin: float) -> Tried:
    """Return the cheapest that holds the targets with a margin; the one nearest to it if none does."""
    holding = [each for each in tried if each.score.holds(margin)]
    if holding:
        return min(holding, key=lambda each: (each.score.cost_hours, each.score.budget_used))
    return min(tried, key=lambda each: (max(each.score.by_seed), each.score.cost_hours))
