import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modem.autoscaling.base import Decision
from modem.autoscaling.growth import MIN_AGE_S, NUM_SAMPLES, History
from modem.autoscaling.slo import Slo, SloParams, SloState
from modem.autoscaling.stats import ReplicaStats
from modem.autoscaling.step_time import StepTime, StepTimes
from tests.unit.autoscaling.world import load

IDLE = ReplicaStats(
    kv_capacity_tokens=100_000, max_running_requests=16, prefill_tokens_per_s=1000, startup_s=100
)


def slo(**params: Any) -> Slo:
    return Slo(SloParams(**{"ttft_s": 2.0, "headroom": 0, **params}))


def first(*stats: ReplicaStats, params: dict[str, Any] | None = None, **changes: Any) -> Decision[SloState]:
    return slo(**(params or {})).decide(load(stats=stats, **changes), None)


class TestCapacity:
    def test_is_the_batch(self) -> None:
        decision = first(IDLE, IDLE, ongoing_requests=40)
        assert (decision.need, decision.reason) == (2.5, "batch")

    def test_is_the_configured_target_where_no_batch_is_known(self) -> None:
        assert first(ongoing_requests=40).need == 5

    def test_is_what_fits_into_the_kv_cache(self) -> None:
        heavy = replace(IDLE, running_requests=10, context_tokens=100_000)  # 10,000 each: 8 fit into 80 %
        decision = first(heavy, heavy, ongoing_requests=20)
        assert (decision.need, decision.reason) == (2.5, "kv")

    def test_a_request_larger_than_the_cache_takes_a_replica_and_not_more(self) -> None:
        huge = replace(IDLE, running_requests=1, context_tokens=500_000)
        assert first(huge, huge, ongoing_requests=2).need == 2

    def test_is_the_batch_whose_step_is_short_enough(self) -> None:
        given = {"itl_s": 0.05, "decode_step_s": 0.02, "decode_step_per_request_s": 0.003}
        decision = first(IDLE, IDLE, ongoing_requests=40, params=given)
        assert (decision.need, decision.reason) == (4, "itl")

    def test_a_step_that_no_number_of_replicas_shortens_is_left_alone(self) -> None:
        given = {"itl_s": 0.01, "decode_step_s": 0.02, "decode_step_per_request_s": 0.003}
        assert first(IDLE, IDLE, ongoing_requests=40, params=given).reason == "batch"

    def test_the_step_is_learned(self) -> None:
        policy, state = slo(itl_s=0.05, max_growth=1), None
        for second in range(20):
            busy = second % 10
            stats = replace(IDLE, running_requests=busy, decode_step_s=0.02 + 0.003 * busy)
            state = policy.decide(load(now_s=1000.0 + second, stats=(stats, stats)), state).state
        decision = policy.decide(load(now_s=1020.0, stats=(IDLE, IDLE), ongoing_requests=40), state)
        assert decision.reason == "itl"
        assert decision.need == pytest.approx(4)

    def test_chance_gets_square_roots(self) -> None:
        assert first(IDLE, IDLE, ongoing_requests=36, params={"headroom": 2.0}).need == 3


class TestReading:
    def test_prompts_are_read_in_time(self) -> None:
        # A hundredth may wait longer than 2 s: with exponential waits the mean is 2 / ln(100) = 0.434 s.
        long = replace(IDLE, waiting_requests=2, prefill_tokens=1000)
        decision = first(long, long, ongoing_requests=4)
        assert decision.reason == "prefill"
        assert decision.need == pytest.approx(2000 / (1000 * 2 / math.log(100)))

    def test_reading_the_prompt_itself_is_part_of_the_time(self) -> None:
        busy = replace(IDLE, running_requests=2, context_tokens=2000, waiting_requests=2, prefill_tokens=1000)
        decision = first(busy, busy, ongoing_requests=8)
        assert decision.need == pytest.approx(2000 / (1000 * (2 - 1) / math.log(100)))

    def test_a_prompt_that_takes_longer_than_the_target_alone_does_not_ask_for_infinity(self) -> None:
        busy = replace(IDLE, running_requests=2, context_tokens=20_000, prefill_tokens=1000)
        assert first(busy, busy, ongoing_requests=4).need < 50

    def test_prompts_that_wait_for_a_place_need_places_and_not_reading(self) -> None:
        full = replace(
            IDLE, running_requests=16, context_tokens=16_000, waiting_requests=20, prefill_tokens=20_000
        )
        decision = first(full, full, ongoing_requests=72)
        assert (decision.need, decision.reason) == (4.5, "batch")
        half = replace(full, running_requests=8, context_tokens=8000)
        assert first(half, half, ongoing_requests=56).reason == "prefill"

    def test_requests_at_the_gateways_count_as_places(self) -> None:
        assert first(IDLE, IDLE, ongoing_requests=72, queued_requests=72).reason == "batch"


class TestLate:
    LATE = replace(IDLE, running_requests=16, waiting_requests=3, ttft_s=5.0)

    def test_first_tokens_that_are_late_ask_for_one_more(self) -> None:
        decision = first(self.LATE, self.LATE, ongoing_requests=30)
        assert (decision.need, decision.reason, decision.num_replicas) == (3, "late", 3)

    def test_not_while_one_starts(self) -> None:
        assert first(self.LATE, self.LATE, ongoing_requests=30, target_replicas=3).reason == "batch"

    def test_not_if_nobody_waits(self) -> None:
        quick = replace(self.LATE, waiting_requests=0)
        assert first(quick, quick, ongoing_requests=30).reason == "batch"

    def test_not_if_they_are_in_time(self) -> None:
        quick = replace(self.LATE, ttft_s=1.9)
        assert first(quick, quick, ongoing_requests=30).reason == "batch"


class TestLookingAhead:
    def grown(self, per_s: float, **params: Any) -> Decision[SloState]:
        """The decision after a minute in which the load grew so fast, from 40 requests on."""
        policy, state = slo(**params), None
        for second in range(61):
            now = load(now_s=1000.0 + second, stats=(IDLE, IDLE), ongoing_requests=40 + per_s * second)
            decision = policy.decide(now, state)
            state = decision.state
        return decision

    def test_a_load_that_grows_is_met_where_it_will_be(self) -> None:
        # 100 requests now; 1 a second more for the 100 s that a replica takes. Part of it might be chance.
        assert 160 / 16 > self.grown(1.0).need > 120 / 16

    def test_certainty_is_a_matter_of_taste(self) -> None:
        assert self.grown(1.0, certainty=0.0).need == pytest.approx(200 / 16)
        assert self.grown(1.0, certainty=9.0).need == pytest.approx(100 / 16)

    def test_the_time_to_start_may_be_given(self) -> None:
        assert self.grown(1.0, certainty=0.0, startup_s=50).need == pytest.approx(150 / 16)

    def test_no_further_than_the_bound(self) -> None:
        assert self.grown(10.0, startup_s=1000).need == pytest.approx(2 * 640 / 16)
        assert self.grown(10.0, startup_s=1000, max_growth=1.0).need == pytest.approx(640 / 16)

    def test_a_load_that_shrinks_is_not_forestalled(self) -> None:
        assert self.grown(-0.5).need == pytest.approx(10 / 16)

    def test_growth_under_fewer_replicas_does_not_count(self) -> None:
        policy, state = slo(certainty=0.0), None
        for second in range(61):
            now = load(now_s=1000.0 + second, stats=(IDLE, IDLE), ongoing_requests=40.0 + second)
            state = policy.decide(now, state).state
        more = load(now_s=1061.0, stats=(IDLE,) * 3, running_replicas=3, ongoing_requests=101)
        assert policy.decide(more, state).need == pytest.approx(101 / 16)

    def test_a_queue_before_a_sleeping_expert_is_no_growth(self) -> None:
        policy, state = slo(certainty=0.0, startup_s=100), None
        for second in range(61):
            now = load(
                now_s=1000.0 + second, running_replicas=0, target_replicas=1, ongoing_requests=float(second)
            )
            decision = policy.decide(now, state)
            state = decision.state
        assert decision.need == pytest.approx(60 / 8)


class TestHistory:
    @given(a=st.floats(0, 1000), b=st.floats(0, 1000), certainty=st.floats(0, 5))
    def test_growth_is_what_exceeds_chance(self, a: float, b: float, certainty: float) -> None:
        history = History(2).note(0, a, 2, 600)
        expected = (b - a - certainty * math.sqrt(a + b)) / 60
        assert history.growth_per_s(60, b, certainty) == pytest.approx(max(0.0, expected))

    def test_what_is_too_young_says_nothing(self) -> None:
        history = History(2).note(0, 1, 2, 600)
        assert history.growth_per_s(MIN_AGE_S - 1, 1000, 1) == 0

    def test_the_steepest_rise_counts(self) -> None:
        history = History(2).note(0, 0, 2, 600).note(60, 0, 2, 600)
        assert history.growth_per_s(80, 100, 0) == pytest.approx(5)

    @given(steps=st.lists(st.floats(0.1, 100), max_size=300), window_s=st.floats(60, 600))
    def test_it_stays_small_and_young(self, steps: list[float], window_s: float) -> None:
        history, now_s = History(2), 0.0
        for step_s in steps:
            now_s += step_s
            history = history.note(now_s, 1.0, 2, window_s)
        assert len(history.samples) <= NUM_SAMPLES + 1
        assert all(at_s >= now_s - window_s for at_s, _ in history.samples)


class TestStepTimes:
    @given(base=st.floats(0.001, 0.1), slope=st.floats(0.0001, 0.01), seed=st.integers(0, 100))
    def test_a_line_is_found(self, base: float, slope: float, seed: int) -> None:
        points = [(float(x), base + slope * x) for x in range(seed % 7, seed % 7 + 12)]
        line = StepTimes().observe(0, points).line()
        assert line is not None
        assert line.base_s == pytest.approx(base, abs=1e-6)
        assert line.per_request_s == pytest.approx(slope, rel=1e-4)

    def test_one_batch_is_no_line(self) -> None:
        assert StepTimes().observe(0, [(5.0, 0.05)] * 100).line() is None

    def test_a_few_points_are_no_line(self) -> None:
        assert StepTimes().observe(0, [(1.0, 0.02), (9.0, 0.03)]).line() is None

    def test_what_is_old_fades(self) -> None:
        old = StepTimes().observe(0, [(float(x), 0.5) for x in range(20)])
        new = old.observe(20_000, [(float(x), 0.02 + 0.001 * x) for x in range(20)])
        line = new.line()
        assert line is not None
        assert line.base_s == pytest.approx(0.02, abs=1e-3)

    def test_a_falling_line_is_taken_as_flat(self) -> None:
        line = StepTimes().observe(0, [(float(x), 0.05 - 0.001 * x) for x in range(12)]).line()
        assert line is not None
        assert line.per_request_s == 0
        assert line.most_requests(0.001) == math.inf

    def test_a_line_below_zero_goes_through_it_instead(self) -> None:
        line = StepTimes().observe(0, [(float(x), 0.01 * (x - 2)) for x in range(3, 15)]).line()
        assert line is not None
        assert line.base_s == 0
        assert line.per_request_s > 0

    @given(base=st.floats(0, 0.1), slope=st.floats(1e-5, 0.01), step_s=st.floats(0.001, 1))
    def test_the_most_requests_just_fit(self, base: float, slope: float, step_s: float) -> None:
        most = StepTime(base, slope).most_requests(step_s)
        assume(most != math.inf)
        assert base + slope * most == pytest.approx(step_s)
        assert most >= 1
