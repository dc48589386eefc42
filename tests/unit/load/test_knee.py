"""Steps of a rising rate, and the knee."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.load.columns import columns
from modem.load.goodput import good
from modem.load.knee import HOLDS_SHARE, Step, knee, steps
from modem.load.record import Record
from modem.load.run import Stairs
from modem.slo import parse_slo
from tests.unit.load.runs import record

STAIRS = Stairs(step_s=10.0, growth=2.0)


def rising(capacity_rps: float, num_steps: int = 5, first_rps: float = 1.0) -> list[Record]:
    """A server that answers so many a second in 0.1 s; what is above that takes 5 s."""
    rows: list[Record] = []
    for step in range(num_steps):
        rps = first_rps * 2.0**step
        fine = min(capacity_rps / rps, 1.0)
        for number in range(round(rps * 10)):
            slow = (number + 0.5) / (rps * 10) > fine
            rows.append(record(len(rows), at_s=10 * step + number / rps, ttft_s=5.0 if slow else 0.1))
    return rows


def found(rows: list[Record], span_s: float) -> tuple[Step, ...]:
    records = columns(rows)
    return steps(records, good(records, parse_slo("ttft_p99<2s")), STAIRS, 1.0, span_s)


def test_the_knee_is_where_goodput_stops_to_follow() -> None:
    rows = found(rising(5.0), 50.0)
    assert [step.planned_rps for step in rows] == [1, 2, 4, 8, 16]
    assert [step.offered_rps for step in rows] == [1, 2, 4, 8, 16]
    assert [step.goodput_rps for step in rows] == [1, 2, 4, 5, 5]
    assert [step.holds for step in rows] == [True, True, True, False, False]
    result = knee(rows)
    assert result.rps == 4
    assert result.verdict == "the knee is at 4 requests/s: 100.0 % of them were good"


def test_without_a_step_that_fails_there_is_no_knee() -> None:
    result = knee(found(rising(100.0), 50.0))
    assert result.rps is None
    assert "16 requests/s, the most that was offered, still held; raise duration_s" in result.verdict


def test_without_a_step_that_holds_there_is_none_either() -> None:
    result = knee(found(rising(0.5), 50.0))
    assert result.rps is None
    assert "even 1 requests/s did not hold; begin with a lower rate" in result.verdict


def test_a_step_that_was_cut_says_nothing() -> None:
    rows = [row for row in rising(5.0) if row.intended_s < 42]
    last = found(rows, 42.0)[-1]
    assert (last.length_s, last.offered_rps, last.counts, last.holds) == (2.0, 16.0, False, False)
    assert knee((last,)).verdict == "no knee: no step was offered for half of its time"
    longer = found([row for row in rising(5.0) if row.intended_s < 46], 46.0)[-1]
    assert longer.counts
    assert longer.offered_rps == pytest.approx(16.0)


def test_a_lower_rate_that_failed_is_told() -> None:
    def step(rps: float, share: float) -> Step:
        return Step(0, 10, rps, rps, share * rps, share, 0.1, True)

    result = knee((step(1, 1.0), step(2, 0.9), step(4, 0.97), step(8, 0.3)))
    assert result.rps == 4
    assert "a lower rate did not hold, so take longer steps" in result.verdict


@given(st.floats(0.6, 30.0))
def test_the_knee_holds_and_the_next_step_does_not(capacity_rps: float) -> None:
    rows = found(rising(capacity_rps), 50.0)
    result = knee(rows)
    held = [step.offered_rps for step in rows if step.share_good >= HOLDS_SHARE]
    assert result.rps == (max(held) if held and len(held) < len(rows) else None)


def test_tails_of_a_step_are_its_own() -> None:
    rows = found(rising(5.0), 50.0)
    assert rows[0].ttft_p99_s == pytest.approx(0.1)
    assert rows[-1].ttft_p99_s == pytest.approx(5.0)
    assert np.isclose(rows[3].share_good, 5 / 8)
