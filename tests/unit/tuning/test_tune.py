"""The search, what it confirms, and what it says about what was held out."""

import numpy as np
import pytest

from deployments.simulation import serve_controllers
from modem.errors import ConfigError
from modem.simulation.setup import Platform
from modem.simulation.simulate import simulate
from modem.traces.trace import Arrival, Trace
from modem.tuning.bound import held_out_bound
from modem.tuning.measure import measure
from modem.tuning.problem import (
    Scenario,
    first_replicas,
    problems_of,
    requests_of,
    started,
    try_settings,
)
from modem.tuning.report import describe, front_table, held_out_table, to_json
from modem.tuning.settings import Settings, base
from modem.tuning.study import Study, run_study
from modem.tuning.tune import ExpertResult, Plan, candidates, tune
from modem.tuning.workers import Alone
from tests.unit.simulation.builders import profile
from tests.unit.tuning.builders import SLO, burst, problem, scaled, tried

PLAN = Plan(policies=("ongoing_requests", "slo"), num_trials=8, seeds=(0,), fresh_seeds=(7, 8))


def quiet(done: int, total: int) -> None:
    assert 0 < done <= total


def test_an_expert_begins_with_what_its_first_minutes_need() -> None:
    busy = Trace.of([Arrival(t / 10, "math", 100, 1) for t in range(600)])
    # Ten prompts of 0.1 s a second keep one replica busy; there is some to spare.
    assert first_replicas(profile(), busy) == 2
    assert first_replicas(profile(), busy.between(0, 0)) == 0
    late = Trace.of([Arrival(5000.0, "math", 100, 1)], 6000.0)
    assert first_replicas(profile(), late) == 0
    assert base(started(scaled(), busy)).initial_replicas == 2
    assert base(started(scaled(max_replicas=1), busy)).initial_replicas == 1
    assert base(started(scaled(min_replicas=0), late)).initial_replicas == 0


def test_each_expert_has_its_own_requests_on_the_same_clock() -> None:
    both = Trace.of(
        [Arrival(1.0, "math", 5, 6, "s"), Arrival(2.0, "health", 7, 8), Arrival(3.0, "math", 9, 1)], 10.0
    )
    found = problems_of(
        [scaled("math"), scaled("health"), scaled("other")], Platform(), SLO, [Scenario(both, 1.5)]
    )
    assert [each.num_requests for each in found] == [2, 1, 0]
    math = found[0].scenarios[0]
    assert (math.from_s, math.trace.span_s, math.trace.domains) == (1.5, 10.0, ("math",))
    assert math.trace.prompt_tokens.tolist() == [5, 9]
    assert math.trace.sessions == ("s", None)
    assert requests_of(both, "health").t_s.tolist() == [2.0]


def test_an_expert_alone_does_what_it_does_among_others() -> None:
    one, two = burst("math"), burst("health", seed=5)
    together = Trace.of([*one, *two], one.span_s)
    setups = [started(scaled("math"), one), started(scaled("health"), two)]
    with serve_controllers() as make:
        alone = try_settings(problem(), Settings("ongoing_requests"), Scenario(one), 0, make)
        among = measure(simulate(setups, together, make, 0, Platform()), 0, SLO)
    assert among.num_requests.tolist() == alone.num_requests.tolist()
    assert among.num_met.tolist() == alone.num_met.tolist()


def test_a_search_is_the_same_each_time_and_finds_what_holds() -> None:
    study = Study(problem(), "ongoing_requests", 8, (0,), 0)
    found, again = (run_study(study, serve_controllers) for _ in range(2))
    assert found == again
    assert len(found) == 8
    # What the config says comes first.
    assert found[0].settings == Settings("ongoing_requests")
    assert any(each.score.holds() for each in found)
    other = run_study(Study(problem(), "ongoing_requests", 4, (0,), 1), serve_controllers)
    assert other[2:] != found[2:4]


def test_only_what_is_promising_is_run_with_all_seeds() -> None:
    found = run_study(Study(problem(), "ongoing_requests", 10, (0, 1), 0), serve_controllers)
    assert {each.score.num_seeds for each in found} == {1, 2}
    for each in found:
        if each.score.by_seed[0] > 1:
            assert each.score.num_seeds == 1


def test_tuning_recommends_the_cheapest_that_holds_and_looks_at_what_was_held_out() -> None:
    (found,) = tune([problem()], PLAN, serve_controllers, Alone(), quiet)
    assert found.num_trials == 8
    assert {each.policy for each in found.policies} == {"ongoing_requests", "slo"}
    best = found.recommended
    assert best is not None
    assert best.best.score.holds(PLAN.margin)
    assert best.best.score.num_seeds == 2
    for each in found.policies:
        if each.best.score.holds(PLAN.margin):
            assert each.best.score.cost_hours >= best.best.score.cost_hours
    assert best.held_out is not None
    assert best.held_out.low <= best.held_out.score.share <= best.held_out.high
    assert best.held_out.score.num_requests == 2 * int((problem().held_out[0].trace.t_s >= 60).sum())
    bound = held_out_bound(problem())
    assert bound.cost_hours > 0
    if best.held_out.score.holds():
        assert bound.cost_hours <= best.held_out.score.cost_hours
    text = to_json([found], {"math": bound}, SLO, PLAN, "modem tune")
    assert '"ttft_p90<2s"' in text
    assert front_table(found, PLAN.margin).rows[-1][0] == "as configured now"
    assert len(held_out_table([found], {"math": bound}).rows) == 2
    assert describe(best.best.settings).startswith(best.policy)


def test_of_equals_serves_own_rule_is_recommended() -> None:
    calm = problem(trace=Trace.of([Arrival(5.0 * t, "math", 10, 2) for t in range(40)], 200.0))
    (found,) = tune([calm], PLAN, serve_controllers, Alone(), quiet)
    one, other = found.policies
    assert one.best.score == other.best.score
    assert (one.policy, other.policy) == ("ongoing_requests", "slo")


def test_an_expert_without_requests_is_left_alone() -> None:
    empty = problem(trace=Trace.of([], 100.0))
    (found,) = tune([empty], PLAN, serve_controllers, Alone(), quiet)
    assert found == ExpertResult("math", 0, 0)
    assert found.recommended is None
    assert "no requests" in front_table(found, 0.1).note


def test_all_trials_are_shared_out() -> None:
    plan = Plan(policies=("ongoing_requests", "token_load", "slo"), num_trials=200)
    assert [plan.trials(policy) for policy in plan.policies] == [67, 67, 66]


def test_a_second_look_is_for_the_cheapest_that_hold() -> None:
    some = [tried(float(cost), used) for cost, used in ((5, 0.1), (2, 0.5), (3, 0.0), (1, 4.0), (4, 2.0))]
    twin = tried(2.0, 0.5, target_ongoing_requests=3)
    found = candidates([*some, twin], 0.1)
    assert [each.score.cost_hours for each in found] == [2, 3, 5, 4, 1]
    assert found[0] is some[1]
    assert len(candidates([tried(float(n), 0.1) for n in range(1, 30)], 0.1)) == 6


def test_a_policy_that_cannot_be_built_is_an_error() -> None:
    with serve_controllers() as make, pytest.raises(ConfigError, match="headroom"):
        try_settings(
            problem(), Settings("slo", {}, {"ttft_s": 1.0, "headroom": -1.0}), Scenario(burst()), 0, make
        )


def test_the_burst_is_what_it_says() -> None:
    counts = np.bincount((burst().t_s / 60).astype(int))
    assert counts[0] == 30
    assert counts.sum() == 300
