"""What several runs say together."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.simulation.result import Status
from modem.simulation.setup import Platform
from modem.simulation.simulate import simulate
from modem.simulation.summary import Targets, summarize
from modem.slo import Times, parse_slo
from modem.tuning.measure import NUM_BLOCKS, cost_per_replica, held_s, measure, shares_of
from modem.tuning.score import Tried, cheapest, front, score, share_interval
from tests.unit.simulation.builders import Factory, expert, profile, trace
from tests.unit.tuning.builders import SLO, burst, run_of, tried

TWO = parse_slo("ttft_p90<2s,e2e_p50<10s")


def test_a_run_is_measured_as_a_simulation_is_summarized() -> None:
    setups = [expert("math"), expert("health", num_replicas=2)]
    requests = burst()
    result = simulate(setups, requests, Factory(), 0, Platform())
    summary = summarize(result, Targets(ttft_s=2.0))
    run = measure(result, 0, SLO)
    figures = dict(summary.domains)["math"]
    assert run.num_requests.sum() == figures.num_requests
    assert run.shares()[0] == pytest.approx(figures.share_within)
    assert run.cost_hours == pytest.approx(figures.gpu_hours)
    other = measure(result, 1, SLO)
    assert other.num_requests.sum() == 0
    assert other.cost_hours == pytest.approx(2 * result.end_s / 3600)


def test_only_the_part_from_a_time_on_counts() -> None:
    requests = trace(*((float(t), 100, 1) for t in range(100)), span_s=100.0)
    result = simulate([expert()], requests, Factory(), 0, Platform())
    run = measure(result, 0, SLO, 60.0)
    assert run.num_requests.sum() == 40
    assert run.cost_hours * 3600 == pytest.approx(result.end_s - 60)
    assert run.num_requests.tolist() == [2] * NUM_BLOCKS
    assert held_s(result, 0) == pytest.approx(result.end_s)


def test_what_is_not_answered_misses_whatever_it_took() -> None:
    result = simulate([expert()], trace((0.0, 100, 10), (1.0, 100, 10)), Factory(), 0, Platform())
    log = result.requests
    log.status[1] = Status.KILLED
    assert measure(result, 0, SLO).shares()[0] == 0.5


def test_replicas_without_gpus_count_as_one() -> None:
    assert cost_per_replica(profile(gpus_per_replica=0.0)) == 1.0
    assert cost_per_replica(profile(gpus_per_replica=4.0)) == 4.0


def test_the_score_is_that_of_the_worst_target_scenario_and_seed() -> None:
    good, bad = run_of(1.0, [10, 10], [10, 10], [10, 10]), run_of(3.0, [10, 10], [9, 9], [10, 9])
    found = score([[good, bad], [good, good]], TWO)
    assert found.cost_hours == pytest.approx((4.0 + 2.0) / 2)
    # In the second scenario 38 of 40 are within the first target, that may miss a tenth.
    assert found.budget_used == pytest.approx(0.05 / 0.1)
    assert found.by_seed == pytest.approx((1.0, 0.0))
    assert found.share == pytest.approx(78 / 80)
    assert found.num_requests == 80
    assert found.holds()
    assert found.holds(0.5)
    assert not found.holds(0.51)


def test_one_seed_that_misses_is_enough() -> None:
    found = score([[run_of(1.0, [10], [8])], [run_of(1.0, [10], [10])]], SLO)
    assert found.budget_used == pytest.approx(1.0)
    assert not found.holds()


def test_without_requests_nothing_is_missed() -> None:
    found = score([[run_of(1.0, [0], [0])]], SLO)
    assert (found.share, found.budget_used) == (1.0, 0.0)


def test_a_target_of_all_requests_has_no_budget() -> None:
    assert score([[run_of(1.0, [10], [9])]], parse_slo("ttft_p100<2s")).budget_used == inf


def test_the_interval_is_wider_where_misses_come_in_bunches() -> None:
    spread = run_of(1.0, [50] * NUM_BLOCKS, [45] * NUM_BLOCKS)
    bunched = run_of(1.0, [50] * NUM_BLOCKS, [0, 0, *[50] * (NUM_BLOCKS - 2)])
    widths = []
    for run in (spread, bunched):
        low, high = share_interval([run], SLO, np.random.default_rng(0))
        assert low <= shares_of([run])[0] <= high
        widths.append(high - low)
    assert widths[0] < 0.01 < 0.1 < widths[1]


points = st.builds(tried, st.floats(0.1, 10), st.floats(0, 5))


@given(st.lists(points, min_size=1, max_size=12))
def test_nobody_beats_the_front(some: list[Tried]) -> None:
    best = front(some)
    costs = [each.score.cost_hours for each in best]
    used = [each.score.budget_used for each in best]
    assert costs == sorted(costs)
    assert used == sorted(used, reverse=True)
    assert len(set(used)) == len(used)
    for each in some:
        assert any(
            one.score.cost_hours <= each.score.cost_hours and one.score.budget_used <= each.score.budget_used
            for one in best
        )


@given(st.lists(points, min_size=1, max_size=12), st.floats(0, 0.9))
def test_the_cheapest_that_holds_is_recommended(some: list[Tried], margin: float) -> None:
    chosen = cheapest(some, margin)
    holding = [each for each in some if each.score.holds(margin)]
    if holding:
        assert chosen.score.cost_hours == min(each.score.cost_hours for each in holding)
        assert chosen.score.holds(margin)
    else:
        assert chosen.score.budget_used == min(each.score.budget_used for each in some)


def test_times_of_single_tokens_have_no_pauses() -> None:
    result = simulate([expert()], trace((0.0, 100, 1), (5.0, 100, 3)), Factory(), 0, Platform())
    run = measure(result, 0, parse_slo("itl_p100<5ms"))
    assert run.shares()[0] == 0.5
    assert isinstance(Times(*[result.requests.first_s] * 3).of("e2e"), np.ndarray)


def test_a_score_without_seeds_apart() -> None:
    one = tried(1.0, 0.5, (0.2, 0.8)).score
    assert one.num_seeds == 2
    assert one.holds(0.4)
    assert not replace(one, by_seed=(0.2, 1.1)).holds()
