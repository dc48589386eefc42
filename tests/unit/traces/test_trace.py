from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.traces.trace import COPY_WITHIN_S, Arrival, Trace, overlay

arrivals = st.lists(
    st.builds(
        Arrival,
        st.floats(0, 1e5),
        st.sampled_from(("math", "other")),
        st.integers(1, 9999),
        st.integers(1, 999),
        st.sampled_from((None, "a", "b")),
    ),
    max_size=30,
)


def rows(trace: Trace) -> list[Arrival]:
    return list(trace)


@given(arrivals)
def test_a_trace_holds_what_it_was_made_of_in_the_order_of_time(given_rows: Sequence[Arrival]) -> None:
    trace = Trace.of(given_rows)
    assert len(trace) == len(given_rows)
    assert rows(trace) == sorted(given_rows, key=lambda row: row.t_s)
    assert trace.span_s == max((row.t_s for row in given_rows), default=0.0)


def test_equal_times_keep_their_order() -> None:
    trace = Trace.of([Arrival(1, "b", 1, 1), Arrival(1, "a", 2, 2), Arrival(0, "a", 3, 3)])
    assert [row.prompt_tokens for row in trace] == [3, 1, 2]


def test_a_stated_span_is_kept_unless_a_request_comes_later() -> None:
    assert Trace.of([Arrival(5, "a", 1, 1)], span_s=60).span_s == 60
    assert Trace.of([Arrival(5, "a", 1, 1)], span_s=2).span_s == 5


def test_a_part_counts_from_its_own_start() -> None:
    trace = Trace.of([Arrival(t, "a", t, 1, str(t)) for t in range(1, 10)])
    part = trace.between(3, 6)
    assert [(row.t_s, row.prompt_tokens, row.session) for row in part] == [
        (0, 3, "3"),
        (1, 4, "4"),
        (2, 5, "5"),
    ]
    assert part.span_s == 3
    assert "seconds 3 to 6" in part.origin


def test_a_part_up_to_the_end_has_the_last_request() -> None:
    trace = Trace.of([Arrival(t, "a", 1, 1) for t in (0, 5, 9)])
    assert [row.t_s for row in trace.between(5, float("inf"))] == [0, 4]


def test_faster_keeps_requests_and_shortens_time() -> None:
    trace = Trace.of([Arrival(10, "a", 7, 3)], span_s=20).faster(4)
    assert rows(trace) == [Arrival(2.5, "a", 7, 3)]
    assert trace.span_s == 5


def test_scaled_down_keeps_the_stated_share_and_the_span() -> None:
    trace = Trace.of([Arrival(t, "a", 1, 1, "s") for t in range(4000)])
    half = trace.scaled(0.5, np.random.default_rng(1))
    assert 1850 < len(half) < 2150
    assert half.span_s == trace.span_s
    assert {row.session for row in half} == {"s"}
    assert set(rows(half)) <= set(rows(trace))
    assert len(trace.scaled(0, np.random.default_rng(1))) == 0


def test_scaled_up_copies_requests_to_about_the_same_time() -> None:
    trace = Trace.of([Arrival(1000 * t, "ab"[t % 2], t + 1, 2 * t + 1, f"s{t}") for t in range(200)], 200_000)
    more = trace.scaled(2.5, np.random.default_rng(1))
    assert 450 < len(more) < 550
    assert more.span_s == trace.span_s
    assert set(rows(trace)) <= set(rows(more))
    assert len({row.session for row in more}) == len(more), "a copy is another user's"
    for row in more:
        original = rows(trace)[row.prompt_tokens - 1]
        assert abs(row.t_s - original.t_s) <= COPY_WITHIN_S
        assert (row.domain, row.output_tokens) == (original.domain, original.output_tokens)
        assert str(row.session).startswith(str(original.session))


@given(arrivals, st.floats(0, 5), st.integers(0, 9))
def test_scaled_stays_within_the_trace(given_rows: Sequence[Arrival], rate: float, seed: int) -> None:
    trace = Trace.of(given_rows)
    more = trace.scaled(rate, np.random.default_rng(seed))
    assert int(rate) * len(trace) <= len(more) <= (int(rate) + 1) * len(trace)
    assert more.span_s == trace.span_s
    assert all(0 <= row.t_s <= trace.span_s for row in more)
    assert bool(more.sessions) <= bool(trace.sessions)


def test_counts_name_every_domain() -> None:
    trace = Trace.of([Arrival(0, "a", 1, 1), Arrival(1, "b", 1, 1), Arrival(2, "a", 1, 1)])
    assert trace.counts() == {"a": 2, "b": 1}


@given(arrivals, arrivals)
def test_an_overlay_has_all_requests(first: Sequence[Arrival], second: Sequence[Arrival]) -> None:
    both = overlay([Trace.of(first), Trace.of(second, span_s=7)])
    assert sorted(rows(both), key=repr) == sorted([*first, *second], key=repr)
    assert both.span_s >= 7


def test_one_trace_is_its_own_overlay_and_none_is_an_error() -> None:
    trace = Trace.of([])
    assert overlay([trace]) is trace
    with pytest.raises(ConfigError, match="no trace"):
        overlay([])
