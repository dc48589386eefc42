"""The search for one expert under one policy, with Optuna's tree-structured Parzen estimator.

Two aims: GPU-hours, and how much of the allowed misses is used up (Bergstra and others, NeurIPS 2011; for
several aims Ozaki and others, GECCO 2020). Below a quarter of the budget a better share is worth nothing, so
that the search spends its trials where the choice is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from modem.errors import ConfigError
from modem.simulation.control import ControllerFactory
from modem.tuning.problem import Controllers, Problem, Scenario, try_settings
from modem.tuning.score import Score, Tried, score
from modem.tuning.settings import PolicyName, Settings, present
from modem.tuning.space import space_of

GOOD_ENOUGH = 0.25
"""Of the budget: using less of it counts as much as this."""

PROMISING = 1.1
"""Settings are run with more seeds than one only if they hold the targets and cost at most this many times
what the cheapest that hold them do so far."""

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
            most = PROMISING * min((t.score.cost_hours for t in tried if t.score.holds()), default=inf)
            tried.append(Tried(settings, evaluate(problem, settings, study.seeds, make, most)))
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
    problem: Problem, settings: Settings, seeds: Sequence[int], make: ControllerFactory, most_hours: float
) -> Score:
    """Run settings with one seed after the other, and stop early where more cannot matter.

    Args:
        problem: The expert.
        settings: What is tried.
        seeds: At least one.
        make: Makes the controller.
        most_hours: What costs more is not promising, whatever targets it holds.

    Raises:
        ConfigError: The settings are not allowed, or the policy cannot be built.
    """
    runs = []
    for seed in seeds:
        runs.append([try_settings(problem, settings, scenario, seed, make) for scenario in problem.scenarios])
        found = score(runs, problem.slo)
        if found.budget_used > 1 or found.cost_hours > most_hours:
            break
    return found


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
