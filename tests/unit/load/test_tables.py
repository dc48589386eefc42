"""Figures for people."""

from pathlib import Path

import pytest

from modem.evaluation.tables import Table, to_markdown
from modem.load.certificate import certify
from modem.load.gate import check, parse_gate
from modem.load.summary import summarise
from modem.load.tables import certificate_lines, checks_table, duration, tables
from tests.unit.load.runs import client_lines, failed, info, make_run, many, record


@pytest.mark.parametrize(
    ("value_s", "text"),
    [
        (None, "-"),
        (0.0, "0 ms"),
        (-0.0, "0 ms"),
        (0.0001234, "0.123 ms"),
        (0.02, "20 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (-1.5, "-1.5 s"),
        (59.94, "59.9 s"),
        (1234.5, "1234 s"),
    ],
)
def test_durations_have_a_unit_and_three_digits(value_s: float | None, text: str) -> None:
    assert duration(value_s) == text


def shown(found: list[Table]) -> str:
    return "\n".join(to_markdown(table) for table in found)


def test_rows_are_domains_and_all(tmp_path: Path) -> None:
    rows = [*many(120), failed(120, "unavailable", "math"), record(121, "math", routed="code")]
    summary = summarise(make_run(tmp_path, rows))
    text = shown(tables(summary))
    assert "| code | 40 | 40 | 0.0 % | 0.0 % |" in text
    assert "| math | 42 | 41 | 2.4 % | 2.4 % |" in text
    assert "## Failures" in text
    assert "unavailable: 503: the expert is not up" in text
    assert "| math | 1 | 40 | 0 |" in text  # who answered
    assert "code, math, other: fewer than 100 answers" in text
    assert "Steps" not in text
    assert "hides overload" not in text


def test_every_table_of_a_closed_loop_says_so(tmp_path: Path) -> None:
    scenario = {"loop": "closed", "users": 3, "saturation": {"step_s": 5, "growth": 2.0}, "rate": 1.0}
    found = tables(summarise(make_run(tmp_path, [*many(60), failed(60)], run=info(None, scenario))))
    assert len(found) == 6
    assert all(table.title.endswith("(closed loop: hides overload)") for table in found)


def test_steps_end_with_the_verdict(tmp_path: Path) -> None:
    scenario = {"saturation": {"step_s": 10, "growth": 2.0}, "rate": 10.0, "duration_s": 10.0}
    steps = tables(summarise(make_run(tmp_path, many(100), run=info(100, scenario))))[-1]
    assert steps.title == "Steps"
    assert steps.rows[0][:5] == ("0 s", "10", "10", "10", "100.0 %")
    assert "still held" in steps.note


def test_a_run_of_failures_only_has_dashes(tmp_path: Path) -> None:
    text = shown(tables(summarise(make_run(tmp_path, [failed(0, "timeout")]))))
    assert "| math | - | - | - | - |" in text


def test_the_certificate_says_why_not(tmp_path: Path) -> None:
    late = [record(n, at_s=n / 10, late_s=0.05 if n < 12 else 0.001) for n in range(100)]
    lines = certificate_lines(certify(make_run(tmp_path, late, client=client_lines(cpu_share=0.97))))
    text = "\n".join(lines)
    assert text.startswith("NOT CERTIFIED: the client was part of what it measured")
    assert "sent too late: 1 % of the requests by more than 50 ms" in text
    assert "use more workers" in text
    assert "12 sent more than 20 ms late: in the plan 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..." in text


def test_a_certified_run_is_one_line_and_its_figures(tmp_path: Path) -> None:
    lines = certificate_lines(certify(make_run(tmp_path, many(100))))
    assert lines[0] == "certified: the client kept up with its plan"
    assert "mean lag 0.3 ms, stalled 0.0 % of the time; CPU: 20.0 % of a core" in lines[1]
    assert len(lines) == 2
    blind = certificate_lines(certify(make_run(tmp_path / "blind", many(9), client=[])))
    assert "CPU" not in "\n".join(blind)


def test_what_was_demanded_is_a_table(tmp_path: Path) -> None:
    run = make_run(tmp_path, many(100))
    table = checks_table(check(parse_gate("ttft_p99<2s,math:ttft_p50<1ms"), run, summarise(run)))
    assert [row[-1] for row in table.rows] == ["held", "held", "held", "held", "MISSED"]
    assert table.rows[-1][:2] == ("ttft_p50<0.001s", "math")
