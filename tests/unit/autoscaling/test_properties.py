"""What holds for every policy: bounds, more for more, no to and fro, numbers that are numbers."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from modem.autoscaling.base import AnyPolicy, ExpertLoad
from modem.autoscaling.catalogue import POLICIES, params_of
from modem.autoscaling.pool import POOLS
from modem.autoscaling.stats import ReplicaStats
from tests.unit.autoscaling.world import World, closest, load

KWARGS: dict[str, dict[str, Any]] = {
    "OngoingRequests": {},
    "TokenLoad": {},
    "Slo": {"ttft_s": 2.0, "itl_s": 0.05},
    "Forecast": {},
    "GpuBudget": {"num_gpus": 100},
}
OURS = [name for name in POLICIES if name != "OngoingRequests"]

stats = st.builds(
    ReplicaStats,
    running_requests=st.floats(0, 200),
    waiting_requests=st.floats(0, 200),
    prefill_tokens=st.floats(0, 1e6),
    context_tokens=st.floats(0, 1e6),
    kv_capacity_tokens=st.sampled_from([0.0, 5000.0, 1e6]),
    max_running_requests=st.sampled_from([0.0, 8.0, 128.0]),
    prefill_tokens_per_s=st.sampled_from([0.0, 500.0, 1e4]),
    decode_step_s=st.floats(0, 0.2),
    ttft_s=st.floats(0, 10),
    startup_s=st.floats(0, 900),
)


@st.composite
def loads(draw: st.DrawFn) -> ExpertLoad:
    running = draw(st.integers(0, 12))
    low = draw(st.integers(0, 3))
    return load(
        now_s=draw(st.floats(0, 1e6)),
        running_replicas=running,
        target_replicas=draw(st.integers(0, 15)),
        min_replicas=low,
        max_replicas=low + draw(st.integers(1, 15)),
        ongoing_requests=draw(st.floats(0, 1000)),
        queued_requests=draw(st.floats(0, 500)),
        target_ongoing_requests=draw(st.floats(0.5, 128)),
        upscale_delay_s=draw(st.floats(0, 60)),
        downscale_delay_s=draw(st.floats(0, 900)),
        stats=tuple(draw(st.lists(stats, max_size=running))),
        last_scale_up_s=draw(st.none() | st.floats(0, 1e6)),
        last_scale_down_s=draw(st.none() | st.floats(0, 1e6)),
    )


def policy(name: str, **more: Any) -> AnyPolicy:
    POOLS.clear()
    return params_of(name, {**KWARGS[name], **more}).build()


@pytest.mark.parametrize("name", OURS)
class TestAnyLoad:
    @settings(max_examples=40)
    @given(sequence=st.lists(loads(), min_size=1, max_size=6))
    def test_numbers_are_within_the_bounds(self, name: str, sequence: list[ExpertLoad]) -> None:
        decider, state = policy(name), None
        for now in sorted(sequence, key=lambda each: each.now_s):
            decision = decider.decide(now, state)
            state = decision.state
            assert now.min_replicas <= decision.num_replicas <= now.max_replicas
            assert decision.num_replicas == int(decision.num_replicas)
            assert 0 <= decision.need < math.inf
            assert decision.reason

    @given(before=st.lists(loads(), max_size=3), now=loads(), more=st.floats(0, 1000), times=st.floats(1, 10))
    def test_more_load_never_means_fewer_replicas(
        self, name: str, before: list[ExpertLoad], now: ExpertLoad, more: float, times: float
    ) -> None:
        heavier = replace(
            now,
            ongoing_requests=now.ongoing_requests + more,
            stats=tuple(
                replace(
                    each, prefill_tokens=each.prefill_tokens * times, waiting_requests=each.waiting_requests
                )
                for each in now.stats
            ),
        )
        # A forecast takes more requests with the same tokens for smaller ones: here it may expect no rise.
        decider, state = policy(name, **({"certainty": 10.0} if name == "Forecast" else {})), None
        for each in sorted(before, key=lambda each: each.now_s):
            state = decider.decide(replace(each, now_s=min(each.now_s, now.now_s)), state).state
        less = decider.decide(now, state)
        most = decider.decide(heavier, state)
        assert most.num_replicas >= less.num_replicas
        assert most.need >= less.need - 1e-9 * less.need


@pytest.mark.parametrize("name", OURS)
class TestSteadyLoad:
    """Hours of a load that only chance moves: one change of direction in ten minutes at most."""

    @pytest.mark.parametrize(("rate", "burstiness"), [(0.4, 1), (2.0, 2), (3.0, 1)])
    def test_it_does_not_go_to_and_fro(self, name: str, rate: float, burstiness: float) -> None:
        world = World(policy(name), lambda _: rate, burstiness=burstiness).run(2 * 3600)
        assert closest(world.turns()) >= 600, world.targets

    @settings(max_examples=3, phases=[Phase.generate])  # nothing to shrink: any of them is as simple
    @given(rate=st.floats(0.3, 2.0), seed=st.integers(0, 10_000), startup_s=st.sampled_from([10.0, 120.0]))
    def test_whatever_the_load(self, name: str, rate: float, seed: int, startup_s: float) -> None:
        world = World(policy(name), lambda _: rate, seed=seed, startup_s=startup_s, max_replicas=12)
        assert closest(world.run(3600).turns()) >= 600, world.targets

    def test_it_answers_in_time_all_the_same(self, name: str) -> None:
        world = World(policy(name), lambda _: 2.0, startup_s=30.0).run(900)
        world.waits.clear()
        world.run(1800, begin_s=900)
        assert sum(wait <= 2 for wait in world.waits) >= 0.99 * len(world.waits)


def test_the_baseline_does_go_to_and_fro() -> None:
    """Even with Serve's delay of ten minutes: what the others' rules are for."""
    world = World(policy("OngoingRequests"), lambda _: 4.0, downscale_delay_s=600).run(3600)
    assert closest(world.turns()) < 600


@pytest.mark.parametrize("name", OURS)
def test_a_load_that_goes_frees_what_it_held(name: str) -> None:
    world = World(policy(name), lambda t: 3.0 if t < 900 else 0.2, start_replicas=5).run(900)
    assert world.target >= 4
    world.run(1500, begin_s=900)
    assert world.target <= 2


@pytest.mark.parametrize("name", OURS)
def test_a_step_is_followed_at_once(name: str) -> None:
    world = World(policy(name), lambda t: 0.4 if t < 600 else 4.0, startup_s=30.0).run(660)
    assert world.target >= 4
