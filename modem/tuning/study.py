"""The search for one expert under one policy, with Optuna's tree-structured Parzen estimator.

Two aims: GPU-hours, and how much of the allowed misses is used up (Bergstra and others, NeurIPS 2011; for
several aims Ozaki and others, GECCO 2020). Below a quarter of the budget a better share is worth nothing, so
that the search spends its trials where the choice is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

import numpy as np

from modem.errors import ConfigError
from modem.simulation.control import ControllerFactory
from modem.simulation.result import SimulationResult
from modem.tuning.measure import HOUR_S, Run, cost_hours, cost_per_replica, measure
from modem.tuning.problem import Controllers, Problem, Scenario, try_settings
from modem.tuning.score import ROUNDING, Score, Tried, score
from modem.tuning.settings import PolicyName, Settings, apply, base, present
from modem.tuning.space import space_of

GOOD_ENOUGH = 0.25
"""Of the budget: using less of it counts as much as this."""

PROMISING = 1.1
"""Settings are run with more seeds than one only if they hold the targets and cost at most this many times
what the cheapest that hold them do so far."""

FAR = 2.0
"""Times the misses that a target allows: a run that has so many is ended."""

_WORST = 1e6


@dataclass(frozen=True, slots=True)
class Study:
    """What is to be searched.

    Attributes:
        problem: The expert.
        policy: The policy.
        num_trials: Settings to try.
        seeds: Of the simulations; each promising setting is run with each, others with the first only.
        seed: Of the search.
    """

    problem: Problem
    policy: PolicyName
    num_trials: int
    seeds: tuple[int, ...]
    seed: int


def run_study(study: Study, controllers: Controllers) -> tuple[Tried, ...]:
    """Search; the same arguments give the same result.

    Raises:
        ConfigError: Optuna is missing, or the policy cannot be built.
    """
    optuna = _optuna()
    problem = study.problem
    space = space_of(study.policy, problem.setup, problem.slo)
    sampler = optuna.samplers.TPESampler(seed=study.seed, n_startup_trials=max(5, study.num_trials // 5))
    search = optuna.create_study(directions=("minimize", "minimize"), sampler=sampler)
    search.enqueue_trial(dict(space.first()))
    tried: list[Tried] = []
    with controllers() as make:

        def note(settings: Settings) -> Tried:
            tried.append(Tried(settings, evaluate(problem, settings, study.seeds, make, tried)))
            return tried[-1]

        def objective(trial: Any) -> tuple[float, float]:
            found = note(space.suggest(trial)).score
            return found.cost_hours, min(max(found.budget_used, GOOD_ENOUGH), _WORST)

        now = present(problem.setup)
        if now is not None and now.policy == study.policy:
            note(now)
        search.optimize(objective, n_trials=max(1, study.num_trials - len(tried)))
    return tuple(tried)


def evaluate(
    problem: Problem,
    settings: Settings,
    seeds: Sequence[int],
    make: ControllerFactory,
    before: Sequence[Tried],
) -> Score:
    """Run settings with one seed after the other, and stop early where more cannot matter.

    Args:
        problem: The expert.
        settings: What is tried.
        seeds: At least one.
        make: Makes the controller.
        before: What was tried before. What costs far more than what holds the targets is not promising,
            what is no better than other settings with one seed will not be chosen over them, and what costs
            as much as settings that miss nothing cannot be better.

    Raises:
        ConfigError: The settings are not allowed, or the policy cannot be built.
    """
    known = [each.score for each in before if each.score.holds()]
    most_hours = PROMISING * min((score.cost_hours for score in known), default=inf)
    spotless_hours = min((score.cost_hours for score in known if not score.budget_used), default=inf)
    min_replicas = base(apply(problem.setup, settings)).min_replicas
    runs: list[list[Run]] = []
    for seed in seeds:
        runs.append([])
        for scenario in problem.scenarios:
            spent_hours = sum(run.cost_hours for run in runs[-1])
            limits = Limits(most_hours - spent_hours, spotless_hours - spent_hours, min_replicas)
            stop_if = partial(cannot_matter, problem, scenario, limits)
            runs[-1].append(try_settings(problem, settings, scenario, seed, make, stop_if))
        found = score(runs, problem.slo)
        if (
            found.budget_used > 1
            or found.cost_hours > most_hours
            or any(beats(other, found) for other in known)
        ):
            break
    return found


def beats(one: Score, other: Score) -> bool:
    """Return whether a score is as good as another or better, in cost and in the targets."""
    return one.cost_hours <= other.cost_hours and one.budget_used <= other.budget_used


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may cost before it can no longer matter.

    Attributes:
        most_hours: GPU-hours beyond which it is not promising.
        spotless_hours: GPU-hours of the cheapest known settings that miss nothing at all: from there on none
            can be better.
        min_replicas: Replicas that it will have to its end.
    """

    most_hours: float
    spotless_hours: float = inf
    min_replicas: int = 0


def cannot_matter(problem: Problem, scenario: Scenario, limits: Limits, so_far: SimulationResult) -> bool:
    """Return whether a run costs too much already, or has missed a target for good and by far.

    What it has cost and missed, nothing that comes later takes back; and its least number of replicas it
    will go on to pay.
    """
    hours = cost_hours(so_far, 0, scenario.from_s)
    to_come_s = scenario.trace.span_s - max(so_far.end_s, scenario.from_s)
    floor_hours = limits.min_replicas * to_come_s * cost_per_replica(problem.setup.profile) / HOUR_S
    if hours > limits.most_hours or hours + floor_hours >= limits.spotless_hours - ROUNDING:
        return True
    run = measure(so_far, 0, problem.slo, scenario.from_s)
    missed = run.num_requests.sum() - run.num_met.sum(axis=1)
    num_requests = int((scenario.trace.t_s >= scenario.from_s).sum())
    allowed = np.array([1 - target.share for target in problem.slo.targets]) * num_requests
    return bool((missed > FAR * allowed).any())


def evaluate_on(
    problem: Problem,
    settings: Settings,
    scenarios: Sequence[Scenario],
    seeds: Sequence[int],
    make: ControllerFactory,
) -> Score:
    """Run settings with all seeds on given scenarios."""
    runs = [[try_settings(problem, settings, each, seed, make) for each in scenarios] for seed in seeds]
    return score(runs, problem.slo)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(f"tuning: {error}; run: pip install 'modem[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
