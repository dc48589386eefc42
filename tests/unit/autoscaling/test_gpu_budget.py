import random
from typing import Any

import pytest

from modem.autoscaling.gpu_budget import BudgetState, GpuBudget, GpuBudgetParams
from modem.autoscaling.pool import SILENT_S, WAKING_S, Pools
from tests.unit.autoscaling.world import World, closest, load

INNER = {"kind": "token_load"}


@pytest.fixture
def pools() -> Pools:
    return Pools()


def budget(pools: Pools, **params: Any) -> GpuBudget:
    return GpuBudget(GpuBudgetParams.model_validate({"num_gpus": 4, "policy": INNER, **params}), pools)


class Member:
    """One expert of a pool, asked again and again."""

    def __init__(self, pools: Pools, name: str, **params: Any) -> None:
        self.policy = budget(pools, **params)
        self.name = name
        self.state: BudgetState | None = None

    def ask(self, now_s: float, replicas: int, ongoing: float, **changes: Any) -> int:
        now = load(
            expert=self.name,
            now_s=now_s,
            **{
                "running_replicas": replicas,
                "target_replicas": replicas,
                "ongoing_requests": ongoing,
                **changes,
            },
        )
        decision = self.policy.decide(now, self.state)
        self.state = decision.state
        self.reason = decision.reason
        return int(decision.num_replicas)


class TestAlone:
    def test_it_is_the_policy_within(self, pools: Pools) -> None:
        member = Member(pools, "a")
        assert member.ask(0, 2, 20) == 3
        assert member.reason == "requests"

    def test_up_to_the_pool(self, pools: Pools) -> None:
        member = Member(pools, "a")
        assert member.ask(0, 2, 80) == 4
        assert member.reason == "budget"

    def test_a_replica_may_take_several_gpus(self, pools: Pools) -> None:
        assert Member(pools, "a", num_gpus=8, gpus_per_replica=4).ask(0, 1, 80) == 2

    def test_its_least_goes_beyond_the_pool(self, pools: Pools) -> None:
        assert Member(pools, "a", num_gpus=1).ask(0, 1, 5, min_replicas=3) == 3

    def test_the_last_replica_stays_for_a_while_after_its_last_request(self, pools: Pools) -> None:
        member = Member(pools, "a", idle_s=300)
        assert member.ask(0, 1, 5) == 1
        assert member.ask(299, 1, 0) == 1
        assert member.ask(361, 1, 0) == 0

    def test_a_new_policy_gives_nothing_back_at_once(self, pools: Pools) -> None:
        assert Member(pools, "a").ask(0, 3, 0.1) == 3


class TestTogether:
    def test_what_is_promised_to_one_is_not_given_to_another(self, pools: Pools) -> None:
        a, b = Member(pools, "a"), Member(pools, "b")
        assert (a.ask(0, 1, 4), b.ask(0, 1, 4)) == (1, 1)
        # In one round of the control loop both want all that is free.
        first, second = a.ask(1, 1, 80), b.ask(1, 1, 80)
        assert first + second <= 4

    def test_nothing_is_given_before_it_is_free(self, pools: Pools) -> None:
        a, b = Member(pools, "a", turn_s=0), Member(pools, "b", turn_s=0)
        assert a.ask(0, 4, 32) == 4
        assert b.ask(0, 0, 8) == 0
        assert a.ask(1, 4, 32) == 3
        assert b.ask(1, 0, 8) == 0
        assert a.ask(2, 3, 32) == 3
        assert b.ask(2, 0, 8) == 1

    def test_a_sleeping_expert_takes_from_one_that_idles(self, pools: Pools) -> None:
        a, b = Member(pools, "a"), Member(pools, "b")
        a.ask(0, 4, 32)
        assert a.ask(61, 4, 1) == 4  # nobody wants them
        assert b.ask(61, 0, 20) == 0
        assert a.ask(62, 4, 1) == 1
        assert a.ask(63, 1, 1) == 1
        assert b.ask(63, 0, 20) == 3

    def test_pools_have_nothing_to_do_with_each_other(self, pools: Pools) -> None:
        a, b = Member(pools, "a", pool="one"), Member(pools, "b", pool="two")
        assert (a.ask(0, 2, 80), b.ask(0, 2, 80)) == (4, 4)

    def test_the_policy_within_does_not_forget_its_wish(self, pools: Pools) -> None:
        a, b = Member(pools, "a"), Member(pools, "b")
        for second in range(5):
            a.ask(second, 2, 32)
            b.ask(second, 2, 32)
        assert a.state is not None
        assert a.state.wish == 4
        b.ask(100, 0, 0)
        b.ask(161, 0, 0)
        assert a.ask(162, 2, 32) == 4

    def test_after_a_step_down_it_waits_its_turn(self, pools: Pools) -> None:
        member = Member(pools, "a")
        assert member.ask(0, 2, 22, last_scale_down_s=-599.0) == 2
        assert member.ask(2, 2, 22, last_scale_down_s=-599.0) == 3


class TestSilence:
    """Serve does not call a deployment's policy while requests wait and none runs."""

    def test_a_sleeper_that_falls_silent_is_being_woken(self, pools: Pools) -> None:
        a, b = Member(pools, "a"), Member(pools, "b")
        b.ask(0, 0, 0)
        assert a.ask(1, 4, 40) == 4
        assert a.ask(20, 4, 40) == 3

    def test_not_for_ever(self, pools: Pools) -> None:
        a, b = Member(pools, "a"), Member(pools, "b")
        b.ask(0, 0, 0)
        assert a.ask(WAKING_S + 1, 4, 40) == 4

    def test_who_was_awake_and_falls_silent_is_gone(self, pools: Pools) -> None:
        a, b = Member(pools, "a"), Member(pools, "b")
        b.ask(0, 2, 16)
        assert a.ask(SILENT_S, 2, 40) == 2
        assert a.ask(SILENT_S + 1, 2, 40) == 4

    def test_what_another_run_left_does_not_count(self, pools: Pools) -> None:
        a, b = Member(pools, "a"), Member(pools, "b")
        b.ask(5000, 3, 24)
        assert a.ask(0, 2, 40) == 4

    def test_all_can_be_forgotten(self, pools: Pools) -> None:
        a, b = Member(pools, "a"), Member(pools, "b")
        b.ask(0, 3, 24)
        pools.clear()
        assert Member(pools, "a").ask(0, 2, 40) == 4
        assert a.ask(0, 2, 40) == 4, "a pool is looked up by its name at every call"


def together(worlds: list[World], seconds: int) -> None:
    for now_s in range(seconds):
        for world in worlds:
            world.step(float(now_s))


def member(pools: Pools, name: str, rate: float, **params: Any) -> World:
    policy = budget(pools, **{"interval_s": 5, **params})
    return World(policy, lambda _: rate, name=name, min_replicas=0, start_replicas=0, startup_s=30)


class TestHours:
    def test_the_pool_is_never_exceeded(self, pools: Pools) -> None:
        rng = random.Random(1)
        worlds = [member(pools, name, rng.uniform(0.1, 2.0), num_gpus=6) for name in "abcd"]
        for now_s in range(900):
            for world in worlds:
                world.step(float(now_s))
            assert sum(max(world.running, world.target) for world in worlds) <= 6
        assert sum(world.target for world in worlds) == 6

    def test_with_more_experts_than_gpus_everyone_has_its_turn(self, pools: Pools) -> None:
        worlds = [member(pools, name, 0.3, num_gpus=2, turn_s=120) for name in "abcde"]
        ran = {world.name: 0 for world in worlds}
        for now_s in range(2400):
            for world in worlds:
                world.step(float(now_s))
                ran[world.name] += world.running > 0
        assert min(ran.values()) > 200, ran

    def test_a_small_expert_is_not_starved_by_a_large_one(self, pools: Pools) -> None:
        large = member(pools, "large", 20.0, weight=100.0)
        small = member(pools, "small", 0.05)
        together([large, small], 1200)
        assert (small.running, large.running) == (1, 3)
        assert max(small.waits) < 120

    def test_a_steady_contest_does_not_make_replicas_wander(self, pools: Pools) -> None:
        worlds = [member(pools, name, 2.0, num_gpus=5) for name in "ab"]
        together(worlds, 3600)
        for world in worlds:
            assert closest(world.turns()) >= 600, world.targets

    def test_capacity_follows_the_load(self, pools: Pools) -> None:
        a = World(budget(pools), lambda t: 2.0 if t < 1800 else 0.0, name="a", min_replicas=0, startup_s=30)
        b = World(budget(pools), lambda t: 0.0 if t < 1800 else 2.0, name="b", min_replicas=0, startup_s=30)
        together([a, b], 1500)
        assert (a.target, b.target) == (4, 0)
        for now_s in range(1500, 2400):
            a.step(float(now_s))
            b.step(float(now_s))
        assert (a.target, b.target) == (0, 4)
