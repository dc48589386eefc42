"""The policies as Serve has them: pickled, built, called in its controller, with its own code around them."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve import autoscaling_policy as ray_policy
from ray.serve._private import autoscaling_state as ray_state
from ray.serve._private.common import (
    RUNNING_REQUESTS_KEY,
    DeploymentHandleSource,
    DeploymentID,
    HandleMetricReport,
    ReplicaID,
    ReplicaMetricReport,
    TimeStampedValue,
)
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

import deployments.autoscaling as serve_policies
from deployments.autoscaling import FAILED, HOLDS_UNTIL_KEY, STATE_KEY, ServePolicy, load_of
from deployments.serve_decisions import Clock
from modem.autoscaling.catalogue import MODULE, POLICIES
from modem.autoscaling.pool import POOLS
from modem.autoscaling.stats import ReplicaStats
from modem.errors import ConfigError
from modem.simulation.control import HOLDS_UNTIL

KWARGS: dict[str, dict[str, Any]] = {
    "OngoingRequests": {},
    "TokenLoad": {},
    "Slo": {"ttft_s": 2, "headroom": 0, "max_growth": 1},
    "Forecast": {"policy": {"kind": "token_load"}, "startup_s": 60},
    "GpuBudget": {"num_gpus": 8},
}
EXPERT = DeploymentID(name="Expert", app_name="expert-math")


@pytest.fixture(autouse=True)
def no_pools() -> Iterator[None]:
    POOLS.clear()
    yield
    POOLS.clear()


def autoscaling(name: str, **changes: Any) -> AutoscalingConfig:
    policy = AutoscalingPolicy(policy_function=f"{MODULE}:{name}", policy_kwargs=KWARGS[name])
    numbers = {"min_replicas": 0, "max_replicas": 8, "target_ongoing_requests": 4, "upscale_delay_s": 0}
    return AutoscalingConfig(policy=policy, **{**numbers, "metrics_interval_s": 1, **changes})


def context(config: AutoscalingConfig, **changes: Any) -> AutoscalingContext:
    values: dict[str, Any] = {
        "deployment_id": EXPERT,
        "deployment_name": EXPERT.name,
        "app_name": EXPERT.app_name,
        "current_num_replicas": 2,
        "target_num_replicas": 2,
        "running_replicas": [],
        "total_num_requests": 6.0,
        "total_queued_requests": 0.0,
        "aggregated_metrics": {},
        "raw_metrics": {},
        "capacity_adjusted_min_replicas": 0,
        "capacity_adjusted_max_replicas": 8,
        "policy_state": {},
        "last_scale_up_time": None,
        "last_scale_down_time": None,
        "current_time": 1000.0,
        "config": config,
    }
    return AutoscalingContext(**{**values, **changes})


def wrapped(name: str, config: AutoscalingConfig) -> Any:
    """The policy with Serve's own wrapper, as the controller has it."""
    return ray_policy._apply_autoscaling_config(ray_state._resolve_policy_callable(config.policy))


class TestNames:
    def test_each_policy_of_the_catalogue_is_a_class_here(self) -> None:
        classes = {
            name
            for name, found in vars(serve_policies).items()
            if isinstance(found, type) and issubclass(found, ServePolicy) and found is not ServePolicy
        }
        assert classes == set(POLICIES)

    def test_the_simulator_reads_the_key_that_is_written(self) -> None:
        assert HOLDS_UNTIL_KEY == HOLDS_UNTIL

    def test_neither_vllm_nor_statistics_are_imported(self) -> None:
        code = (
            "import sys, deployments.autoscaling;"
            "print([name for name in ('vllm', 'torch', 'statsmodels', 'scipy') if name in sys.modules])"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "[]"


CONTROLLER = """
import pickle, sys
sys.modules["deployments"] = sys.modules["deployments.autoscaling"] = None
import modem.autoscaling.pool
for raw, kwargs in pickle.loads(sys.stdin.buffer.read()):
    policy = pickle.loads(raw)(**kwargs)._policy
    print(type(policy).__module__, getattr(policy, "_pools", None) is modem.autoscaling.pool.POOLS)
"""


class TestPickled:
    def test_serve_takes_it_by_value_and_the_library_by_reference(self) -> None:
        """In the controller, where `deployments` need not be: so the pool there is one for all policies."""
        raws = [autoscaling(name).policy.get_serialized_policy_def() for name in POLICIES]
        pickled = pickle.dumps(list(zip(raws, KWARGS.values(), strict=True)))
        command = [sys.executable, "-c", CONTROLLER]
        found = subprocess.run(command, input=pickled, capture_output=True, check=False)
        assert found.stdout.decode().splitlines() == [
            "modem.autoscaling.ongoing_requests False",
            "modem.autoscaling.token_load False",
            "modem.autoscaling.slo False",
            "modem.autoscaling.forecast False",
            "modem.autoscaling.gpu_budget True",
        ], found.stderr.decode()

    @pytest.mark.parametrize("name", POLICIES)
    def test_what_comes_out_decides(self, name: str) -> None:
        config = autoscaling(name)
        again = AutoscalingPolicy.from_serialized_policy_def(
            {"policy_function": f"{MODULE}:{name}", "policy_kwargs": KWARGS[name]},
            config.policy.get_serialized_policy_def() or b"",
        )
        number, state = ray_state._resolve_policy_callable(again)(context(config))
        assert number == (1.5 if name == "OngoingRequests" else 2)
        assert STATE_KEY in state

    @pytest.mark.parametrize("name", POLICIES)
    def test_wrong_parameters_stop_the_deployment(self, name: str) -> None:
        policy = AutoscalingPolicy(policy_function=f"{MODULE}:{name}", policy_kwargs={"hold": 1})
        with pytest.raises(ConfigError, match=f"{MODULE}:{name}: policy_kwargs.hold"):
            ray_state._resolve_policy_callable(policy)


def test_experts_share_their_pool() -> None:
    config = autoscaling("GpuBudget")
    a, b = serve_policies.GpuBudget(num_gpus=4), serve_policies.GpuBudget(num_gpus=4)
    assert a(context(config, app_name="a", total_num_requests=12.0))[0] == 3
    assert b(context(config, app_name="b", total_num_requests=12.0))[0] == 2
    assert set(POOLS.named("default").entries) == {"a/Expert", "b/Expert"}


class TestContext:
    def test_becomes_a_load(self) -> None:
        config = autoscaling("TokenLoad", upscale_delay_s=5, downscale_delay_s=70)
        changes = {"total_queued_requests": 2.0, "last_scale_up_time": 900.0, "last_scale_down_time": 800.0}
        load = load_of(context(config, **changes))
        assert (load.expert, load.now_s) == ("expert-math/Expert", 1000.0)
        assert (load.running_replicas, load.target_replicas) == (2, 2)
        assert (load.min_replicas, load.max_replicas) == (0, 8)
        assert (load.ongoing_requests, load.queued_requests, load.target_ongoing_requests) == (6, 2, 4)
        assert (load.upscale_delay_s, load.downscale_delay_s) == (5, 70)
        assert (load.last_scale_up_s, load.last_scale_down_s) == (900, 800)
        assert load.stats == ()

    def test_loads_are_averages_and_measures_the_newest(self) -> None:
        def series(*values: float) -> list[TimeStampedValue]:
            return [TimeStampedValue(float(at), value) for at, value in enumerate(values)]

        names = ("modem_context_tokens", "modem_prefill_tokens_per_s")
        found = load_of(
            context(
                autoscaling("TokenLoad"),
                aggregated_metrics={name: {"r1": 50.0} for name in names} | {"other": {"r1": 1.0}},
                raw_metrics={name: {"r1": series(0.0, 100.0)} for name in names},
            )
        )
        assert found.stats == (ReplicaStats(context_tokens=50.0, prefill_tokens_per_s=100.0),)


class TestDecisions:
    def test_stand_for_an_interval(self) -> None:
        config = autoscaling("TokenLoad")
        policy = ray_state._resolve_policy_callable(config.policy)
        number, state = policy(context(config, total_num_requests=12.0))
        assert (number, state[HOLDS_UNTIL_KEY]) == (3, 1001.0)
        again = policy(context(config, total_num_requests=20.0, current_time=1000.9, policy_state=state))
        assert again == (3, state)
        later, _ = policy(context(config, total_num_requests=20.0, current_time=1001.0, policy_state=state))
        assert later == 5

    def test_the_baseline_is_asked_every_time(self) -> None:
        config = autoscaling("OngoingRequests")
        policy = ray_state._resolve_policy_callable(config.policy)
        _, state = policy(context(config, total_num_requests=12.0))
        assert policy(context(config, total_num_requests=20.0, policy_state=state))[0] == 5

    def test_the_state_of_an_earlier_life_is_not_believed(self) -> None:
        config = autoscaling("TokenLoad")
        policy = ray_state._resolve_policy_callable(config.policy)
        _, state = policy(context(config, total_num_requests=12.0))
        earlier = context(config, total_num_requests=20.0, current_time=10.0, policy_state=state)
        assert policy(earlier)[0] == 5

    @pytest.mark.parametrize("name", POLICIES)
    def test_serves_own_keys_stay_beside_ours(self, name: str) -> None:
        config = autoscaling(name, upscale_delay_s=30)
        number, state = wrapped(name, config)(context(config, total_num_requests=24.0))
        assert number == 2, "Serve's delay holds"
        assert STATE_KEY in state
        assert len(state) > 2
        later = context(config, total_num_requests=24.0, current_time=1030.0, policy_state=state)
        assert wrapped(name, config)(later)[1][STATE_KEY].at_s == 1030.0

    def test_a_policy_that_breaks_leaves_the_expert_as_it_is(self, caplog: pytest.LogCaptureFixture) -> None:
        config = autoscaling("TokenLoad")
        policy = ray_state._resolve_policy_callable(config.policy)
        broken = context(config, total_num_requests="many")
        number, state = policy(broken)
        assert number == 2
        assert state[STATE_KEY].decision.reason == FAILED
        policy(context(config, total_num_requests="many", current_time=1005.0, policy_state=state))
        assert len([r for r in caplog.records if "stays as it is" in r.message]) <= 1
        mended = context(config, total_num_requests=12.0, current_time=1010.0, policy_state=state)
        assert policy(mended)[0] == 3


class TestFactors:
    """Serve's gains do not distort a number that was meant; they keep one use, at the wake."""

    @pytest.mark.parametrize("factor", [0.3, 1.0, 1.7, 3.0])
    @pytest.mark.parametrize("ongoing", [6.0, 9.0, 13.0, 31.9])
    def test_up_it_is_the_number_that_was_meant(self, factor: float, ongoing: float) -> None:
        plain, gained = autoscaling("TokenLoad"), autoscaling("TokenLoad", upscaling_factor=factor)
        asked = context(plain, total_num_requests=ongoing)
        with_gain = context(gained, total_num_requests=ongoing)
        assert wrapped("TokenLoad", gained)(with_gain)[0] == wrapped("TokenLoad", plain)(asked)[0]

    @pytest.mark.parametrize("factor", [0.2, 0.9, 2.0])
    def test_down_too(self, factor: float) -> None:
        config = autoscaling("TokenLoad", downscaling_factor=factor, downscale_delay_s=0)
        decide = wrapped("TokenLoad", config)
        state: dict[str, Any] = {}
        for now_s in range(0, 1300, 100):
            many = {"current_num_replicas": 7, "target_num_replicas": 7, "total_num_requests": 8.0}
            number, state = decide(context(config, current_time=float(now_s), policy_state=state, **many))
            assert number in (7, 3)
        assert number == 3

    def test_the_baseline_keeps_them(self) -> None:
        config = autoscaling("OngoingRequests", upscaling_factor=2.0)
        assert wrapped("OngoingRequests", config)(context(config, total_num_requests=12.0))[0] == 4

    def test_a_sleeping_expert_wakes_with_as_many_as_the_factor_says(self) -> None:
        config = autoscaling("TokenLoad", upscaling_factor=3.0)
        asleep = {"current_num_replicas": 0, "target_num_replicas": 0}
        assert wrapped("TokenLoad", config)(context(config, **asleep))[0] == 3


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    found.now_s = 1000.0
    for module in (ray_policy, ray_state):
        monkeypatch.setattr(module, "time", found)
    return found


class Controller:
    """Serve's autoscaling of one application, without a cluster."""

    def __init__(self, clock: Clock, config: AutoscalingConfig, whole_application: bool = False) -> None:
        self.clock = clock
        self.state = ray_state.ApplicationAutoscalingState(EXPERT.app_name)
        if whole_application:
            self.state.register(config.policy)
            config = config.model_copy(update={"policy": AutoscalingPolicy()})
        info = SimpleNamespace(
            deployment_config=SimpleNamespace(autoscaling_config=config, gang_scheduling_config=None),
            target_capacity=None,
            target_capacity_direction=None,
            config_changed=lambda _: False,
        )
        self.target = int(self.state.register_deployment(EXPERT, info, 0))
        self.running: list[ReplicaID] = []

    def run(self, num_replicas: int) -> None:
        self.running = [ReplicaID(f"r{i}", EXPERT) for i in range(num_replicas)]
        self.state.update_running_replica_ids(EXPERT, self.running)

    def report(self, queued: float, stats: ReplicaStats | None = None) -> None:
        at_s = self.clock.now_s
        waiting = [TimeStampedValue(at_s, queued)]
        self.state.record_request_metrics_for_handle(
            HandleMetricReport(
                EXPERT,
                "h",
                "actor",
                DeploymentHandleSource.REPLICA,
                waiting,
                {RUNNING_REQUESTS_KEY: {}},
                at_s,
            )
        )
        for replica in self.running if stats else []:
            metrics = {
                name: [TimeStampedValue(at_s, value)]
                for name, value in (stats or ReplicaStats()).to_metrics().items()
            }
            self.state.record_request_metrics_for_replica(ReplicaMetricReport(replica, metrics, at_s))

    def tick(self, seconds: float = 0.1) -> int:
        self.clock.now_s += seconds
        old, decisions = self.target, self.state.get_decision_num_replicas({EXPERT: self.target})
        self.target = int(decisions[EXPERT])
        if self.target > old:
            self.state.record_scale_up(EXPERT)
        elif self.target < old:
            self.state.record_scale_down(EXPERT)
        return self.target


class TestController:
    @pytest.mark.parametrize("whole_application", [False, True])
    @pytest.mark.parametrize("name", POLICIES)
    def test_it_grows_and_shrinks(self, clock: Clock, name: str, whole_application: bool) -> None:
        config = autoscaling(name, downscale_delay_s=30, downscale_to_zero_delay_s=60)
        controller = Controller(clock, config, whole_application)
        controller.report(queued=2)
        assert controller.tick() == 1
        controller.run(1)
        controller.report(queued=20)
        assert controller.tick(1.5) == 5
        controller.run(5)
        for _ in range(1200):
            controller.report(queued=0)
            controller.tick(2)
            controller.run(controller.target)
        assert controller.target == 0

    @pytest.mark.parametrize("name", ["TokenLoad", "Slo", "GpuBudget"])
    def test_what_replicas_publish_arrives(self, clock: Clock, name: str) -> None:
        config = autoscaling(name)
        controller = Controller(clock, config)
        controller.target = 2
        controller.run(2)
        full = ReplicaStats(
            running_requests=2, context_tokens=9000, kv_capacity_tokens=6000, max_running_requests=16
        )
        controller.report(queued=4, stats=full)  # which stands for those that run
        assert controller.tick() == 4

    def test_named_for_a_deployment_a_burst_pays_two_starts(self, clock: Clock) -> None:
        controller = Controller(clock, autoscaling("TokenLoad"))
        for _ in range(100):
            controller.report(queued=20)
            assert controller.tick() == 1
        controller.run(1)
        assert controller.tick(1) == 5

    def test_unless_the_factor_says_how_many_wake(self, clock: Clock) -> None:
        controller = Controller(clock, autoscaling("TokenLoad", upscaling_factor=4.0))
        controller.report(queued=20)
        assert controller.tick() == 4
        controller.run(4)
        controller.report(queued=20)
        assert controller.tick(1) == 5

    @pytest.mark.parametrize("name", [name for name in POLICIES if name != "OngoingRequests"])
    def test_named_for_an_application_it_pays_one(self, clock: Clock, name: str) -> None:
        """Holds `_wake_with` against the installed Ray: a change of its cold path fails here."""
        controller = Controller(clock, autoscaling(name), whole_application=True)
        controller.report(queued=20)
        assert controller.tick() == 5
        controller.report(queued=26)
        assert controller.tick(1) == 7, "the burst goes on"
        controller.report(queued=1)
        assert controller.tick(1) == 7, "what starts is not stopped"

    def test_the_number_is_bounded(self, clock: Clock) -> None:
        controller = Controller(clock, autoscaling("TokenLoad"), whole_application=True)
        controller.report(queued=500)
        assert controller.tick() == 8

    def test_the_baseline_wakes_as_serve_does(self, clock: Clock) -> None:
        for whole_application in (False, True):
            controller = Controller(clock, autoscaling("OngoingRequests"), whole_application)
            controller.report(queued=20)
            assert controller.tick() == 1

    def test_equal_to_serves_default_at_every_tick(self, clock: Clock) -> None:
        ours = Controller(clock, autoscaling("OngoingRequests", upscale_delay_s=3, downscale_delay_s=7))
        config = autoscaling("OngoingRequests", upscale_delay_s=3, downscale_delay_s=7)
        serves = Controller(clock, config.model_copy(update={"policy": AutoscalingPolicy()}))
        for step in range(600):
            queued = (step * 37 % 41) / 3
            for controller in (ours, serves):
                controller.report(queued)
            expected = serves.tick(0.5)
            clock.now_s -= 0.5
            assert ours.tick(0.5) == expected
            for controller in (ours, serves):
                controller.run(expected)
