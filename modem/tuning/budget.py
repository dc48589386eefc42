"""GPUs that all experts share: whether they bind, and what to do then.

As long as the experts together never want more GPUs than there are, each is as it was alone. If they do, all
run together, each with settings of its own front and the `gpu_budget` policy around them or not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor, inf

import numpy as np

from modem.errors import ConfigError
from modem.simulation.result import SimulationResult
from modem.simulation.setup import ExpertSetup, Platform
from modem.simulation.simulate import simulate
from modem.simulation.timeline import counted
from modem.slo import Slo
from modem.traces.trace import Trace
from modem.tuning.measure import measure
from modem.tuning.problem import Controllers, Scenario, requests_of, started
from modem.tuning.score import Score, score
from modem.tuning.settings import Settings, apply, base
from modem.tuning.tune import ExpertResult
from modem.tuning.workers import Progress


@dataclass(frozen=True, slots=True)
class Joint:
    """All experts together under a budget.

    Attributes:
        settings: Of each expert, by domain.
        shared: Whether the `gpu_budget` policy shares the GPUs out; else who asks first has them.
        scores: Of each expert.
        most_gpus: GPUs that were held at once at most.
        wanted_gpus: GPUs that would have been held at once at most if there were any number of them.
        num_trials: Combinations that were tried; 0 if the budget does not bind.
    """

    settings: Mapping[str, Settings]
    shared: bool
    scores: Mapping[str, Score]
    most_gpus: float
    wanted_gpus: float
    num_trials: int

    @property
    def binds(self) -> bool:
        """Whether the experts would want more GPUs than there are."""
        return self.num_trials > 0

    @property
    def cost_hours(self) -> float:
        """GPU-hours of all."""
        return sum(each.cost_hours for each in self.scores.values())

    @property
    def worst(self) -> float:
        """The most that an expert uses of its budget of misses."""
        return max(each.budget_used for each in self.scores.values())


def within(setup: ExpertSetup, budget_gpus: float) -> ExpertSetup:
    """Return an expert that alone never wants more GPUs than there are.

    Raises:
        ConfigError: Not one of its replicas fits.
    """
    gpus = setup.profile.gpus_per_replica
    most = floor(budget_gpus / gpus + 1e-9) if gpus else inf
    if most < 1:
        raise ConfigError(
            f"--budget-gpus {budget_gpus:g}: a replica of domain {setup.domain} takes {gpus:g} GPUs"
        )
    scaling = base(setup)
    if scaling.max_replicas <= most:
        return setup
    changes = {"max_replicas": int(most), "min_replicas": min(scaling.min_replicas, int(most))}
    if scaling.initial_replicas is not None:
        changes["initial_replicas"] = min(scaling.initial_replicas, int(most))
    return replace(setup, autoscaling=scaling.model_copy(update=changes))


def shared(settings: Settings, setup: ExpertSetup, budget_gpus: float) -> Settings:
    """Return settings with the policy that shares GPUs out around their own."""
    params = {
        "num_gpus": budget_gpus,
        "gpus_per_replica": setup.profile.gpus_per_replica,
        "policy": {"kind": settings.policy, **settings.params},
    }
    return Settings("gpu_budget", settings.scaling, params)


def choices_of(result: ExpertResult) -> tuple[Settings, ...]:
    """Return what an expert may do within a budget: what is best alone, then its other policies, then what is
    cheaper or safer.

    Raises:
        ValueError: Nothing was tried for it.
    """
    settings = [each.best.settings for each in result.policies]
    settings += [each.settings for each in result.front]
    found: list[Settings] = []
    for each in settings:
        if each not in found:
            found.append(each)
    return tuple(found)


def fit(
    table: "Table",
    scenarios: Sequence[Scenario],
    choices: Mapping[str, Sequence[Settings]],
    seeds: Sequence[int],
    num_trials: int,
    progress: Progress,
) -> Joint:
    """Find settings of all experts that go together within a budget.

    Args:
        table: Where they are tried.
        scenarios: Traces of all requests.
        choices: For each domain what may be chosen, the one that is best alone first.
        seeds: Of the simulations, and of what is drawn.
        num_trials: Combinations to try if the budget binds.
        progress: Told how many were tried.

    Raises:
        ConfigError: Settings are not allowed.
    """
    alone = {domain: some[0] for domain, some in choices.items()}
    free = table.run(alone, False, None, scenarios, seeds)
    if free.most_gpus <= table.budget_gpus + 1e-9:
        return free
    gpus = table.budget_gpus
    tried = [table.run(alone, is_shared, gpus, scenarios, seeds) for is_shared in (False, True)]
    rng = np.random.default_rng(list(seeds))
    while len(tried) < num_trials and any(len(some) > 1 for some in choices.values()):
        # Around the best so far: each expert keeps its settings, or gets others of its own front.
        around = min(tried, key=_rank)
        picked = {
            domain: some[int(rng.integers(len(some)))] if rng.random() < 0.4 else around.settings[domain]
            for domain, some in choices.items()
        }
        tried.append(table.run(picked, bool(rng.random() < 0.7), gpus, scenarios, seeds))
        progress(len(tried), num_trials)
    return replace(min(tried, key=_rank), num_trials=len(tried), wanted_gpus=free.most_gpus)


def _rank(joint: Joint) -> tuple[float, float]:
    """Sort by the targets first, then by GPU-hours: within a budget the first is what is scarce."""
    return max(joint.worst, 1.0), joint.cost_hours


@dataclass(frozen=True, slots=True)
class Table:
    """Where combinations are tried.

    Attributes:
        experts: All of them.
        platform: What is around them.
        slo: The targets.
        budget_gpus: GPUs that there are.
        controllers: Make controllers.
    """

    experts: Sequence[ExpertSetup]
    platform: Platform
    slo: Slo
    budget_gpus: float
    controllers: Controllers

    def run(
        self,
        chosen: Mapping[str, Settings],
        is_shared: bool,
        gpus: float | None,
        scenarios: Sequence[Scenario],
        seeds: Sequence[int],
    ) -> Joint:
        """Run all experts together; with any number of GPUs if ``gpus`` is None.

        Raises:
            ConfigError: Settings are not allowed.
        """
        platform = replace(self.platform, gpus=gpus)
        most = 0.0
        by_seed = []
        with self.controllers() as make:
            for seed in seeds:
                results = []
                for scenario in scenarios:
                    setups = self._setups(chosen, is_shared, gpus, scenario.trace)
                    results.append((simulate(setups, scenario.trace, make, seed, platform), scenario.from_s))
                most = max(most, *(most_gpus(result) for result, _ in results))
                by_seed.append(results)
        scores = {
            setup.domain: score(
                [
                    [measure(result, at, self.slo, from_s) for result, from_s in results]
                    for results in by_seed
                ],
                self.slo,
            )
            for at, setup in enumerate(self.experts)
        }
        return Joint(dict(chosen), is_shared, scores, most, most, 0)

    def _setups(
        self, chosen: Mapping[str, Settings], is_shared: bool, gpus: float | None, trace: Trace
    ) -> list[ExpertSetup]:
        setups, left = [], inf if gpus is None else gpus
        for setup in self.experts:
            if setup.domain in chosen:
                settings = chosen[setup.domain]
                if is_shared:
                    settings = shared(settings, setup, self.budget_gpus)
                setup = _begun(apply(setup, settings), requests_of(trace, setup.domain), left)
                left -= (base(setup).initial_replicas or 0) * setup.profile.gpus_per_replica
            setups.append(setup)
        return setups


def _begun(setup: ExpertSetup, trace: Trace, left_gpus: float) -> ExpertSetup:
    """Let an expert begin with what its first minutes need, and no more than there is."""
    setup = started(setup, trace)
    scaling, gpus = base(setup), setup.profile.gpus_per_replica
    most = floor(left_gpus / gpus + 1e-9) if gpus and left_gpus < inf else scaling.max_replicas
    first = max(scaling.min_replicas, min(scaling.initial_replicas or 0, int(max(most, 0))))
    return replace(setup, autoscaling=scaling.model_copy(update={"initial_replicas": first}))


def most_gpus(result: SimulationResult) -> float:
    """Return the GPUs that were held at once at most."""
    begins: list[float] = []
    ends: list[float] = []
    for setup, history in zip(result.experts, result.histories, strict=True):
        weight = round(setup.profile.gpus_per_replica)
        for life in history.replicas:
            if life.placed_s is not None:
                begins += [life.placed_s] * weight
                ends += [result.end_s if life.stopped_s is None else life.stopped_s] * weight
    steps = counted(begins, ends)
    return float(steps.value.max(initial=0.0))
