"""Records and the classes of their outcomes."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.load.outcome import FAILURES, MEANINGS, OUTCOMES, outcome_of_status
from modem.load.record import Record, since
from tests.unit.load.records import record

TIMES = st.floats(0, 1e6, allow_nan=False).map(lambda time_s: since(time_s, 0.0))


def test_latencies_count_from_the_intended_time() -> None:
    found = record()
    assert (found.late_s, found.ttft_s, found.ttft_from_sent_s, found.e2e_s) == pytest.approx(
        (0.01, 0.5, 0.49, 1.1)
    )


def test_time_per_token_is_the_mean_after_the_first() -> None:
    assert record().tpot_s == pytest.approx(0.1)


@pytest.mark.parametrize(
    "changes", [{"output_tokens": 1}, {"output_tokens": None}, {"first_content_s": None}]
)
def test_time_per_token_is_unknown_without_two_tokens(changes: dict[str, Any]) -> None:
    assert record(**changes).tpot_s is None


def test_an_answer_that_is_not_streamed_has_no_time_to_the_first_token() -> None:
    found = record(stream=False, first_content_s=None, last_content_s=None, itl_s=(), num_chunks=0)
    assert (found.ttft_s, found.ttft_from_sent_s, found.tpot_s) == (None, None, None)


@pytest.mark.parametrize(
    ("routed", "reason", "expected"),
    [
        ("math", "top_score", False),
        ("other", "low_confidence", True),
        ("other", "expert_unavailable", True),
        ("other", None, True),
        ("math", "pinned", None),
        (None, None, None),
    ],
)
def test_misrouted_is_answered_by_another(
    routed: str | None, reason: str | None, expected: bool | None
) -> None:
    assert record(routed=routed, reason=reason).misrouted is expected


@given(
    intended_s=TIMES,
    itl_s=st.lists(TIMES, max_size=5).map(tuple),
    message=st.none() | st.text(max_size=20),
    outcome=st.sampled_from(OUTCOMES),
)
def test_a_line_gives_the_record_back(**changes: Any) -> None:
    found = record(**changes)
    line = found.to_json()
    assert b"\n" not in line
    assert Record.from_json(line) == found


@pytest.mark.parametrize("line", [b"", b"{}", b"[1]", record().to_json()[:-5], b'{"index": "one"}'])
def test_what_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Record.from_json(line)


@given(start_s=st.floats(0, 1e7), passed_s=st.floats(0, 1e5))
def test_times_are_cut_to_microseconds(start_s: float, passed_s: float) -> None:
    found = since(start_s + passed_s, start_s)
    assert math.isclose(found, start_s + passed_s - start_s, abs_tol=5.1e-7)
    assert len(f"{found!r}".partition(".")[2]) <= 6 or "e" in f"{found!r}"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "ok"),
        (429, "rate_limited"),
        (503, "unavailable"),
        (400, "client_error"),
        (404, "client_error"),
        (500, "server_error"),
        (502, "server_error"),
        (504, "server_error"),
        (302, "bad_answer"),
        (204, "bad_answer"),
    ],
)
def test_each_status_has_its_class(status: int, outcome: str) -> None:
    assert outcome_of_status(status) == outcome


def test_each_outcome_is_explained_and_all_but_ok_are_failures() -> None:
    assert set(MEANINGS) == set(OUTCOMES) == {"ok", *FAILURES}
