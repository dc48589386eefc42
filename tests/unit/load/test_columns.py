"""Records as columns, and percentiles of them: the workers that sent them leave no trace."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.load.columns import UNKNOWN, columns
from modem.load.percentiles import Spread
from modem.load.record import Record
from modem.load.summary import Summary, summarise
from tests.unit.load.runs import DOMAINS, failed, make_run, record, whole

times = st.floats(0.001, 50.0, allow_nan=False)
answers = st.builds(
    lambda domain, late_s, ttft_s, gaps: record(0, domain, late_s=late_s, ttft_s=ttft_s, itl_s=gaps),
    st.sampled_from(DOMAINS),
    st.floats(0, 0.1),
    times,
    st.lists(times, max_size=5),
)
failures = st.builds(
    lambda domain, outcome: failed(0, outcome, domain),
    st.sampled_from(DOMAINS),
    st.sampled_from(("timeout", "no_connection", "broken_stream")),
)
lists = st.lists(st.one_of(answers, failures), min_size=1, max_size=25)


def shifted(rows: list[Record], workers: list[int]) -> list[Record]:
    from dataclasses import replace

    return [
        replace(row, index=number, worker=worker)
        for number, (row, worker) in enumerate(zip(rows, workers, strict=True))
    ]


def figures(summary: Summary) -> str:
    return repr(asdict(summary))  # as text, because NaN is not equal to itself


@given(lists, st.data())
def test_merging_the_workers_records_equals_one_list_of_all(rows: list[Record], data: st.DataObject) -> None:
    workers = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    of_one = shifted(rows, [0] * len(rows))
    of_many = shifted(rows, workers)
    merged = [row for worker in range(4) for row in of_many if row.worker == worker]
    one, many = columns(of_one), columns(merged)
    for name in ("ttft_s", "e2e_s", "tpot_s", "itl_s", "late_s", "domain", "outcome"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))
    assert Spread.of(one.itl_s) == Spread.of(many.itl_s)
    assert Spread.of(one.ttft_s) == Spread.of(many.ttft_s)


@given(st.lists(st.lists(times, max_size=30), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_a_spread_does_not_depend_on_parts_or_order(parts: list[list[float]], random: object) -> None:
    values = [value for part in parts for value in part]
    mixed = sorted(values, key=lambda _: random.random())  # type: ignore[attr-defined]
    spread = Spread.of(np.array(mixed, dtype=np.float64))
    assert spread == Spread.of(np.array(values, dtype=np.float64))
    if values:
        assert spread.num == len(values)
        assert spread.max == max(values)
        assert spread.p50 == pytest.approx(float(np.percentile(values, 50)), rel=1e-12)
        assert spread.p50 <= spread.p90 <= spread.p99 <= spread.max  # type: ignore[operator]
        assert spread.mean == pytest.approx(math.fsum(values) / len(values))


def test_a_whole_run_is_the_same_whichever_workers_sent_it(tmp_path: Path) -> None:
    rows = [record(n, DOMAINS[n % 3], ttft_s=0.1 + n / 100) for n in range(9)]
    rows.append(failed(9, "timeout"))
    mixed = [*shifted(rows, [n % 2 for n in range(10)])]
    one = make_run(tmp_path / "one", rows)
    two = make_run(tmp_path / "two", mixed[1::2] + mixed[::2])
    assert figures(summarise(one)) == figures(summarise(two))


def test_no_values_have_no_spread() -> None:
    assert Spread.of(np.array([])) == Spread(0, None, None, None, None, None)
    assert Spread.of(np.array([np.nan, 2.0])) == Spread(1, 2.0, 2.0, 2.0, 2.0, 2.0)


def test_what_a_record_says_is_in_its_row() -> None:
    rows = [
        record(1, "math", routed="law", itl_s=(0.1, 0.2), output_tokens=4),
        failed(2, "timeout", "code"),
        whole(0, "other", e2e_s=0.7, late_s=0.25),
    ]
    found = columns(rows)
    assert found.names == ("code", "math", "other", "law")
    assert found.domains == ("code", "math", "other")
    assert found.index.tolist() == [0, 1, 2]
    assert found.ok.tolist() == [True, True, False]
    assert found.misrouted.tolist() == [False, True, False]
    assert found.judged.tolist() == [True, True, False]
    assert found.routed.tolist() == [2, 3, UNKNOWN]
    assert found.late_s[0] == pytest.approx(0.25)
    assert found.e2e_s[0] == pytest.approx(0.7)
    assert np.isnan(found.ttft_s).tolist() == [True, False, True]
    assert found.tpot_s[1] == pytest.approx(0.3 / 3)
    assert found.itl_s.tolist() == [0.1, 0.2]
    assert found.gap_owner.tolist() == [1, 1]
    assert found.gap_sums_s == pytest.approx([0, 0.3, 0])
    for row, expected in zip(sorted(rows, key=lambda x: x.index), found.tpot_s.tolist(), strict=True):
        assert row.tpot_s == (None if math.isnan(expected) else pytest.approx(expected))


def test_turns_of_a_session_follow_each_other() -> None:
    rows = [record(1, session="s", turn=1), record(0), record(1, session="s", turn=0)]
    found = columns(rows)
    assert list(zip(found.index.tolist(), found.turn.tolist(), strict=True)) == [(0, 0), (1, 0), (1, 1)]
    assert found.sessions == (None, "s", "s")


@given(lists, st.data())
def test_some_rows_are_as_if_only_they_were_read(rows: list[Record], data: st.DataObject) -> None:
    rows = shifted(rows, [0] * len(rows))
    chosen = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    part = columns(rows).where(np.array(chosen, dtype=np.bool_))
    alone = columns([row for row, kept in zip(rows, chosen, strict=True) if kept])
    for name in ("index", "ttft_s", "itl_s", "num_gaps", "outcome", "output_tokens"):
        np.testing.assert_array_equal(getattr(part, name), getattr(alone, name))
    assert part.messages == alone.messages
