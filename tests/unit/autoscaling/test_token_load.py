from dataclasses import replace
from typing import Any

import pytest

from modem.autoscaling.stats import ReplicaStats
from modem.autoscaling.token_load import TokenLoad, TokenLoadParams
from tests.unit.autoscaling.world import load

IDLE = ReplicaStats(kv_capacity_tokens=10_000, max_running_requests=32, prefill_tokens_per_s=1000)


def decided(*stats: ReplicaStats, ongoing: float = 8, **params: Any) -> tuple[float, str]:
    decision = TokenLoad(TokenLoadParams(**params)).decide(load(ongoing_requests=ongoing, stats=stats), None)
    return decision.need, decision.reason


class TestNeed:
    def test_without_tokens_it_is_serves_rule(self) -> None:
        assert decided(ongoing=20) == (2.5, "requests")

    def test_places_are_scarce(self) -> None:
        assert decided(IDLE, IDLE, ongoing=24) == (3.0, "requests")

    def test_kv_cache_is_scarce(self) -> None:
        full = replace(IDLE, running_requests=4, context_tokens=12_000)
        assert decided(full, full) == (3.0, "kv")

    def test_prompts_that_will_be_read_take_kv_too(self) -> None:
        full = replace(
            IDLE, running_requests=2, waiting_requests=2, context_tokens=10_000, prefill_tokens=2000
        )
        assert decided(full, full, prefill_wait_s=10) == (3.0, "kv")

    def test_reading_is_scarce(self) -> None:
        long = replace(IDLE, waiting_requests=4, prefill_tokens=1500)
        assert decided(long, long) == (3.0, "prefill")

    def test_ten_long_prompts_count_as_what_they_are(self) -> None:
        short = replace(IDLE, waiting_requests=5, prefill_tokens=5 * 20)
        long = replace(IDLE, waiting_requests=5, prefill_tokens=5 * 2000)
        assert decided(short, short, ongoing=10)[0] < 2 < 10 < decided(long, long, ongoing=10)[0]

    def test_a_request_in_line_counts_as_much_as_one_that_runs(self) -> None:
        running = replace(IDLE, running_requests=2, context_tokens=1000)
        # Two more wait at the gateway: 500 tokens each, that must be read and then held.
        assert decided(running, ongoing=4, prefill_wait_s=0.5) == (2.0, "prefill")

    def test_what_is_given_replaces_what_was_measured(self) -> None:
        long = replace(IDLE, waiting_requests=4, prefill_tokens=1500)
        assert decided(long, long, prefill_tokens_per_s=1500) == (2.0, "prefill")
        full = replace(IDLE, running_requests=4, context_tokens=12_000)
        assert decided(full, full, kv_capacity_tokens=30_000) == (1.0, "requests")

    @pytest.mark.parametrize(("wait_s", "need"), [(0.5, 6.0), (1.0, 3.0), (2.0, 1.5)])
    def test_who_may_wait_longer_needs_fewer(self, wait_s: float, need: float) -> None:
        long = replace(IDLE, waiting_requests=4, prefill_tokens=1500)
        assert decided(long, long, prefill_wait_s=wait_s) == (need, "prefill")


class TestMemory:
    def test_a_sleeping_expert_is_sized_by_what_it_showed_awake(self) -> None:
        policy = TokenLoad(TokenLoadParams(prefill_wait_s=1))
        awake = replace(IDLE, running_requests=2, context_tokens=1000)
        state = policy.decide(load(stats=(awake, awake)), None).state
        asleep = load(now_s=2000.0, running_replicas=0, target_replicas=0, ongoing_requests=10)
        decision = policy.decide(asleep, state)
        assert (decision.need, decision.reason, decision.num_replicas) == (5.0, "prefill", 5)

    def test_a_new_expert_knows_only_requests(self) -> None:
        asleep = load(running_replicas=0, target_replicas=0, ongoing_requests=20)
        decision = TokenLoad(TokenLoadParams()).decide(asleep, None)
        assert (decision.need, decision.reason, decision.num_replicas) == (2.5, "requests", 3)
