"""What a closed loop hides, on a server that stands still for a while; the figures are those of the docs.

The server answers in 10 ms, however many ask, but for ten of sixty seconds it does nothing: who asks then
is answered 10 ms after the end of the stall. All is computed, nothing waits.
"""

import heapq
from functools import cache
from pathlib import Path

import pytest

from modem.load.columns import columns
from modem.load.percentiles import Spread
from modem.load.record import Record
from modem.load.tables import duration
from tests.unit.load.runs import record

SPAN_S, STALL_S, RESUMES_S, WORK_S = 60.0, 20.0, 30.0, 0.01
DOCUMENT = Path(__file__).parents[3] / "docs" / "load-testing.md"


def done_s(sent_s: float) -> float:
    """When an answer comes to what is sent now."""
    begins_s = RESUMES_S if STALL_S <= sent_s < RESUMES_S else sent_s
    return begins_s + WORK_S


def answered(index: int, intended_s: float, sent_s: float) -> Record:
    ttft_s = done_s(sent_s) - intended_s
    return record(index, at_s=intended_s, late_s=sent_s - intended_s, ttft_s=ttft_s, itl_s=())


def closed_loop(num_users: int) -> list[Record]:
    """Each asks again as soon as it is answered."""
    rows: list[Record] = []
    for user in range(num_users):
        now_s = user * WORK_S / num_users
        while now_s < SPAN_S:
            rows.append(answered(len(rows), now_s, now_s))
            now_s = done_s(now_s)
    return rows


def open_loop(rps: float, num_connections: int | None = None) -> list[Record]:
    """Even arrivals; with too few connections a request waits in the client until one is free."""
    intended = [number / rps for number in range(round(rps * SPAN_S))]
    if num_connections is None:
        return [answered(index, at_s, at_s) for index, at_s in enumerate(intended)]
    free, rows = [0.0] * num_connections, []
    for index, at_s in enumerate(intended):
        sent_s = max(at_s, heapq.heappop(free))
        heapq.heappush(free, done_s(sent_s))
        rows.append(answered(index, at_s, sent_s))
    return rows


@cache
def spreads() -> dict[str, Spread]:
    few = columns(open_loop(100.0, 10))
    return {
        "closed loop, 10 users": Spread.of(columns(closed_loop(10)).ttft_s),
        "100 requests/s over 10 connections, from the actual send": Spread.of(
            few.first_content_s - few.sent_s
        ),
        "the same, from the intended send": Spread.of(few.ttft_s),
        "open loop, 100 requests/s": Spread.of(columns(open_loop(100.0)).ttft_s),
    }


def test_a_closed_loop_does_not_see_the_stall() -> None:
    found = spreads()
    closed, opened = found["closed loop, 10 users"], found["open loop, 100 requests/s"]
    assert closed.p99 == pytest.approx(WORK_S)
    assert closed.max == pytest.approx(10, rel=0.01)
    assert opened.p50 == pytest.approx(WORK_S)
    # A sixth of the arrivals falls into the stall; the waits of those are even between 0 and 10 s.
    assert opened.p90 == pytest.approx(10 * (1 - 0.1 * 6), rel=0.01)
    assert opened.p99 == pytest.approx(10 * (1 - 0.01 * 6), rel=0.01)


def test_counting_from_the_actual_send_hides_it_as_well() -> None:
    found = spreads()
    sent = found["100 requests/s over 10 connections, from the actual send"]
    intended = found["the same, from the intended send"]
    assert sent.p99 == pytest.approx(WORK_S)
    assert intended.p99 == pytest.approx(found["open loop, 100 requests/s"].p99, rel=0.02)


def test_a_closed_loop_asks_for_less_while_it_waits() -> None:
    rows = closed_loop(10)
    during = [row for row in rows if STALL_S <= row.intended_s < RESUMES_S]
    assert len(rows) == pytest.approx(50_000, rel=0.01)
    assert len(during) == 10


def test_the_document_shows_these_figures() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, spread in spreads().items():
        figures = " | ".join(duration(value) for value in (spread.p50, spread.p90, spread.p99, spread.max))
        assert f"| {name} | {spread.num} | {figures} |" in text
