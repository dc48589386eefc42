"""Tuning: search each expert on its own, confirm the best, look at what was held out, then at the GPUs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modem.tuning.measure import Run
from modem.tuning.problem import Controllers, Problem, try_settings
from modem.tuning.score import Score, Tried, cheapest, front, score, share_interval
from modem.tuning.settings import SEARCHED, PolicyName, Settings, present
from modem.tuning.study import Study, evaluate_on, run_study
from modem.tuning.workers import Crew, Progress

NUM_CONFIRMED = 6
"""Settings of each policy that are run again, with seeds that the search has not seen: the best of many
results with noise looks better than it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to tune.

    Attributes:
        policies: Policies to try.
        num_trials: Settings to try for each expert, all policies together.
        seeds: Of the simulations in the search.
        fresh_seeds: Of those that confirm, and of those on what was held out.
        margin: Share of the allowed misses that must be left.
        seed: Of the search.
    """

    policies: tuple[PolicyName, ...] = ("ongoing_requests", "token_load", "slo")
    num_trials: int = 200
    seeds: tuple[int, ...] = (0, 1)
    fresh_seeds: tuple[int, ...] = (101, 102, 103)
    margin: float = 0.1
    seed: int = 0

    def trials(self, policy: PolicyName) -> int:
        """Return the settings to try of one policy."""
        each, more = divmod(self.num_trials, len(self.policies))
        return each + (self.policies.index(policy) < more)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Settings on requests that no choice depends on.

    Attributes:
        score: Their figures.
        low: Lower end of where the share within the worst target lies with 90 % probability.
        high: Upper end.
    """

    score: Score
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """The best of one policy.

    Attributes:
        policy: The policy.
        best: The cheapest settings that hold the targets, confirmed with fresh seeds.
        held_out: The same on what was held out; None if nothing was.
    """

    policy: PolicyName
    best: Tried
    held_out: HeldOut | None


@dataclass(frozen=True, slots=True)
class ExpertResult:
    """What was found for one expert.

    Attributes:
        domain: Whose it is.
        num_requests: Requests to tune on; without any nothing was tried.
        num_trials: Settings that were tried.
        front: The best in cost and in the targets at once.
        policies: The best of each policy; the cheapest that holds the targets comes first.
        present: What the config file says, on the trace that was tuned on; None if its policy is foreign.
        present_held_out: The same on what was held out.
    """

    domain: str
    num_requests: int
    num_trials: int
    front: tuple[Tried, ...] = ()
    policies: tuple[PolicyResult, ...] = ()
    present: Score | None = None
    present_held_out: HeldOut | None = None

    @property
    def recommended(self) -> PolicyResult | None:
        """The cheapest that holds the targets; None if nothing was tried."""
        return self.policies[0] if self.policies else None


def tune(
    problems: Sequence[Problem], plan: Plan, controllers: Controllers, crew: Crew, progress: Progress
) -> tuple[ExpertResult, ...]:
    """Tune every expert; returns what was found, in the order of the problems.

    Raises:
        ConfigError: Optuna is missing, an expert does not scale, or a policy cannot be built.
    """
    busy = [problem for problem in problems if problem.num_requests]
    studies = [
        Study(problem, policy, plan.trials(policy), plan.seeds, plan.seed)
        for policy in sorted(plan.policies, key=("forecast", "slo", "token_load", "ongoing_requests").index)
        for problem in sorted(busy, key=lambda each: -each.num_requests)  # the longest first
    ]
    total = 2 * len(studies) + len(busy)
    searched = crew.do(run_study, [(study, controllers) for study in studies], _part(progress, 0, total))
    found = list(zip(studies, searched, strict=True))
    confirmed = crew.do(
        confirm,
        [(study, tried, plan, controllers) for study, tried in found],
        _part(progress, len(studies), total),
    )
    presents = crew.do(
        look_at_present,
        [(each, plan, controllers) for each in busy],
        _part(progress, 2 * len(studies), total),
    )
    by_domain = {each.domain: scores for each, scores in zip(busy, presents, strict=True)}
    results = []
    for problem in problems:
        tried = [one for study, some in found if study.problem.domain == problem.domain for one in some]
        policies = [
            result
            for study, result in zip(studies, confirmed, strict=True)
            if study.problem.domain == problem.domain
        ]
        now, now_held_out = by_domain.get(problem.domain, (None, None))
        results.append(
            ExpertResult(
                problem.domain,
                problem.num_requests,
                len(tried),
                front(tried),
                _ordered(policies, plan.margin),
                now,
                now_held_out,
            )
        )
    return tuple(results)


def _ordered(policies: Sequence[PolicyResult], margin: float) -> tuple[PolicyResult, ...]:
    """Sort by what would be recommended first, second and so on.

    Of equals Serve's own comes first: it restarts nothing.
    """
    left, found = sorted(policies, key=lambda each: SEARCHED.index(each.policy)), []
    while left:
        best = cheapest([each.best for each in left], margin)
        first = next(each for each in left if each.best is best)
        left.remove(first)
        found.append(first)
    return tuple(found)


def confirm(study: Study, tried: Sequence[Tried], plan: Plan, controllers: Controllers) -> PolicyResult:
    """Run the best settings of a policy with fresh seeds, the cheapest first, until some hold the targets."""
    problem = study.problem
    again: list[Tried] = []
    with controllers() as make:
        for each in candidates(tried, plan.margin):
            found = evaluate_on(problem, each.settings, problem.scenarios, plan.fresh_seeds, make)
            again.append(Tried(each.settings, found))
            if found.holds(plan.margin):
                break
    best = cheapest(again, plan.margin)
    return PolicyResult(study.policy, best, held_out(problem, best.settings, plan, controllers))


def candidates(tried: Sequence[Tried], margin: float) -> tuple[Tried, ...]:
    """Return the settings that are worth a second look: the cheapest that hold, then the nearest to it.

    Of several with the same figures the first: they lead to the same decisions.
    """
    known = {(each.score.cost_hours, each.score.by_seed): each for each in reversed(tried)}
    different = [each for each in tried if known[(each.score.cost_hours, each.score.by_seed)] is each]
    holding = sorted(
        (each for each in different if each.score.holds(margin)), key=lambda each: each.score.cost_hours
    )
    near = sorted(
        (each for each in different if not each.score.holds(margin)),
        key=lambda each: (each.score.is_cut, each.score.budget_used, each.score.cost_hours),
    )
    return tuple([*holding, *near][:NUM_CONFIRMED])


def held_out(problem: Problem, settings: Settings, plan: Plan, controllers: Controllers) -> HeldOut | None:
    """Run settings on what was held out; None if nothing was, or no request is in it."""
    if not any((each.trace.t_s >= each.from_s).any() for each in problem.held_out):
        return None
    with controllers() as make:
        by_seed: list[list[Run]] = [
            [try_settings(problem, settings, each, seed, make) for each in problem.held_out]
            for seed in plan.fresh_seeds
        ]
    runs = [run for of_seed in by_seed for run in of_seed]
    low, high = share_interval(runs, problem.slo, np.random.default_rng(plan.seed))
    return HeldOut(score(by_seed, problem.slo), low, high)


def look_at_present(
    problem: Problem, plan: Plan, controllers: Controllers
) -> tuple[Score | None, HeldOut | None]:
    """Run what the config file says now."""
    now = present(problem.setup)
    if now is None:
        return None, None
    with controllers() as make:
        found = evaluate_on(problem, now, problem.scenarios, plan.fresh_seeds, make)
    return found, held_out(problem, now, plan, controllers)


def _part(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)
