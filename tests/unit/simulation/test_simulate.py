"""The whole simulator, under controllers that want what the test says."""

from math import isnan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.simulation.line import LONGEST_PAUSE_S, next_look_s
from modem.simulation.profile import Decode, Prefill, Startup
from modem.simulation.result import SimulationResult, Status
from modem.simulation.setup import ExpertSetup, Platform
from modem.simulation.simulate import simulate
from modem.traces import synthetic
from modem.traces.lengths import LognormalLengths
from modem.traces.mix import Mix, split
from modem.traces.trace import Arrival, Trace
from tests.unit.simulation.builders import Factory, expert, no_controllers, profile, trace

SCALES = {"min_replicas": 0, "max_replicas": 9, "metrics_interval_s": 1, "look_back_period_s": 5}
QUICK = Platform(push_delay_s=0.0, min_draining_s=0.0)


def status(result: SimulationResult) -> list[Status]:
    return [Status(value) for value in result.requests.status]


# --- exact answers


def test_without_waiting_the_first_token_takes_as_long_as_reading() -> None:
    result = simulate([expert()], trace((0, 200, 11), (1, 300, 21)), no_controllers, 0)
    assert result.requests.first_s.tolist() == pytest.approx([0.2, 1.3])
    assert result.requests.finish_s.tolist() == pytest.approx([0.3, 1.5])
    assert result.end_s == pytest.approx(1.5)


def test_regular_arrivals_at_twice_the_speed_of_reading_wait_ever_longer() -> None:
    rows = [(0.1 * i, 200, 1) for i in range(20)]
    many = expert(profile=profile(max_num_seqs=64), max_ongoing_requests=64)
    result = simulate([many], trace(*rows), no_controllers, 0)
    waits = result.requests.first_s - result.trace.t_s
    assert waits.tolist() == pytest.approx([0.2 + 0.1 * i for i in range(20)])


def test_random_arrivals_at_one_reader_wait_as_queueing_theory_says() -> None:
    """M/D/1: the mean wait is rho / (2 mu (1 - rho)) (Pollaczek-Khinchine)."""
    rate_rps, service_s = 7.0, 0.1
    arrivals = synthetic.poisson(np.random.default_rng(11), rate_rps, 6000, LognormalLengths(100, 1, sigma=0))
    arrivals = split(arrivals, Mix.steady({"math": 1.0}), np.random.default_rng(0))
    wide = expert(profile=profile(max_num_seqs=1000), max_ongoing_requests=1000)
    result = simulate([wide], arrivals, no_controllers, 0)
    waits = result.requests.first_s - arrivals.t_s - service_s
    rho = rate_rps * service_s
    assert waits.mean() == pytest.approx(rho * service_s / (2 * (1 - rho)), rel=0.06)


def test_two_replicas_share_the_work() -> None:
    rows = [(0.0, 200, 1)] * 4
    result = simulate([expert(num_replicas=2)], trace(*rows), no_controllers, 0)
    assert sorted(result.requests.first_s) == pytest.approx([0.2, 0.2, 0.4, 0.4])


def test_an_overhead_is_part_of_what_the_client_sees() -> None:
    slow = expert(profile=profile(overhead_s=0.5))
    result = simulate([slow], trace((0, 200, 11)), no_controllers, 0)
    assert result.requests.first_s.tolist() == pytest.approx([0.7])
    assert result.requests.finish_s.tolist() == pytest.approx([0.8])


# --- limits


def test_requests_beyond_a_replicas_limit_wait_at_the_gateway_and_look_for_a_place_now_and_then() -> None:
    one_at_once = expert(max_ongoing_requests=1)
    result = simulate([one_at_once], trace((0, 100, 11), (0, 100, 11)), no_controllers, 0)
    # The place is free at 0.2 s; who waits looks at 0, 25, 75, 175, 375 ms and then every half second.
    assert result.requests.first_s.tolist() == pytest.approx([0.1, 0.475])


def test_who_comes_when_a_place_is_free_takes_it_before_those_who_wait() -> None:
    one_at_once = expert(max_ongoing_requests=1)
    rows = trace((0, 100, 11), (0, 100, 11), (0.25, 100, 11))
    result = simulate([one_at_once], rows, no_controllers, 0)
    # The last one has the place from 0.25 to 0.45 s; who has waited since 0 s looks again at 0.775 s.
    assert result.requests.first_s.tolist() == pytest.approx([0.1, 0.875, 0.35])


def test_two_for_each_replica_look_and_whoever_finds_a_place_lets_another_look() -> None:
    pair = expert(max_ongoing_requests=2, profile=profile(prefill=Prefill(overhead_s=0.1, parallel=True)))
    result = simulate([pair], trace(*[(0, 100, 1)] * 6), no_controllers, 0)
    # Both places are free at 0.1 s. Two look at 0.175 s. Then two more look at once, in vain, and 0.175 s on.
    assert result.requests.first_s.tolist() == pytest.approx([0.1, 0.1, 0.275, 0.275, 0.45, 0.45])


@given(st.floats(0, 100), st.floats(0, 100))
def test_looks_are_never_more_than_half_a_second_apart(since_s: float, passed_s: float) -> None:
    now_s = since_s + passed_s
    look_s = next_look_s(since_s, now_s)
    assert now_s - 1e-6 <= look_s <= now_s + LONGEST_PAUSE_S + 1e-6
    assert next_look_s(since_s, look_s) == pytest.approx(look_s)


def test_more_than_may_wait_are_refused() -> None:
    tight = expert(max_ongoing_requests=1, max_queued_requests=2)
    result = simulate([tight], trace(*[(0, 100, 11)] * 5), no_controllers, 0)
    assert status(result) == [Status.ANSWERED] * 3 + [Status.REJECTED] * 2


def test_each_gateway_has_a_queue_of_its_own() -> None:
    tight = expert(max_ongoing_requests=1, max_queued_requests=1)
    result = simulate([tight], trace(*[(0, 100, 11)] * 5), no_controllers, 0, Platform(num_gateways=2))
    assert status(result) == [Status.ANSWERED] * 3 + [Status.REJECTED] * 2
    # The first went to a replica, the second and third wait at gateways 1 and 0, the others find them full.


def test_a_request_that_waits_too_long_is_given_up() -> None:
    asleep = expert(autoscaling=SCALES, profile=profile(startup_s=Startup(samples=(50.0,))))
    rows = trace((0, 100, 1), (30, 100, 1))
    result = simulate([asleep], rows, Factory(math=[(0, 0), (1, 1)]), 0, Platform(start_timeout_s=40.0))
    assert status(result) == [Status.TIMED_OUT, Status.ANSWERED]


def test_a_request_to_a_sleeping_expert_waits_for_its_start() -> None:
    asleep = expert(autoscaling=SCALES)
    result = simulate([asleep], trace((1, 100, 1)), Factory(math=[(0, 0), (1.2, 1)]), 0, QUICK)
    # Wanted in the round at 1.2 s, created in the one at 1.3 s, ready 5 s later.
    assert result.requests.first_s.tolist() == pytest.approx([6.4])
    (life,) = result.histories[0].replicas
    assert (life.created_s, life.placed_s, life.running_s) == pytest.approx((1.3, 1.3, 6.3))
    assert life.cold


def test_the_requests_that_waited_are_spread_over_the_replicas() -> None:
    asleep = expert(autoscaling=SCALES)
    result = simulate([asleep], trace(*[(0, 1000, 1)] * 4), Factory(math=[(0, 0), (1, 2)]), 0, QUICK)
    assert sorted(result.requests.first_s - 6.1) == pytest.approx([1, 1, 2, 2])


# --- life of replicas


def test_replicas_beyond_the_gpus_wait_for_some() -> None:
    big = expert(autoscaling=SCALES, profile=profile(gpus_per_replica=2.0))
    result = simulate(
        [big],
        trace((0, 1, 1), (200, 1, 1)),
        Factory(math=[(0, 1), (10, 3), (50, 1)]),
        0,
        Platform(gpus=4.0, min_draining_s=0.0),
    )
    lives = result.histories[0].replicas
    assert [life.placed_s is not None for life in lives] == [True, True, False]
    assert lives[2].stopping_s == pytest.approx(50.1)
    assert lives[1].stopping_s == pytest.approx(50.1)
    assert lives[0].stopping_s is None


def test_gpus_that_one_expert_gives_back_go_to_another() -> None:
    pair = [expert(autoscaling=SCALES), expert("other", autoscaling=SCALES)]
    rows = Trace.of([Arrival(0, "math", 1, 1), Arrival(100, "other", 1, 1)])
    factory = Factory(math=[(0, 1), (60, 0)], other=[(0, 0), (20, 1)])
    result = simulate(pair, rows, factory, 0, Platform(gpus=1.0, min_draining_s=30.0))
    (waiting,) = result.histories[1].replicas
    assert waiting.created_s == pytest.approx(20.1)
    assert waiting.placed_s == pytest.approx(90.1)
    assert status(result) == [Status.ANSWERED, Status.ANSWERED]


def test_a_replica_that_stops_finishes_its_requests_first() -> None:
    draining = expert(autoscaling=SCALES, graceful_shutdown_timeout_s=60.0)
    rows = trace((0.0, 100, 1001), (50, 1, 1))
    result = simulate([draining], rows, Factory(math=[(0, 1), (2, 0), (40, 1)]), 0, QUICK)
    first, second = result.histories[0].replicas
    assert result.requests.finish_s[0] == pytest.approx(10.1)
    assert first.stopping_s == pytest.approx(2.1)
    assert first.stopped_s == pytest.approx(10.1, abs=2.01)  # it looks every two seconds
    assert second.created_s == pytest.approx(40.1)


def test_behind_direct_ports_a_stopping_replica_is_kept_for_a_while() -> None:
    idle = expert(autoscaling=SCALES, graceful_shutdown_timeout_s=60.0)
    result = simulate([idle], trace((0, 1, 1), (90, 1, 1)), Factory(math=[(0, 1), (2, 0), (60, 1)]), 0)
    first, _ = result.histories[0].replicas
    assert first.stopped_s == pytest.approx(32.1)


def test_a_request_that_outlives_the_grace_is_cut_off() -> None:
    hasty = expert(autoscaling=SCALES, graceful_shutdown_timeout_s=3.0)
    rows = trace((0.0, 100, 1001), (1.0, 100, 11), (50, 1, 1))
    result = simulate([hasty], rows, Factory(math=[(0, 1), (2, 0), (40, 1)]), 0, QUICK)
    assert status(result) == [Status.KILLED, Status.ANSWERED, Status.ANSWERED]
    assert isnan(result.requests.first_s[0])
    assert result.histories[0].replicas[0].stopped_s == pytest.approx(5.1)


def test_a_replica_that_has_not_started_is_taken_away_first_and_at_once() -> None:
    both = expert(autoscaling=SCALES)
    factory = Factory(math=[(0, 1), (10, 2), (12, 1)])
    result = simulate([both], trace((0, 1, 1), (30, 1, 1)), factory, 0, QUICK)
    older, newer = result.histories[0].replicas
    assert older.stopping_s is None
    assert newer.running_s is None
    assert newer.stopping_s == newer.stopped_s == pytest.approx(12.1)


def test_of_running_replicas_the_newest_goes_first() -> None:
    both = expert(autoscaling=SCALES)
    factory = Factory(math=[(0, 1), (10, 2), (30, 1)])
    result = simulate([both], trace((0, 1, 1), (40, 1, 1)), factory, 0, QUICK)
    older, newer = result.histories[0].replicas
    assert older.stopping_s is None
    assert newer.stopping_s == pytest.approx(30.1)
    assert factory.made["math"].gone == ["math-1"]
    assert factory.made["math"].running == [("math-0",), ("math-0", "math-1"), ("math-0",)]


# --- what the controller is told


def test_a_sleeping_experts_first_request_is_reported_at_once() -> None:
    factory = Factory(math=[(0, 0), (50, 1)])
    simulate([expert(autoscaling=SCALES)], trace((3.25, 100, 1)), factory, 0, QUICK)
    first = factory.made["math"].handle_reports[0]
    assert first.sent_s == 3.25
    assert [(sample.timestamp, sample.value) for sample in first.queued] == [(3.25, 1)]


def test_an_idle_handle_reports_what_it_had_recorded_before() -> None:
    """The old trap: a warm handle's first report of a new request is all zeros."""
    factory = Factory(math=[(0, 0), (50, 1)])
    late = Platform(push_delay_s=0.0, handles_at_start=True)
    simulate([expert(autoscaling=SCALES)], trace((33.25, 100, 1)), factory, 0, late)
    at_once = [report for report in factory.made["math"].handle_reports if report.sent_s == 33.25]
    assert [sample.value for sample in at_once[0].queued] == [0] * 5


def test_reports_come_with_the_rhythm_and_carry_the_window() -> None:
    rows = trace(*[(t, 100, 101) for t in range(0, 20)])
    factory = Factory(math=[(0, 1)])
    simulate([expert(autoscaling=SCALES)], rows, factory, 0, QUICK)
    reports = factory.made["math"].replica_reports
    gaps = np.diff([report.sent_s for report in reports])
    assert gaps.tolist() == pytest.approx([1.0] * len(gaps))
    last = reports[-1]
    # It sends before it records: the one of five seconds ago is too old already.
    assert [last.sent_s - sample.timestamp for sample in last.ongoing] == pytest.approx([4, 3, 2, 1])


def test_through_handles_the_gateways_count_what_runs() -> None:
    rows = trace(*[(t, 100, 201) for t in range(10)])
    factory = Factory(math=[(0, 1)])
    platform = Platform(num_gateways=2, direct=False)
    simulate([expert(autoscaling=SCALES)], rows, factory, 0, platform)
    told = factory.made["math"]
    assert told.replica_reports == []
    assert {report.handle_id for report in told.handle_reports} == {"math-handle-0", "math-handle-1"}
    assert any(sample.value for report in told.handle_reports for sample in report.running.get("math-0", ()))


def test_times_are_told_from_the_epoch_on() -> None:
    factory = Factory(math=[(0, 0), (1000.0, 1)])
    result = simulate(
        [expert(autoscaling=SCALES)],
        trace((5, 100, 1)),
        factory,
        0,
        Platform(epoch_s=1000.0, push_delay_s=0.0),
    )
    assert factory.made["math"].handle_reports[0].sent_s == 1005
    assert factory.made["math"].asked[0] == 1000
    assert result.requests.first_s[0] < 20


def test_a_policy_of_ones_own_gets_stats_of_the_replicas() -> None:
    own = {**SCALES, "policy": {"policy_function": "somewhere:policy"}}
    rows = trace(*[(t, 100, 101) for t in range(20)])
    factory = Factory(math=[(0, 1)])
    simulate([expert(autoscaling=own)], rows, factory, 0, QUICK)
    stats = factory.made["math"].replica_reports[-1].stats

    def last(name: str) -> float:
        return stats[f"modem_{name}"][-1].value

    assert last("max_running_requests") == 4
    assert last("prefill_tokens_per_s") == pytest.approx(1000)  # measured, as a live replica does
    assert last("decode_step_s") == pytest.approx(0.01)
    assert last("itl_s") == pytest.approx(0.01)
    assert last("ttft_s") == pytest.approx(0.1)
    assert last("startup_s") == 5  # what a start takes, though this one was there at the beginning
    assert max(sample.value for sample in stats["modem_running_requests"]) >= 1
    assert max(sample.value for sample in stats["modem_context_tokens"]) > 100


def test_a_replica_has_measured_nothing_before_its_first_request() -> None:
    own = {**SCALES, "policy": {"policy_function": "somewhere:policy"}}
    factory = Factory(math=[(0, 0), (1, 1)])
    simulate([expert(autoscaling=own)], trace((30, 100, 1)), factory, 0, QUICK)
    first = next(report for report in factory.made["math"].replica_reports if report.stats)
    values = {name: series[-1].value for name, series in first.stats.items()}
    assert values["modem_startup_s"] == 5
    measured = (
        "prefill_tokens_per_s",
        "decode_step_s",
        "ttft_s",
        "itl_s",
        "running_requests",
        "context_tokens",
    )
    assert [values[f"modem_{name}"] for name in measured] == [0] * 6


# --- rounds


def test_rounds_are_left_out_unless_asked_for() -> None:
    rows = trace((0, 1, 1), (100, 1, 1))
    few, all_of_them = Factory(math=[(0, 1), (50, 2)]), Factory(math=[(0, 1), (50, 2)])
    quiet = simulate([expert(autoscaling=SCALES)], rows, few, 0)
    full = simulate([expert(autoscaling=SCALES)], rows, all_of_them, 0, every_tick=True)
    assert full.histories[0].num_ticks == 1001
    assert quiet.histories[0].num_ticks < 600  # each report may change this controller's mind
    assert quiet.histories[0].decisions == full.histories[0].decisions


def test_a_round_takes_its_own_time() -> None:
    factory = Factory(math=[(0, 1)])
    simulate(
        [expert(autoscaling=SCALES)], trace((0, 1, 1), (9, 1, 1)), factory, 0, Platform(loop_time_s=0.4), True
    )
    assert factory.made["math"].asked[:4] == pytest.approx([0, 0.5, 1.0, 1.5])


def test_the_controller_hears_of_changes_within_its_bounds() -> None:
    bounded = {**SCALES, "min_replicas": 1}
    factory = Factory(math=[(0, 1), (5, 3), (40, 1)])
    simulate([expert(autoscaling=bounded)], trace((0, 1, 1), (60, 1, 1)), factory, 0)
    assert factory.made["math"].changes == [(1, 3), (3, 1)]


# --- laws


def random_setup(seed: int, slots: int, queue: int) -> list[ExpertSetup]:
    quick = profile(
        startup_s=Startup(samples=(0.0, 3.0, 9.0)),
        prefill=Prefill(tokens_per_s=2000),
        decode=Decode(batch=(1, 4), step_s=(0.02, 0.04)),
    )
    scaled: dict[str, Any] = {
        "autoscaling": SCALES,
        "max_ongoing_requests": slots,
        "max_queued_requests": queue,
    }
    return [
        expert("math", profile=quick, graceful_shutdown_timeout_s=float(seed % 7), **scaled),
        expert("other", profile=quick, **scaled),
    ]


SCRIPTS = st.lists(st.tuples(st.floats(0.1, 60), st.integers(0, 4)), max_size=6).map(
    lambda steps: [(0.0, 1), *sorted(steps)]
)


@settings(max_examples=60)
@given(
    st.integers(0, 1000),
    st.integers(1, 6),
    st.integers(-1, 4),
    SCRIPTS,
    SCRIPTS,
    st.booleans(),
    st.integers(1, 3),
)
def test_nothing_is_lost_and_no_limit_is_passed(
    seed: int,
    slots: int,
    queue: int,
    math: list[tuple[float, int]],
    other: list[tuple[float, int]],
    direct: bool,
    gateways: int,
) -> None:
    rng = np.random.default_rng(seed)
    arrivals = synthetic.gamma_bursty(rng, 3, 2, 60, LognormalLengths(200, 20))
    arrivals = split(arrivals, Mix.even(("math", "other")), rng)
    setups = random_setup(seed, slots, queue)
    platform = Platform(gpus=3.0, direct=direct, num_gateways=gateways, start_timeout_s=30.0, settle_s=100.0)
    result = simulate(setups, arrivals, Factory(math=math, other=other), seed, platform)
    log = result.requests
    assert len(log.status) == len(arrivals)
    answered = log.status == Status.ANSWERED
    assert not np.isnan(log.finish_s[answered]).any()
    assert np.isnan(log.finish_s[~answered]).all()
    assert (log.first_s[answered] >= arrivals.t_s[answered]).all()
    assert (log.finish_s[answered] >= log.first_s[answered] - 1e-9).all()
    assert not (log.status == Status.UNFINISHED).any() or result.end_s == pytest.approx(160)
    gpu_changes: list[tuple[float, int]] = []
    for history in result.histories:
        for life in history.replicas:
            times = [t for t in (life.created_s, life.placed_s, life.running_s) if t is not None]
            assert times == sorted(times)
            assert life.busy_s <= result.end_s
            if life.placed_s is not None:
                gpu_changes += [(life.placed_s, 1), (life.stopped_s or 1e9, -1)]
    held = np.cumsum([change for _, change in sorted(gpu_changes)])
    assert held.max(initial=0) <= 3


@settings(max_examples=30)
@given(st.integers(0, 1000), SCRIPTS)
def test_the_same_arguments_give_the_same_result(seed: int, math: list[tuple[float, int]]) -> None:
    rng = np.random.default_rng(seed)
    arrivals = split(synthetic.poisson(rng, 3, 40), Mix.steady({"math": 1.0}), rng)

    def run(number: int) -> SimulationResult:
        return simulate(random_setup(seed, 4, -1)[:1], arrivals, Factory(math=math), number)

    first, again = run(1), run(1)
    assert first.histories == again.histories
    assert np.array_equal(first.requests.finish_s, again.requests.finish_s, equal_nan=True)


def test_another_seed_draws_other_starts() -> None:
    setups = random_setup(0, 4, -1)[:1]
    rows = trace((0, 1, 1), (90, 1, 1))
    starts = {
        simulate(setups, rows, Factory(math=[(0, 1), (20, 4)]), seed).histories[0].replicas[1].running_s
        for seed in range(8)
    }
    assert len(starts) > 1


def test_a_domain_nobody_answers_for_is_an_error() -> None:
    with pytest.raises(ConfigError, match="requests for 'history', which none of the experts answers"):
        simulate([expert()], trace((0, 1, 1), domain="history"), no_controllers, 0)


def test_each_simulation_begins_anew() -> None:
    factory = Factory(math=[(0, 1)])
    for _ in range(2):
        simulate([expert(autoscaling=SCALES)], trace((0, 1, 1)), factory, 0)
    assert factory.num_resets == 2


def test_a_trace_without_requests_is_no_error() -> None:
    result = simulate([expert()], Trace.of([], span_s=60), no_controllers, 0)
    assert result.end_s == 60
    assert len(result.requests.status) == 0
