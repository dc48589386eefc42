"""Serve's own decisions on simulated time."""

import time
from collections.abc import Mapping
from dataclasses import replace
from math import ceil, inf
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ray.serve import autoscaling_policy
from ray.serve._private import autoscaling_metrics_codec, autoscaling_state
from ray.serve._private.common import TimeStampedValue
from ray.serve._private.metrics_utils import InMemoryMetricsStore
from ray.serve.config import AutoscalingConfig

from deployments.simulation import ServeController, serve_controllers
from modem.autoscaling.pool import POOLS
from modem.errors import ConfigError
from modem.serve_config.schema import AutoscalingPolicy
from modem.simulation.bounds import bounds_of, total_bounds
from modem.simulation.control import HandleReport, ReplicaReport, Sample, Series
from modem.simulation.profile import Decode, Prefill, Profile, Startup
from modem.simulation.reports import HandleReporter
from modem.simulation.result import SimulationResult, Status
from modem.simulation.rhythm import Rhythm
from modem.simulation.setup import ExpertSetup, Platform
from modem.simulation.simulate import simulate
from modem.traces import synthetic
from modem.traces.lengths import LognormalLengths
from modem.traces.mix import Mix, split
from modem.traces.trace import Arrival, Trace
from tests.unit.simulation.builders import expert, profile

HERE = "tests.unit.deployments.scaling_policies"
SCALES: dict[str, Any] = {
    "min_replicas": 0,
    "max_replicas": 4,
    "target_ongoing_requests": 2,
    "metrics_interval_s": 1,
    "look_back_period_s": 5,
    "upscale_delay_s": 3,
    "downscale_delay_s": 8,
    "downscale_to_zero_delay_s": 12,
}
QUICK = profile(startup_s=Startup(samples=(2.0, 6.0)), decode=Decode(batch=(1, 4), step_s=(0.02, 0.05)))


def scaled(changes: Mapping[str, Any] | None = None, found: Profile = QUICK, **more: Any) -> ExpertSetup:
    return expert(autoscaling={**SCALES, **(changes or {})}, profile=found, **more)


def series(*pairs: tuple[float, float]) -> Series:
    return [Sample(t_s, value) for t_s, value in pairs]


def handle(sent_s: float, *queued: tuple[float, float]) -> HandleReport:
    return HandleReport("h", "gateway-0", sent_s, series(*queued), {})


def replica(name: str, sent_s: float, *ongoing: tuple[float, float]) -> ReplicaReport:
    return ReplicaReport(name, sent_s, series(*ongoing), {})


# --- time


def test_serves_code_sees_simulated_time_only_meanwhile() -> None:
    with serve_controllers() as make:
        make(scaled()).decide(77.0, 0)
        assert autoscaling_policy.time.time() == 77
        assert autoscaling_state.time.monotonic() == 77
    assert autoscaling_policy.time is time
    assert autoscaling_state.time is time


def test_real_time_comes_back_after_an_error() -> None:
    with pytest.raises(RuntimeError), serve_controllers():
        raise RuntimeError
    assert autoscaling_policy.time is time
    assert autoscaling_state.time is time


# --- Serve's documented example and its state machine


def test_the_total_is_that_of_serves_own_example() -> None:
    """The docstring of ``get_total_num_requests`` works out 13.76."""
    with serve_controllers() as make:
        controller = make(scaled())
        controller.set_running(["r1", "r2"])
        controller.record_replica(replica("r1", 2.0, (0.2, 5), (0.8, 7), (1.5, 6)))
        controller.record_replica(replica("r2", 2.0, (0.1, 3), (0.9, 4), (1.4, 8)))
        controller.record_handle(handle(2.0, (0.3, 2), (1.0, 3)))
        controller.decide(2.0, 2)
        assert controller.serve.last_total == pytest.approx(23.4 / 1.7)


def test_the_first_number_is_the_initial_one_or_the_least() -> None:
    with serve_controllers() as make:
        assert make(scaled()).first_target() == 0
        assert make(scaled({"min_replicas": 2})).first_target() == 2
        assert make(scaled({"initial_replicas": 3})).first_target() == 3


def test_a_sleeping_expert_gets_its_replica_at_once() -> None:
    with serve_controllers() as make:
        controller = make(scaled({"upscaling_factor": 3}))
        assert controller.decide(0.0, 0) == 0
        controller.record_handle(handle(1.0, (1.0, 1)))
        assert controller.decide(1.1, 0) == 3


def test_more_are_wanted_after_the_delay_and_clipped() -> None:
    with serve_controllers() as make:
        controller = make(scaled())
        controller.set_running(["r"])
        controller.record_replica(replica("r", 1.0, (0.0, 40), (1.0, 40)))
        assert [controller.decide(1.0 + 0.5 * i, 1) for i in range(8)] == [1] * 6 + [4, 1]


def test_fewer_step_by_step_and_zero_last() -> None:
    with serve_controllers() as make:
        controller = make(scaled())
        controller.set_running(["r1", "r2"])
        controller.record_replica(replica("r1", 1.0, (0.0, 0), (1.0, 0)))
        assert [controller.decide(t, 2) for t in (1.0, 8.9, 9.0)] == [2, 2, 1]
        controller.set_running(["r1"])
        assert [controller.decide(t, 1) for t in (9.1, 21.0, 21.1)] == [1, 1, 0]


def test_a_report_that_is_not_newer_is_left_alone() -> None:
    with serve_controllers() as make:
        controller = make(scaled())
        controller.record_handle(handle(5.0, (5.0, 0)))
        controller.record_handle(handle(4.0, (4.0, 9)))
        controller.record_handle(handle(5.0, (5.0, 9)))
        assert controller.decide(6.0, 0) == 0


def test_silent_and_dead_handles_are_dropped() -> None:
    with serve_controllers() as make:
        controller = make(scaled())
        controller.record_handle(handle(5.0, (5.0, 1)))
        controller.decide(5.0, 1)
        controller.drop_stale(14.9, {"gateway-0"})
        controller.decide(14.9, 1)
        assert controller.serve.last_total > 0
        controller.drop_stale(15.0, {"gateway-0"})
        controller.decide(15.0, 1)
        assert controller.serve.last_total == 0
        controller.record_handle(handle(16.0, (16.0, 1)))
        controller.drop_stale(16.0, set())
        controller.decide(16.1, 1)
        assert controller.serve.last_total == 0


def test_a_stopped_replica_is_forgotten() -> None:
    with serve_controllers() as make:
        controller = make(scaled())
        controller.set_running(["r"])
        controller.record_replica(replica("r", 1.0, (1.0, 9)))
        controller.decide(1.1, 1)
        controller.set_running([])
        controller.replica_stopped("r")
        assert controller.decide(1.2, 0) == 0


def test_policies_see_when_the_number_changed_last() -> None:
    with serve_controllers() as make:
        controller = make(scaled())
        controller.scaled(3.0, 1, 2)
        controller.scaled(5.0, 2, 1)
        context = controller.serve.state.get_autoscaling_context(1)
        assert (context.last_scale_up_time, context.last_scale_down_time) == (3.0, 5.0)


# --- settings and policies


def policy(name: str, **kwargs: Any) -> dict[str, Any]:
    return {"policy": {"policy_function": f"{HERE}:{name}", "policy_kwargs": kwargs}}


def test_a_policy_is_found_and_built_as_in_serve() -> None:
    with serve_controllers() as make:
        controller = make(scaled({**policy("Held", interval_s=2.0, per_replica=0.5), "upscale_delay_s": 0}))
        controller.set_running(["r"])
        controller.record_handle(handle(1.0, (1.0, 2)))
        assert controller.decide(1.1, 1) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (policy("Nothing"), "expert-math: autoscaling_config: .*Nothing"),
        (
            {"policy": {"policy_function": "nowhere.at.all:policy"}},
            "expert-math: autoscaling_config: .*nowhere",
        ),
        (policy("Broken"), r"expert-math: .*Broken cannot be built with policy_kwargs \{\}: .*no such luck"),
        (policy("Held", wrong=1), "Held cannot be built with policy_kwargs {'wrong': 1}"),
        ({"max_replicas": 1, "min_replicas": 2}, "expert-math: autoscaling_config: .*min_replicas"),
    ],
)
def test_what_serve_would_refuse_is_a_config_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message), serve_controllers() as make:
        make(scaled(changes))


def test_an_expert_without_autoscaling_has_no_controller() -> None:
    with pytest.raises(ConfigError, match="nothing to decide"), serve_controllers() as make:
        make(expert())


def test_an_applications_policy_goes_before_the_deployments() -> None:
    own = AutoscalingPolicy(
        policy_function=f"{HERE}:Held", policy_kwargs={"interval_s": 0.0, "per_replica": 0.5}
    )
    with serve_controllers() as make:
        controller = make(
            replace(scaled({"upscale_delay_s": 0, "initial_replicas": 1}), application_policy=own)
        )
        assert controller.first_target() == 1
        controller.set_running(["r"])
        controller.record_handle(handle(1.0, (1.0, 3)))
        assert controller.decide(1.1, 1) == 3


def test_modems_policies_wake_an_expert_for_all_who_wait() -> None:
    """Named in the application they are asked while nothing runs; named in the deployment they are not."""
    rows = Trace.of([Arrival(1 + 0.01 * i, "math", 100, 50) for i in range(40)])
    own = AutoscalingPolicy(policy_function="deployments.autoscaling:TokenLoad")
    created = {}
    for level in ("application", "deployment"):
        setup = scaled({"policy": own} if level == "deployment" else None)
        if level == "application":
            setup = replace(setup, application_policy=own)
        with serve_controllers() as make:
            lives = simulate([setup], rows, make, 1, Platform()).histories[0].replicas
        ready_s = lives[0].running_s
        assert ready_s is not None
        created[level] = sum(life.created_s < ready_s for life in lives)
    assert created["deployment"] == 1
    assert created["application"] > 1


def test_what_policies_share_is_forgotten_between_simulations() -> None:
    with serve_controllers() as make:
        shared = POOLS.named("gpus")
        make.reset()
        assert POOLS.named("gpus") is not shared


# --- reports are Serve's


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=3), st.lists(st.integers(0, 9), max_size=4))
def test_a_handles_report_is_what_serve_decodes(running: list[list[int]], queued: list[int]) -> None:
    def points(values: list[int]) -> Series:
        return series(*[(float(t), float(value)) for t, value in enumerate(values)])

    by_name = {f"r{i}": points(values) for i, values in enumerate(running)}
    with serve_controllers() as make:
        controller = make(scaled())
        report = HandleReport("h", "gateway-0", 9.0, points(queued), by_name)
        own = controller.serve.columnar(report)
        served = autoscaling_metrics_codec.decode_handle_flat(
            autoscaling_metrics_codec.encode(controller.serve.plain(report))
        )
    assert own.keys() == served.keys()
    for key, value in served.items():
        assert np.array_equal(own[key], value), key


@pytest.mark.parametrize("columnar", [True, False])
def test_serves_switch_of_formats_is_the_simulators(monkeypatch: pytest.MonkeyPatch, columnar: bool) -> None:
    monkeypatch.setattr("deployments.serve_decisions.RAY_SERVE_COLUMNAR_AUTOSCALING_METRICS", columnar)
    with serve_controllers() as make:
        controller = make(scaled())
        controller.record_handle(handle(1.0, (1.0, 1)))
        assert controller.decide(1.1, 0) == 1
        assert bool(controller.serve.state._handle_store.columnar) == columnar
        assert bool(controller.serve.state._handle_store.objects) == (not columnar)


@given(
    st.floats(0.5, 4),
    st.floats(1, 10),
    st.lists(st.tuples(st.floats(0.01, 0.13), st.integers(0, 9)), min_size=1, max_size=30),
)
def test_a_handles_window_is_that_of_serves_store(
    interval_s: float, look_back_s: float, steps: list[tuple[float, int]]
) -> None:
    rhythm = Rhythm(interval_s, interval_s, look_back_s)
    reporter = HandleReporter("h", "a", rhythm, 0.0, 0.0, None)
    store = InMemoryMetricsStore()
    now_s = 0.0
    for share, number in steps:
        passed_s = share * look_back_s  # records are a fifth of the window apart at most
        now_s += passed_s
        reporter.num_queued = number
        reporter.record(now_s)
        store.add_metrics_point({"queued": number}, now_s)
        store.prune_keys_and_compact_data(now_s - look_back_s)
        now_s += passed_s / 2
        store.prune_keys_and_compact_data(now_s - look_back_s)
        kept: list[TimeStampedValue] = store.data.get("queued", [TimeStampedValue(now_s, number)])
        told = reporter.report(now_s).queued
        assert [(x.timestamp, x.value) for x in told] == [(x.timestamp, x.value) for x in kept]


# --- leaving ticks out


STEPS = st.lists(st.tuples(st.floats(0.01, 3), st.integers(0, 5)), min_size=1, max_size=8)


def stepped(steps: list[tuple[float, int]]) -> Series:
    times = np.cumsum([passed_s for passed_s, _ in steps])
    return [Sample(float(t_s), float(value)) for t_s, (_, value) in zip(times, steps, strict=True)]


@given(st.lists(STEPS, min_size=1, max_size=4), st.floats(0, 20), st.sampled_from(("mean", "max", "min")))
def test_serves_total_stays_within_its_bounds(
    sources: list[list[tuple[float, int]]], later_s: float, function: str
) -> None:
    told = [stepped(steps) for steps in sources]
    now_s = max(one[-1].timestamp for one in told)
    with serve_controllers() as make:
        controller = make(scaled({"aggregation_function": function, "look_back_period_s": 100}))
        controller.set_running([f"r{i}" for i in range(len(sources) - 1)])
        controller.record_handle(HandleReport("h", "gateway-0", now_s, told[0], {}))
        for number, one in enumerate(told[1:]):
            controller.record_replica(ReplicaReport(f"r{number}", now_s, one, {}))
        controller.decide(now_s + later_s, 1)
        total = controller.serve.last_total
    low, high = total_bounds([bounds_of(one) for one in told])
    assert low - 1e-9 <= total <= high + 1e-9


CONFIGS = st.fixed_dictionaries(
    {
        "min_replicas": st.integers(0, 1),
        "max_replicas": st.integers(1, 4),
        "target_ongoing_requests": st.sampled_from((0.7, 1.0, 2.0, 3.0)),
        "metrics_interval_s": st.sampled_from((0.5, 1.0, 2.0)),
        "look_back_period_s": st.sampled_from((2.5, 5.0, 10.0)),
        "upscale_delay_s": st.sampled_from((0.0, 1.0, 4.0)),
        "downscale_delay_s": st.sampled_from((0.0, 3.0, 9.0)),
        "downscale_to_zero_delay_s": st.sampled_from((None, 2.0, 6.0)),
        "upscaling_factor": st.sampled_from((None, 0.4, 2.0)),
        "downscaling_factor": st.sampled_from((None, 0.3, 2.0)),
        "aggregation_function": st.sampled_from(("mean", "mean", "max", "min")),
    }
)
PLATFORMS = st.builds(
    Platform,
    gpus=st.sampled_from((None, 3.0)),
    num_gateways=st.integers(1, 2),
    loop_time_s=st.sampled_from((0.0, 0.013)),
    push_delay_s=st.sampled_from((0.0, 0.005, 0.15)),
    direct=st.booleans(),
    min_draining_s=st.just(3.0),
    start_timeout_s=st.sampled_from((None, 8.0)),
    handles_at_start=st.booleans(),
    epoch_s=st.sampled_from((0.0, 1.7e9)),
    settle_s=st.just(60.0),
)


def traffic(seed: int) -> Trace:
    """A minute of two domains with silences, bursts and times on the grid of the control loop."""
    rng = np.random.default_rng(seed)
    lengths = LognormalLengths(100, 40)
    kind = seed % 4
    if kind == 0:
        made = synthetic.gamma_bursty(rng, 1.0, 4, 60, lengths)
    elif kind == 1:
        made = synthetic.spike(rng, 0.05, 4, 15, 10, 60, lengths)
    elif kind == 2:
        made = synthetic.poisson(rng, 2.0, 40, lengths)
    else:
        rows = [Arrival(round(float(t), 1), "any", 100, 80) for t in rng.random(30) * 50]
        made = Trace.of(rows, span_s=60)
    return split(made, Mix.even(("math", "other")), rng)


def both(setups: list[ExpertSetup], arrivals: Trace, seed: int, platform: Platform) -> list[SimulationResult]:
    with serve_controllers() as make:
        return [simulate(setups, arrivals, make, seed, platform, every) for every in (False, True)]


def assert_same(quick: SimulationResult, full: SimulationResult) -> None:
    for found, oracle in zip(quick.histories, full.histories, strict=True):
        assert found.decisions == oracle.decisions
        assert found.replicas == oracle.replicas
        assert found.num_ticks <= oracle.num_ticks
    assert np.array_equal(quick.requests.status, full.requests.status)
    assert np.array_equal(quick.requests.finish_s, full.requests.finish_s, equal_nan=True)


@settings(max_examples=20)
@given(st.integers(0, 10**6), CONFIGS, CONFIGS, PLATFORMS)
def test_leaving_ticks_out_changes_no_decision(
    seed: int, math: dict[str, Any], other: dict[str, Any], platform: Platform
) -> None:
    assume(math["metrics_interval_s"] < math["look_back_period_s"])
    setups = [
        scaled(math, max_ongoing_requests=3),
        replace(scaled(other, max_queued_requests=4), domain="other", application="expert-other"),
    ]
    assert_same(*both(setups, traffic(seed), seed, platform))


@settings(max_examples=10)
@given(
    st.integers(0, 10**6),
    CONFIGS,
    PLATFORMS,
    st.sampled_from((0.0, 0.35, 1.0, 5.0)),
    st.sampled_from((0.5, 2.0)),
    st.booleans(),
)
def test_a_policy_that_says_how_long_it_holds_is_asked_less_often(
    seed: int,
    math: dict[str, Any],
    platform: Platform,
    interval_s: float,
    per_replica: float,
    for_application: bool,
) -> None:
    own = policy("Held", interval_s=interval_s, per_replica=per_replica)
    if for_application:
        held = replace(scaled(math), application_policy=AutoscalingPolicy(**own["policy"]))
    else:
        held = scaled({**math, **own})
    quick, full = both([held, replace(scaled(), domain="other")], traffic(seed), seed, platform)
    assert_same(quick, full)


def test_a_policy_that_does_not_say_is_asked_at_every_tick() -> None:
    steady = Trace.of([Arrival(float(t), "math", 100, 20) for t in range(20)])
    quick, full = both([scaled({**policy("by_queue"), "min_replicas": 1})], steady, 0, Platform())
    assert quick.histories[0].num_ticks == full.histories[0].num_ticks
    assert_same(quick, full)


def test_most_ticks_are_left_out_under_steady_load() -> None:
    steady = Trace.of([Arrival(2.0 * t, "math", 100, 20) for t in range(200)])
    quick, full = both([scaled({"min_replicas": 1})], steady, 0, Platform())
    assert_same(quick, full)
    assert quick.histories[0].num_ticks < full.histories[0].num_ticks / 20


def test_an_expert_that_sleeps_costs_next_to_nothing() -> None:
    lone = Trace.of([Arrival(5.0, "math", 100, 20), Arrival(80000.0, "math", 100, 20)])
    with serve_controllers() as make:
        result = simulate([scaled()], lone, make, 0)
    assert result.histories[0].num_ticks < 100
    assert result.requests.status.tolist() == [Status.ANSWERED] * 2


def test_a_controller_knows_how_long_its_answer_stands() -> None:
    with serve_controllers() as make:
        controller: ServeController = make(scaled())
        controller.decide(0.0, 0)
        assert controller.wake_s(0.0, 0) == inf  # asleep and nothing reported
        controller.record_handle(handle(1.0, (1.0, 1)))
        assert controller.wake_s(1.0, 0) == 1.0
        controller.decide(1.1, 0)
        assert controller.wake_s(1.1, 1) == inf  # its replica is on the way
        controller.set_running(["r"])
        controller.record_handle(handle(2.0, (1.0, 0), (2.0, 0)))
        controller.record_replica(replica("r", 2.0, (1.0, 0), (2.0, 0)))
        assert controller.decide(2.0, 1) == 1
        assert controller.wake_s(2.0, 1) == pytest.approx(14.0, abs=0.01)  # the delay to zero


# --- the whole


def live(asleep: bool) -> SimulationResult:
    rng = np.random.default_rng(5)
    arrivals = split(synthetic.spike(rng, 0.2, 6, 60, 60, 300), Mix.steady({"math": 1.0}), rng)
    wide = profile(prefill=Prefill(tokens_per_s=4000), startup_s=Startup(samples=(10.0,)), max_num_seqs=8)
    setup = scaled({"min_replicas": 0 if asleep else 1, "target_ongoing_requests": 4}, wide)
    with serve_controllers() as make:
        return simulate([setup], arrivals, make, 1, Platform(num_gateways=2, min_draining_s=5.0))


def test_a_burst_grows_the_expert_and_silence_puts_it_to_sleep() -> None:
    result = live(asleep=True)
    numbers = [decision.new for decision in result.histories[0].decisions]
    assert numbers[:2] == [0, 1]
    assert max(numbers) == 4
    assert set(result.requests.status) == {Status.ANSWERED}


def test_a_burst_on_a_sleeping_expert_pays_two_starts_in_a_row() -> None:
    """What Serve's own policy does: from zero, nothing is added until the first replica runs."""
    rows = [Arrival(1 + 0.01 * i, "math", 100, 50) for i in range(40)]
    with serve_controllers() as make:
        result = simulate([scaled()], Trace.of(rows), make, 1, Platform())
    first, second = result.histories[0].replicas[:2]
    assert first.running_s is not None
    assert second.created_s > first.running_s


def test_the_simulators_settings_are_serves() -> None:
    """Serve reads the same numbers from the config that the simulator's reports go by."""
    setup = scaled()
    assert setup.autoscaling is not None
    serves = AutoscalingConfig(**setup.autoscaling.model_dump(exclude_unset=True))
    for name, value in SCALES.items():
        assert getattr(serves, name) == value
    assert ceil(serves.get_upscaling_factor()) == 1
