import json
from dataclasses import astuple

import numpy as np
import pytest

from modem.simulation.profile import Startup
from modem.simulation.report import notes, tables, to_json
from modem.simulation.result import Decision, ReplicaLife, SimulationResult
from modem.simulation.setup import Platform
from modem.simulation.simulate import simulate
from modem.simulation.summary import Quantiles, Targets, most_running, num_turns, summarize
from modem.simulation.timeline import counted, timelines
from modem.traces.trace import Arrival, Trace
from tests.unit.simulation.builders import Factory, expert, no_controllers, profile

SCALES = {"min_replicas": 0, "max_replicas": 9, "metrics_interval_s": 1, "look_back_period_s": 5}


@pytest.fixture(scope="module")
def result() -> SimulationResult:
    """Math is answered at once; other sleeps, and refuses its third request."""
    rows = [Arrival(t, "math", 100, 11) for t in range(10)]
    rows += [Arrival(10, "other", 100, 11)] * 3
    setups = [
        expert("math"),
        expert(
            "other",
            autoscaling=SCALES,
            max_queued_requests=2,
            profile=profile(startup_s=Startup(samples=(20.0,))),
        ),
    ]
    factory = Factory(other=[(0, 0), (10, 1), (60, 0)])
    return simulate(setups, Trace.of(rows, span_s=100), factory, 0, Platform(min_draining_s=0.0))


def test_figures_of_one_domain(result: SimulationResult) -> None:
    math = dict(summarize(result, Targets(ttft_s=1.0)).domains)["math"]
    assert (math.num_requests, math.num_answered, math.share_within) == (10, 10, 1.0)
    assert astuple(math.ttft_s) == pytest.approx((0.1, 0.1, 0.1))
    assert astuple(math.itl_s) == pytest.approx((0.01, 0.01, 0.01))
    assert astuple(math.e2e_s) == pytest.approx((0.2, 0.2, 0.2))
    assert math.goodput_rps == pytest.approx(0.1)
    assert math.replica_hours == pytest.approx(100 / 3600)
    assert math.gpu_hours == math.replica_hours
    assert math.cost_usd == pytest.approx(2 * math.gpu_hours)
    assert math.utilisation == pytest.approx(0.02)
    assert (math.num_starts, math.num_cold_starts, math.num_decisions) == (0, 0, 0)


def test_what_was_not_answered_in_time_is_not_within_target(result: SimulationResult) -> None:
    other = dict(summarize(result, Targets(ttft_s=1.0)).domains)["other"]
    assert (other.num_requests, other.num_answered, other.num_rejected) == (3, 2, 1)
    assert other.share_within == 0.0
    assert other.ttft_s.p50 == pytest.approx(20.25, abs=0.1)
    assert (other.num_starts, other.num_cold_starts, other.num_decisions, other.num_turns) == (1, 1, 2, 1)
    assert other.max_replicas == 1
    assert other.mean_replicas == pytest.approx(0.3, abs=0.01)
    patient = dict(summarize(result, Targets(ttft_s=60.0)).domains)["other"]
    assert patient.share_within == pytest.approx(2 / 3)


def test_the_total_is_of_all(result: SimulationResult) -> None:
    summary = summarize(result, Targets(ttft_s=1.0))
    figures = dict(summary.domains)
    assert summary.total.num_requests == 13
    assert summary.total.num_answered + summary.total.num_rejected == 13
    assert summary.total.share_within == pytest.approx(10 / 13)
    assert summary.total.gpu_hours == pytest.approx(sum(each.gpu_hours for each in figures.values()))
    assert summary.total.max_replicas == 2


def test_further_targets_narrow_what_counts(result: SimulationResult) -> None:
    assert summarize(result, Targets(ttft_s=60, itl_s=0.009)).total.share_within == 0
    assert summarize(result, Targets(ttft_s=60, itl_s=0.011)).total.share_within == pytest.approx(12 / 13)
    assert summarize(result, Targets(ttft_s=60, e2e_s=1.0)).total.share_within == pytest.approx(10 / 13)


def test_a_trace_without_requests_has_no_shares() -> None:
    empty = simulate([expert()], Trace.of([], span_s=10), no_controllers, 0)
    total = summarize(empty, Targets(ttft_s=1)).total
    assert (total.share_within, total.ttft_s) == (None, Quantiles(None, None, None))
    assert total.utilisation == 0


def life(running_s: float | None, stopping_s: float | None) -> ReplicaLife:
    return ReplicaLife(0.0, 0.0, running_s, stopping_s, stopping_s, 0.0, False)


def test_the_most_at_one_time() -> None:
    lives = [life(0, 5), life(1, None), life(5, 9), life(6, 7), life(None, 3)]
    assert most_running(lives) == 3
    assert most_running([]) == 0


def test_turns_are_changes_of_direction() -> None:
    numbers = [1, 2, 3, 1, 2, 1]
    decisions = [
        Decision(float(i), a, b) for i, (a, b) in enumerate(zip([0, *numbers], numbers, strict=False))
    ]
    assert num_turns(decisions) == 3
    assert num_turns(decisions[:1]) == 0


def test_counting_over_time() -> None:
    steps = counted([0.0, 2.0, None, 2.0], [3.0, None])
    assert steps.t_s.tolist() == [0, 2, 3]
    assert steps.value.tolist() == [1, 3, 2]
    assert counted([], []).value.tolist() == []


def test_curves_over_time(result: SimulationResult) -> None:
    math, other = timelines(result, num_stretches=10)
    assert math.running.value.tolist() == [1]
    assert other.wanted.value.tolist() == [0, 1, 0]
    assert other.demand.value.max() == 2  # the refused one was never there
    assert math.waits.p50_s.tolist() == pytest.approx([0.1])
    assert math.waits.t_s.tolist() == [5.0]
    assert other.held.t_s.tolist() == pytest.approx([10.1, 60.1])


def test_tables_have_a_row_for_each_domain_and_the_total(result: SimulationResult) -> None:
    summary = summarize(result, Targets(ttft_s=1.0, itl_s=0.05))
    service, cost = tables(summary)
    assert [row[0] for row in service.rows] == [row[0] for row in cost.rows] == ["math", "other", "all"]
    assert all(len(row) == len(table.header) for table in (service, cost) for row in table.rows)
    assert service.rows[0][4] == "100.0 %"
    assert service.note == "target: first token within 1 s; mean time between tokens at most 0.05 s"


def test_json_holds_figures_decisions_and_where_they_are_from(result: SimulationResult) -> None:
    document = json.loads(to_json(result, summarize(result, Targets(ttft_s=1.0)), "modem simulate ..."))
    assert document["command"] == "modem simulate ..."
    assert document["total"]["num_requests"] == 13
    assert document["domains"]["math"]["ttft_s"]["p99"] == pytest.approx(0.1)
    other = document["experts"]["other"]
    assert [decision["new"] for decision in other["decisions"]] == [0, 1, 0]
    assert other["profile"]["source"] == "configured"
    assert other["autoscaling_config"]["max_replicas"] == 9
    assert document["experts"]["math"]["autoscaling_config"] is None
    assert document["trace"]["span_s"] == 100


def test_notes_name_trace_and_profiles(result: SimulationResult) -> None:
    first, *profiles = notes(result)
    assert "13 requests in 100 s" in first
    assert profiles == ["profile: test (configured)"]


def test_requests_that_a_live_expert_would_refuse_are_told() -> None:
    short = expert(context_length_tokens=100)
    rows = Trace.of([Arrival(0, "math", 90, 10), Arrival(1, "math", 91, 10), Arrival(2, "math", 10, 99)])
    told = notes(simulate([short], rows, no_controllers, 0))
    assert "2 of 3 requests are longer than their expert's context" in told[-1]


def test_quantiles_are_numpys() -> None:
    values = np.arange(101, dtype=np.float64)
    assert Quantiles.of(values) == Quantiles(50, 90, 99)
