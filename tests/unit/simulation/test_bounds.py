from dataclasses import astuple
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from modem.simulation.bounds import Bounds, Zones, bounds_of, total_bounds, window_start_s
from modem.simulation.control import Sample


def bounds(*pairs: tuple[float, float]) -> Bounds:
    return bounds_of([Sample(t_s, value) for t_s, value in pairs])


def test_a_series_in_one_pass() -> None:
    found = bounds((1, 0), (2, 4), (3, 4), (4, 2), (5, 2))
    assert astuple(found) == (0, 4, 2, 1, 2, 4)


def test_a_series_of_zeros_never_changed() -> None:
    assert astuple(bounds((1, 0), (2, 0))) == (0, 0, 0, 1, inf, -inf)


def test_a_first_value_is_a_change() -> None:
    assert astuple(bounds((1, 3))) == (3, 3, 3, 1, 1, 1)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_a_series_bounds_are_its_own(values: list[int]) -> None:
    found = bounds(*enumerate(values))
    assert (found.low, found.high, found.last) == (min(values), max(values), values[-1])
    changes = [i for i, (a, b) in enumerate(zip([0, *values], values, strict=False)) if a != b]
    assert found.change_s == (changes[-1] if changes else -inf)
    nonzero = [i for i, value in enumerate(values) if value]
    assert found.nonzero_s == (nonzero[0] if nonzero else inf)


def test_the_lower_bound_needs_a_window_that_all_series_fill() -> None:
    early, late = bounds((0, 3), (9, 4)), bounds((5, 2), (6, 2))
    assert total_bounds([early, late]) == (5, 6)
    steady = bounds((0, 3), (9, 3))
    assert total_bounds([steady, late]) == (0, 5)  # Serve's window may open before the late one began
    assert total_bounds([steady]) == (3, 3)
    assert total_bounds([]) == (0, 0)


def test_the_window_opens_when_all_have_begun_and_something_was_there() -> None:
    assert window_start_s([bounds((0, 3)), bounds((5, 0))]) == 5
    assert window_start_s([bounds((0, 0), (7, 3)), bounds((5, 0))]) == 7
    assert window_start_s([bounds((0, 0)), bounds((5, 0))]) == 5
    assert window_start_s([bounds((0, 0), (7, 3))]) == 0


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), max_size=20), st.floats(-3, 3), st.floats(0, 3)
)
def test_zones_never_say_what_is_not_so(asked: list[tuple[float, float]], low: float, width: float) -> None:
    def real(number: float) -> int:
        return (number > low + width) - (number < low)

    zones = Zones()
    for told, wanted in asked:
        zones.add(told, real(told))
        assert zones.find(told) == real(told)
        assert zones.find(wanted) in (None, real(wanted))
