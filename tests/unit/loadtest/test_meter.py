"""The client measures itself."""

import gevent
import pytest

from loadtest.meter import Meter


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_sample_is_of_the_time_since_the_last() -> None:
    clock, cpu = Clock(), Clock()
    meter = Meter(2, 100.0, clock, cpu)
    meter.lagged(0.001)
    meter.lagged(0.004)
    meter.sent("math", 0.002)
    meter.sent("math", 0.001)
    meter.sent("other", 0.0)
    clock.now_s, cpu.now_s = 102.0, 100.5
    first = meter.sample()
    assert (first.worker, first.t_s, first.cpu_share) == (2, 2.0, 0.25)
    assert (first.lag_max_s, first.lag_mean_s, first.late_max_s) == (0.004, 0.0025, 0.002)
    assert (first.num_sent, first.sent) == (3, {"math": 2, "other": 1})
    clock.now_s = 103.0
    second = meter.sample()
    assert (second.lag_max_s, second.lag_mean_s, second.late_max_s, second.cpu_share) == (0, 0, 0, 0)
    assert second.num_sent == 3


def test_what_is_in_flight_is_counted_until_it_ends_even_by_failing() -> None:
    meter = Meter(0, 0.0, Clock(), Clock())
    with meter.one_in_flight():
        assert meter.sample().in_flight == 1
        with pytest.raises(ValueError, match="no"), meter.one_in_flight():
            raise ValueError("no")
    assert meter.num_in_flight == 0


def test_a_busy_event_loop_is_seen() -> None:
    clock = Clock()
    meter = Meter(0, 0.0, clock, Clock())
    watching = gevent.spawn(meter.watch)
    gevent.sleep(0.01)
    clock.now_s += 0.5  # as if something had held the loop
    gevent.sleep(0.05)
    watching.kill()
    assert meter.sample().lag_max_s >= 0.4
