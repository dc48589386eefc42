import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.autoscaling.hysteresis import NUM_BUCKETS, HoldParams, Needs, settle
from tests.unit.autoscaling.world import load

PARAMS = HoldParams(hold_s=600)


def settled(need: float, before: Needs | None = None, **changes: Any) -> int:
    return settle(load(**changes), need, PARAMS, before)[0]


def needs_of(*needs: tuple[float, float], window_s: float = 600) -> Needs:
    """Needs at times."""
    found = Needs(window_s, needs[0][0])
    for at_s, need in needs:
        found = found.note(at_s, need)
    return found


class TestUp:
    @pytest.mark.parametrize(
        ("need", "number"), [(2.0, 2), (2.19, 2), (2.2, 2), (2.21, 3), (3.0, 3), (3.01, 4), (99, 10)]
    )
    def test_beyond_the_tolerance_it_rounds_up(self, need: float, number: int) -> None:
        assert settled(need) == number

    def test_any_need_wakes(self) -> None:
        assert settled(0.001, running_replicas=0, target_replicas=0) == 1

    def test_after_a_step_down_it_waits(self) -> None:
        assert settled(2.9, last_scale_down_s=500.0) == 2

    def test_but_not_for_ever(self) -> None:
        assert settled(2.9, last_scale_down_s=400.0) == 3

    def test_and_not_for_a_surge(self) -> None:
        assert settled(3.01, last_scale_down_s=999.0) == 4

    def test_the_direction_that_counts_is_that_of_the_last_step(self) -> None:
        assert settled(2.9, last_scale_down_s=500.0, last_scale_up_s=600.0) == 3
        assert settled(2.9, last_scale_down_s=600.0, last_scale_up_s=500.0) == 2

    def test_an_expert_that_just_went_to_sleep_wakes(self) -> None:
        assert settled(0.5, running_replicas=0, target_replicas=0, last_scale_down_s=999.0) == 1


class TestDown:
    def test_what_was_not_needed_for_long_enough_goes(self) -> None:
        assert settled(1.0, needs_of((0, 1.0), (700, 1.0), (900, 1.0)), target_replicas=4) == 2

    def test_not_before(self) -> None:
        assert settled(1.0, needs_of((450, 1.0), (900, 1.0)), target_replicas=4) == 4

    def test_the_largest_need_since_it_was_last_needed_stays(self) -> None:
        assert settled(1.0, needs_of((0, 1.0), (700, 2.5), (900, 1.0)), target_replicas=4) == 3

    def test_a_need_within_the_tolerance_of_all_keeps_all(self) -> None:
        # 2.8 with a tenth more does not fit into three.
        assert settled(1.0, needs_of((0, 1.0), (700, 2.8), (900, 1.0)), target_replicas=4) == 4
        assert settled(1.0, needs_of((0, 1.0), (700, 2.7), (900, 1.0)), target_replicas=4) == 3

    def test_a_step_up_is_not_undone_at_once(self) -> None:
        quiet = needs_of((0, 1.0), (500, 1.0), (900, 1.0))
        assert settled(1.0, quiet, target_replicas=4, last_scale_up_s=500.0) == 4
        assert settled(1.0, quiet, target_replicas=4, last_scale_up_s=400.0) == 2

    def test_serves_own_delay_is_part_of_the_time(self) -> None:
        quiet = needs_of((700, 1.0), (900, 1.0))
        assert settled(1.0, quiet, target_replicas=4, downscale_delay_s=200) == 4
        assert settled(1.0, quiet, target_replicas=4, downscale_delay_s=300) == 2

    def test_with_a_delay_of_serves_that_is_longer_the_rest_is_its_matter(self) -> None:
        assert settled(1.0, needs_of((999, 1.0)), target_replicas=4, downscale_delay_s=600) == 2

    def test_then_too_the_largest_need_since_counts_and_not_the_last(self) -> None:
        lately = needs_of((500, 4.0), (600, 2.5), (900, 0.5))
        assert settled(0.5, lately, target_replicas=4, downscale_delay_s=600) == 3

    @pytest.mark.parametrize("delay_s", [0, 600, 900])
    def test_what_is_needed_now_stays_whatever_the_delay(self, delay_s: float) -> None:
        assert settled(3.7, target_replicas=4, downscale_delay_s=delay_s) == 4

    def test_a_policy_that_has_just_been_made_waits_its_time(self) -> None:
        assert settled(0.0, None, target_replicas=4) == 4

    @pytest.mark.parametrize(("need", "number"), [(0.0, 0), (0.001, 1), (1.0, 1), (1.1, 1)])
    def test_the_last_replica_is_serves_matter(self, need: float, number: int) -> None:
        assert settled(need, target_replicas=1, running_replicas=1) == number


class TestBounds:
    @given(
        need=st.floats(0, 1000),
        target=st.integers(0, 50),
        low=st.integers(0, 5),
        more=st.integers(1, 20),
        delay_s=st.floats(0, 1000),
    )
    def test_are_kept(self, need: float, target: int, low: int, more: int, delay_s: float) -> None:
        number = settled(
            need,
            target_replicas=target,
            min_replicas=low,
            max_replicas=low + more,
            downscale_delay_s=delay_s,
        )
        assert low <= number <= low + more


class TestNeeds:
    def test_the_highest_of_the_window_is_known(self) -> None:
        assert needs_of((0, 5.0), (100, 1.0)).highest == 5.0
        assert needs_of((0, 5.0), (701, 1.0)).highest == 1.0
        assert Needs(600, 0.0).highest == 0

    @given(
        steps=st.lists(st.tuples(st.floats(0.1, 400), st.floats(0, 100)), min_size=1, max_size=200),
        window_s=st.floats(1, 1000),
    )
    def test_it_is_never_less_than_the_truth_and_never_older_than_a_bucket_more(
        self, steps: list[tuple[float, float]], window_s: float
    ) -> None:
        needs, now_s, seen = Needs(window_s, 0.0), 0.0, []
        for wait_s, need in steps:
            now_s += wait_s
            seen.append((now_s, need))
            needs = needs.note(now_s, need)
        exact = max(need for at_s, need in seen if at_s >= now_s - window_s)
        loose = max(need for at_s, need in seen if at_s >= now_s - window_s * (1 + 1 / NUM_BUCKETS) - 1e-6)
        assert exact <= needs.highest <= loose
        assert len(needs.peaks) <= NUM_BUCKETS + 2


class TestAnyLoad:
    """With Serve around it, no load whatever makes it turn twice within the time, unless it surges."""

    @given(
        needs=st.lists(st.floats(0.5, 12), min_size=50, max_size=300),
        step_s=st.sampled_from([1.0, 7.0, 30.0]),
        delay_s=st.sampled_from([0.0, 100.0, 600.0, 900.0]),
        hold_s=st.sampled_from([120.0, 600.0]),
    )
    def test_two_turns_are_that_far_apart(
        self, needs: list[float], step_s: float, delay_s: float, hold_s: float
    ) -> None:
        params = HoldParams(hold_s=hold_s, surge=10)
        now_s, target, before = 0.0, 3, None
        up_s = down_s = low_since_s = None
        turns: list[tuple[float, int]] = []
        for need in needs:
            now_s += step_s
            now = load(
                now_s=now_s,
                target_replicas=target,
                min_replicas=1,
                max_replicas=20,
                downscale_delay_s=delay_s,
                last_scale_up_s=up_s,
                last_scale_down_s=down_s,
            )
            number, before = settle(now, need, params, before)
            low_since_s = None if number >= target else now_s if low_since_s is None else low_since_s
            if number > target:
                turns.append((now_s, 1))
                target, up_s = number, now_s
            elif low_since_s is not None and now_s - low_since_s >= delay_s:
                turns.append((now_s, -1))
                target, down_s, low_since_s = number, now_s, None
        gaps = [b[0] - a[0] for a, b in pairwise(turns) if a[1] != b[1]]
        # A need of ten times what there is would end the wait: with 1 to 12 only from one replica.
        surges = any(need > 10 for need in needs)
        assert surges or min(gaps, default=math.inf) >= hold_s - 1e-6, turns
