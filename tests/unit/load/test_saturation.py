"""A rate that rises until goodput falls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.load.saturation import PlannedStep, SaturationWatch

NUM = 20


def stairs(*rates: float) -> list[PlannedStep]:
    return [PlannedStep(10.0 * at, 10.0 * at + 10, rate, NUM) for at, rate in enumerate(rates)]


def watch(*rates: float, stop_below: float = 0.5) -> SaturationWatch:
    return SaturationWatch(stairs(*rates), stop_below)


def add(found: SaturationWatch, step: int, good: int, bad: int = 0) -> None:
    for number in range(good + bad):
        found.add(10.0 * step + 0.1 * number, number < good)


def test_good_steps_end_nothing() -> None:
    found = watch(1, 2, 4)
    for step in range(3):
        add(found, step, NUM)
        assert found.verdict() is None


def test_it_ends_when_less_good_work_comes_out_than_before() -> None:
    found = watch(1, 2, 3)
    add(found, 0, NUM)
    add(found, 1, NUM)
    assert found.verdict() is None
    add(found, 2, 12, 8)  # 1.8 good a second after 2
    assert "goodput fell at 3 requests/s" in (found.verdict() or "")


def test_more_good_work_is_no_end_though_the_share_falls() -> None:
    found = watch(1, 2, 3)
    add(found, 0, NUM)
    add(found, 1, NUM)
    add(found, 2, 15, 5)  # 2.25 after 2
    assert found.verdict() is None


def test_it_ends_when_the_share_is_too_small_even_in_the_first_step() -> None:
    found = watch(1, 2)
    add(found, 0, 9, 11)
    assert found.verdict() is not None


def test_it_waits_for_what_may_still_turn_out_good() -> None:
    found = watch(1, 2)
    add(found, 0, NUM)
    add(found, 1, 0, 9)
    assert found.verdict() is None
    found.add(15.0, False)
    found.add(15.0, False)  # at most 9 of 20 are left: 0.9 a second after 1
    assert found.verdict() is not None


def test_it_does_not_wait_for_the_last_straggler_once_it_is_certain() -> None:
    found = watch(1, 1.5)
    add(found, 0, NUM)
    add(found, 1, 1, 11)
    assert found.verdict() is not None


def test_an_empty_step_says_nothing() -> None:
    found = SaturationWatch([PlannedStep(0, 10, 1, 0), PlannedStep(10, 20, 2, NUM)], 0.5)
    assert found.verdict() is None
    add(found, 1, NUM)
    assert found.verdict() is None


def test_what_is_meant_for_after_the_last_step_is_not_counted() -> None:
    found = watch(1)
    found.add(10.0, False)
    assert found.verdict() is None


@given(
    shares=st.lists(st.integers(0, NUM), min_size=1, max_size=6),
    growth=st.floats(1.1, 3),
    stop_below=st.floats(0, 1),
)
def test_it_ends_at_the_first_step_that_the_rule_names(
    shares: list[int], growth: float, stop_below: float
) -> None:
    rates = [growth**at for at in range(len(shares))]
    found, best = watch(*rates, stop_below=stop_below), 0.0
    for step, good in enumerate(shares):
        add(found, step, good, NUM - good)
        share = 1 - (NUM - good) / NUM
        ends = share < stop_below or share * rates[step] < 0.95 * best
        assert (found.verdict() is not None) == ends
        if ends:
            return
        best = max(best, good / NUM * rates[step])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_answers_may_come_in_any_order(order: tuple[int, int]) -> None:
    found = watch(1, 2)
    for step in order:
        add(found, step, NUM)
    assert found.verdict() is None
