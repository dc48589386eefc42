"""Figures by intended domain."""

from pathlib import Path

import pytest

from modem.errors import ConfigError
from modem.load.summary import ALL, Figures, Route, Summary, summarise
from tests.unit.load.runs import failed, info, make_run, many, record, whole


def of(summary: Summary, domain: str) -> Figures:
    return dict(summary.rows)[domain]


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    rows = [
        record(0, "math", ttft_s=0.2, late_s=0.05),
        record(1, "math", ttft_s=3.0, routed="code"),
        record(2, "code", ttft_s=0.4, reason="pinned", routed="math"),
        failed(3, "rate_limited", "math"),
        failed(4, "timeout", "code", routed="math", reason="classified", message="60 s"),
        whole(5, "math", e2e_s=0.9),
    ]
    return summarise(make_run(tmp_path, rows, cluster=()))


def test_requests_count_for_the_domain_that_was_meant(summary: Summary) -> None:
    assert [name for name, _ in summary.rows] == ["code", "math", ALL]
    math, code = of(summary, "math"), of(summary, "code")
    assert (math.num_requests, math.num_ok, math.num_failed) == (4, 3, 1)
    assert (code.num_requests, code.num_ok, code.num_failed) == (2, 1, 1)
    assert math.failures == {"rate_limited": 1}
    assert code.failures == {"timeout": 1}
    assert summary.total.failures == {"rate_limited": 1, "timeout": 1}
    assert math.error_rate == 0.25


def test_misrouted_are_counted_against_the_intended_domain(summary: Summary) -> None:
    math, code = of(summary, "math"), of(summary, "code")
    assert (math.num_routed, math.num_misrouted) == (3, 1)
    assert math.misrouted_rate == pytest.approx(1 / 3)
    assert (code.num_routed, code.num_misrouted) == (1, 1)  # the pinned one cannot be
    assert summary.routes == (Route("code", "math", 1), Route("math", "code", 1), Route("math", "math", 2))


def test_latencies_are_of_answers_and_from_the_intended_send(summary: Summary) -> None:
    math = of(summary, "math")
    assert math.ttft_s.num == 2  # neither the failed nor the one that was no stream
    assert math.ttft_s.max == pytest.approx(3.0)
    assert math.ttft_from_sent_s.p50 == pytest.approx((0.15 + 2.999) / 2)
    assert math.first_byte_s.num == 3
    assert math.first_token_s.num == 2
    assert math.e2e_s.num == 3
    assert math.itl_s.num == 8
    assert math.tpot_s.p50 == pytest.approx(0.02)
    assert math.late_s.num == 4
    assert math.late_s.max == pytest.approx(0.05)


def test_rates_have_their_own_denominators(summary: Summary) -> None:
    math = of(summary, "math")
    assert (summary.span_s, summary.elapsed_s) == (10, 10)
    assert math.offered_rps == 0.4
    assert math.completed_rps == pytest.approx(0.3)
    assert math.num_good == 2
    assert math.share_good == 0.5
    assert math.goodput_rps == pytest.approx(math.share_good * math.offered_rps)
    assert math.output_tokens == 15
    assert math.output_tokens_per_s == 1.5
    assert math.prompt_tokens == 90


def test_the_most_frequent_failures_come_first(summary: Summary, tmp_path: Path) -> None:
    assert summary.errors == (("rate_limited: too many wait", 1), ("timeout: 60 s", 1))
    rows = [failed(n, "server_error", message=f"{n % 12}") for n in range(30)]
    errors = summarise(make_run(tmp_path / "more", rows)).errors
    assert len(errors) == 10
    assert errors[0] == ("server_error: 0", 3)


def test_nobody_tells_who_answered(tmp_path: Path) -> None:
    found = summarise(make_run(tmp_path, [record(0, routed=None, reason=None)]))
    assert found.total.misrouted_rate is None
    assert found.routes == ()


def test_all_failed_is_a_summary_too(tmp_path: Path) -> None:
    found = summarise(make_run(tmp_path, [failed(n, "no_connection") for n in range(4)]))
    assert found.total.error_rate == 1
    assert found.total.ttft_s.p50 is None
    assert found.total.goodput_rps == 0


def test_a_closed_loop_is_labelled(tmp_path: Path) -> None:
    run = make_run(tmp_path, [record(0)], run=info(None, {"loop": "closed", "users": 3}))
    found = summarise(run)
    assert found.is_closed
    assert found.notes == ("closed loop: hides overload",)


def test_a_rising_rate_has_steps(tmp_path: Path) -> None:
    scenario = {"saturation": {"step_s": 10, "growth": 2.0}, "rate": 10.0, "duration_s": 40}
    found = summarise(make_run(tmp_path, many(100), run=info(100, scenario)))
    assert len(found.steps) == 1
    assert found.knee is not None
    assert "still held" in found.knee.verdict
    assert summarise(make_run(tmp_path / "b", many(10))).knee is None


def test_wrong_targets_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ttfx"):
        summarise(make_run(tmp_path, [record(0)], run=info(1, {"targets": "ttfx_p99<2s"})))
