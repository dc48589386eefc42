"""Runs that are ended early, because they cannot matter any more."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deployments.simulation import serve_controllers
from modem.simulation.result import SimulationResult
from modem.simulation.setup import Platform
from modem.simulation.simulate import NUM_LOOKS, simulate
from modem.slo import Slo, parse_slo
from modem.tuning import study as study_module
from modem.tuning.measure import cost_hours, held_s, known_until_s, measure
from modem.tuning.problem import Scenario, started
from modem.tuning.score import Tried, cheapest, front
from modem.tuning.settings import Settings
from modem.tuning.study import Limits, Study, cannot_matter, evaluate, evaluate_on, run_study
from modem.tuning.tune import Plan, tune
from modem.tuning.workers import Alone
from tests.unit.tuning.builders import SLO, burst, problem, scaled, tried

ALL = parse_slo("ttft_p90<2s,itl_p90<20ms,e2e_p50<3s")
SLOW: dict[str, Any] = {"max_replicas": 1}
"""Too little for the burst."""


class Looks:
    """Ends a simulation at one look, and remembers all before."""

    def __init__(self, last: int) -> None:
        self.seen: list[float] = []
        self._last = last

    def __call__(self, so_far: SimulationResult) -> bool:
        self.seen.append(so_far.end_s)
        return len(self.seen) == self._last


def run(looks: Looks | None, **scaling: Any) -> SimulationResult:
    trace = burst()
    with serve_controllers() as make:
        return simulate([started(scaled(**scaling), trace)], trace, make, 0, Platform(), stop_if=looks)


def test_looking_on_changes_nothing() -> None:
    plain, watched = run(None), run(looks := Looks(0))
    assert len(looks.seen) == NUM_LOOKS
    assert np.diff([0.0, *looks.seen, plain.trace.span_s]) == pytest.approx(plain.trace.span_s / 20)
    assert watched.histories == plain.histories
    assert np.array_equal(watched.requests.finish_s, plain.requests.finish_s, equal_nan=True)
    assert not watched.is_cut


@pytest.mark.parametrize("last", [1, 8, 12, NUM_LOOKS])
@pytest.mark.parametrize("slo", [SLO, ALL])
def test_a_run_that_is_cut_is_the_whole_one_up_to_there(last: int, slo: Slo) -> None:
    whole, cut = run(None, **SLOW), run(Looks(last), **SLOW)
    assert cut.is_cut
    assert cut.end_s == pytest.approx(whole.trace.span_s * last / 20)
    until_s = known_until_s(cut, slo)
    assert until_s == cut.end_s - max(limit.most_s for target in slo.targets for limit in target.limits)
    found, all_of_it = measure(cut, 0, slo), measure(whole, 0, slo)
    # Whole blocks of time, since only those can be compared.
    blocks = int(until_s / (whole.trace.span_s / 20))
    assert found.num_requests[:blocks].tolist() == all_of_it.num_requests[:blocks].tolist()
    assert found.num_requests.sum() == (whole.trace.t_s < until_s).sum()
    for target, (of_cut, of_whole) in zip(
        slo.targets, zip(found.num_met, all_of_it.num_met, strict=True), strict=True
    ):
        if target.limit_s("itl") is None:
            assert of_cut[:blocks].tolist() == of_whole[:blocks].tolist()
        else:  # of an answer that goes on it is not known, and counts for it
            assert (of_cut[:blocks] >= of_whole[:blocks]).all()


def test_the_cost_of_a_run_that_is_cut_is_drawn_out() -> None:
    cut = run(Looks(5))
    assert held_s(cut, 0) == pytest.approx(cost_hours(cut, 0) * 3600)
    assert measure(cut, 0, SLO).cost_hours == pytest.approx(4 * cost_hours(cut, 0))
    assert measure(cut, 0, SLO, cut.end_s - 12).cost_hours * 3600 == pytest.approx(
        held_s(cut, 0, cut.end_s - 12) * (cut.trace.span_s - cut.end_s + 12) / 12
    )


def test_what_costs_too_much_is_ended() -> None:
    found = problem()
    settings = Settings("ongoing_requests", {"min_replicas": 4})
    with serve_controllers() as make:
        whole = evaluate(found, settings, (0, 1), make, ())
        cut = evaluate(found, settings, (0, 1), make, [tried(whole.cost_hours / 3, 0.9)])
    assert not whole.is_cut
    assert whole.holds()
    assert cut.is_cut
    assert not cut.holds()
    assert cut.num_seeds == 1
    assert cut.cost_hours == pytest.approx(whole.cost_hours, rel=0.05)


def test_what_misses_by_far_is_ended() -> None:
    found = problem(parse_slo("ttft_p99<400ms"))
    settings = Settings("ongoing_requests", SLOW)
    with serve_controllers() as make:
        whole = evaluate_on(found, settings, found.scenarios, (0,), make)
        cut = evaluate(found, settings, (0,), make, ())
    assert whole.budget_used > study_module.FAR
    assert cut.is_cut
    assert cut.budget_used > 1
    assert cut.num_requests < whole.num_requests


def test_what_may_matter_runs_to_its_end() -> None:
    found = problem()
    with serve_controllers() as make:
        score = evaluate(found, Settings("ongoing_requests"), (0, 1), make, ())
        assert score == evaluate_on(found, Settings("ongoing_requests"), found.scenarios, (0, 1), make)


@pytest.mark.parametrize(
    ("before", "num_seeds"),
    [
        ([], 2),
        ([tried(1e-4, 1.1)], 2),  # misses: no measure for others
        ([tried(1e9, 0.0)], 2),
        ([tried(0.0667, 1.0)], 2),
        ([tried(0.0666, 0.5)], 1),
    ],
)
def test_a_second_seed_is_for_what_none_beats(before: list[Tried], num_seeds: int) -> None:
    with serve_controllers() as make:
        settings = Settings("ongoing_requests", SLOW)
        score = evaluate(problem(), settings, (0, 1), make, before)
    assert score.num_seeds == num_seeds


def test_nothing_is_judged_before_the_part_that_counts() -> None:
    result, found = run(Looks(10), **SLOW), problem()
    late = Scenario(result.trace, result.end_s)
    assert not cannot_matter(found, late, Limits(1e-6), result)
    assert cannot_matter(found, found.scenarios[0], Limits(1e-6), result)


@pytest.mark.parametrize(
    ("limits", "is_over"),
    [
        (Limits(1e9), False),
        (Limits(1e9, 1.05, 1), False),
        (Limits(1e9, 1.0, 1), True),  # half a run, and the replica that stays for the other half
        (Limits(1e9, 1.0, 0), False),  # it may sleep from now on
        (Limits(1e9, 0.5, 0), True),
    ],
)
def test_what_will_cost_as_much_as_settings_that_miss_nothing_is_ended(limits: Limits, is_over: bool) -> None:
    """In units of one replica for the whole run; no target is missed."""
    result, found = run(Looks(10), min_replicas=1, initial_replicas=1, max_replicas=1), problem()
    whole_hours = 2 * cost_hours(result, 0)
    scaled_limits = replace(limits, spotless_hours=limits.spotless_hours * whole_hours)
    scenario = found.scenarios[0]
    assert result.end_s == pytest.approx(scenario.trace.span_s / 2)
    assert cannot_matter(problem(parse_slo("ttft_p99<60min")), scenario, scaled_limits, result) == is_over


def test_a_search_that_ends_runs_early_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(problem(), "ongoing_requests", 10, (0,), 3)
    quick = run_study(study, serve_controllers)
    monkeypatch.setattr(study_module, "cannot_matter", lambda *_: False)
    whole = run_study(study, serve_controllers)
    assert any(each.score.is_cut for each in quick)
    assert not any(each.score.is_cut for each in whole)
    assert cheapest(quick, 0.1).score.cost_hours <= 1.05 * cheapest(whole, 0.1).score.cost_hours


def test_only_whole_runs_are_on_the_front() -> None:
    each = tried(1.0, 0.5)
    cut = replace(each, score=replace(each.score, is_cut=True))
    assert front([cut, each]) == (each,)
    assert front([cut]) == (cut,)
    assert cheapest([cut, each], 0.1) is each


def test_a_target_that_nothing_can_hold_is_tuned_for_all_the_same() -> None:
    found = problem(parse_slo("ttft_p99<1ms"))
    plan = Plan(policies=("ongoing_requests",), num_trials=4, seeds=(0,), fresh_seeds=(7,))
    (result,) = tune([found], plan, serve_controllers, Alone(), lambda *_: None)
    assert result.front
    assert result.recommended is not None
    assert not result.recommended.best.score.holds()
    assert not result.recommended.best.score.is_cut
