"""Which requests are good."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.load.columns import columns
from modem.load.goodput import good, limits, times
from modem.load.record import Record
from modem.slo import Limit, Metric, Slo, parse_slo
from tests.unit.load.runs import failed, record, whole
from tests.unit.load.test_columns import lists, shifted

SLOS = (
    "ttft_p99<2s",
    "ttft_p50<500ms,ttft_p99<5s",
    "share(ttft<2s,itl<3s,e2e<20s)>=50%",
    "itl_p99<10s,e2e_p90<1min",
)


def test_of_several_limits_the_longest_counts() -> None:
    found = limits(parse_slo("ttft_p50<500ms,ttft_p99<2s,share(e2e<9s,itl<50ms)>=50%"))
    assert found == (Limit("ttft", 2.0), Limit("itl", 0.05), Limit("e2e", 9.0))


@pytest.mark.parametrize(
    ("row", "slo", "expected"),
    [
        (record(ttft_s=1.9), "ttft_p99<2s", True),
        (record(ttft_s=2.1), "ttft_p99<2s", False),
        (
            record(ttft_s=1.9, late_s=1.5),
            "ttft_p99<2s",
            True,
        ),  # lateness is in it already: it was intended at 0
        (failed(), "ttft_p99<2s", False),
        (whole(e2e_s=1.9), "ttft_p99<2s", True),
        (whole(e2e_s=2.1), "ttft_p99<2s", False),  # its first token came with its last
        (whole(e2e_s=1.0), "itl_p99<1ms", True),
        (record(itl_s=(0.1, 0.3)), "itl_p99<210ms", True),
        (record(itl_s=(0.1, 0.3)), "itl_p99<190ms", False),
        (record(itl_s=(0.1, 0.3), output_tokens=5), "itl_p99<110ms", True),  # two tokens in a piece
        (record(itl_s=(0.1, 0.3), output_tokens=None), "itl_p99<190ms", False),
        (record(itl_s=()), "itl_p99<1ms", True),
    ],
)
def test_good_is_answered_within_the_limits(row: Record, slo: str, expected: bool) -> None:
    assert good(columns([row]), parse_slo(slo)).tolist() == [expected]


def is_good(row: Record, targets: Slo) -> bool:
    return row.outcome == "ok" and all(time_s(row, limit.metric) <= limit.most_s for limit in limits(targets))


def time_s(row: Record, metric: Metric) -> float:
    if metric == "itl":
        if row.tpot_s is not None:
            return row.tpot_s
        return sum(row.itl_s) / len(row.itl_s) if row.itl_s else 0.0
    if metric == "ttft" and row.ttft_s is not None:
        return row.ttft_s
    return row.e2e_s


@given(lists, st.sampled_from(SLOS))
def test_all_at_once_is_as_one_by_one(rows: list[Record], slo: str) -> None:
    rows = shifted(rows, [0] * len(rows))
    targets = parse_slo(slo)
    measured = times(columns(rows))
    expected = [is_good(row, targets) for row in rows]
    near = np.zeros(len(rows), np.bool_)
    for limit in limits(targets):  # a rounding may fall to either side
        near |= np.isclose(measured.of(limit.metric), limit.most_s)
    found = good(columns(rows), targets)
    assert (found == expected)[~near].all()
