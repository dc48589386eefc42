from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modem.load.curve import Curve, Point

LEVELS = st.floats(0, 50).map(lambda value: round(value, 3))


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    times = sorted(draw(st.lists(st.integers(0, 100), min_size=1, max_size=6)))
    points: list[Point] = [(float(t_s), draw(LEVELS)) for t_s in times]
    return Curve.of(points, draw(st.integers(1, 120)))


def test_one_point_is_a_level() -> None:
    curve = Curve.of([(0.0, 3.0)], 20.0)
    assert [curve.at(t_s) for t_s in (0, 7, 20, 99)] == [3.0, 3.0, 3.0, 3.0]
    assert curve.total == 60.0
    assert curve.span_s == 20.0


def test_between_points_are_straight_lines() -> None:
    curve = Curve.of([(0.0, 1.0), (10.0, 5.0)], 20.0)
    assert [curve.at(t_s) for t_s in (0, 5, 10, 15)] == [1.0, 3.0, 5.0, 5.0]
    assert curve.total == 10 * 3 + 10 * 5


def test_before_the_first_point_it_is_level() -> None:
    curve = Curve.of([(10.0, 2.0), (20.0, 0.0)], 20.0)
    assert curve.at(3.0) == 2.0
    assert curve.total == 20 + 10


def test_two_points_at_one_time_are_a_step_to_the_later_one() -> None:
    curve = Curve.of([(0.0, 1.0), (10.0, 1.0), (10.0, 4.0)], 20.0)
    assert curve.at(9.999) == pytest.approx(1.0)
    assert curve.at(10.0) == 4.0
    assert curve.total == 10 + 40


def test_a_step_at_the_very_start_begins_high() -> None:
    curve = Curve.of([(0.0, 1.0), (0.0, 4.0)], 10.0)
    assert curve.at(0.0) == 4.0
    assert curve.total == 40.0


def test_points_after_the_end_only_say_where_the_line_leads() -> None:
    curve = Curve.of([(0.0, 0.0), (100.0, 10.0)], 50.0)
    assert curve.span_s == 50.0
    assert curve.at(50.0) == pytest.approx(5.0)
    assert curve.total == pytest.approx(125.0)


def test_a_line_is_followed_to_the_end_even_after_a_step() -> None:
    curve = Curve.of([(0.0, 1.0), (10.0, 1.0), (10.0, 3.0), (30.0, 5.0)], 20.0)
    assert curve.at(20.0) == pytest.approx(4.0)
    assert curve.total == pytest.approx(10 + 35)


def test_a_step_at_the_end_does_not_count() -> None:
    curve = Curve.of([(0.0, 1.0), (20.0, 1.0), (20.0, 9.0)], 20.0)
    assert curve.total == 20.0


def test_the_integral_is_reached_when_it_should_be() -> None:
    # Rising from 0 by 2 a second: the integral is t².
    curve = Curve.of([(0.0, 0.0), (10.0, 20.0)], 10.0)
    assert curve.inverse(np.array([0.0, 1.0, 25.0, 81.0])) == pytest.approx([0.0, 1.0, 5.0, 9.0])


def test_a_falling_line_is_left_at_its_end() -> None:
    # Falling from 2 to 0 in 10 s: the integral is 2 t - t² / 10, in all 10.
    curve = Curve.of([(0.0, 2.0), (10.0, 0.0)], 10.0)
    assert curve.inverse(np.array([0.0, 7.5, 9.9999999])) == pytest.approx([0.0, 5.0, 10.0], abs=1e-2)


def test_nothing_happens_where_the_curve_is_0() -> None:
    curve = Curve.of([(0.0, 1.0), (10.0, 1.0), (10.0, 0.0), (20.0, 0.0), (20.0, 1.0)], 30.0)
    assert curve.inverse(np.array([9.5, 10.0, 10.5])) == pytest.approx([9.5, 20.0, 20.5])


@given(curves(), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20))
def test_the_inverse_undoes_the_integral(curve: Curve, shares: list[float]) -> None:
    assume(curve.total > 1e-3)
    wanted = np.sort(np.array(shares)) * curve.total
    times = curve.inverse(wanted)
    assert ((times >= 0) & (times <= curve.span_s)).all()
    assert all(before <= after + 1e-9 for before, after in pairwise(times))
    for t_s, integral in zip(times, wanted, strict=True):
        assert _integral(curve, float(t_s)) == pytest.approx(integral, rel=1e-6, abs=1e-6)


def _integral(curve: Curve, until_s: float) -> float:
    """Return the integral by the trapezoids of all points before a time."""
    inside = curve.t_s < until_s
    t_s = [*curve.t_s[inside], until_s]
    values = [*curve.values[inside], _before(curve, until_s)]
    return float(np.trapezoid(values, t_s))


def _before(curve: Curve, t_s: float) -> float:
    """Return the value just before a time."""
    right = max(int(np.searchsorted(curve.t_s, t_s, side="left")), 1)
    left = right - 1
    width = curve.t_s[right] - curve.t_s[left]
    share = (t_s - curve.t_s[left]) / width if width else 1.0
    return float(curve.values[left] + (curve.values[right] - curve.values[left]) * share)
