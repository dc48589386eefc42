"""``modem load report`` and ``modem load compare``."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from modem.cli.main import app
from modem.load.record import Record
from tests.unit.load.runs import client_lines, failed, info, many, record, write_run

pytest.importorskip("matplotlib")


def answers(number: int = 60) -> list[Record]:
    """Of one domain, so that there is little to draw."""
    return [record(n, at_s=n / 6) for n in range(number)]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["load", *map(str, arguments)])


def test_a_good_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path, answers())
    result = invoke("report", folder, "--slo", "ttft_p99<2s,error_rate<0.1%")
    assert result.exit_code == 0, result.output
    for text in ("Work", "Latencies", "Demanded (--slo)", "certified: the client kept up", "report.html"):
        assert text in result.output
    assert (folder / "report.html").exists()


def test_a_missed_slo_is_status_1(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [*answers(), failed(60)])
    result = invoke("report", folder, "--slo", "math:error_rate<1%")
    assert result.exit_code == 1
    assert "MISSED" in result.output
    assert "1 x rate_limited: too many wait" in result.output


def test_a_client_that_was_the_bottleneck_is_status_3(tmp_path: Path) -> None:
    folder = write_run(tmp_path, answers(), client=client_lines(cpu_share=0.99))
    result = invoke("report", folder)
    assert result.exit_code == 3
    assert "NOT CERTIFIED" in result.output


@pytest.mark.parametrize(
    ("slo", "says"), [("ttfx_p99<2s", "did you mean 'ttft'"), ("law:ttft_p99<2s", "no domain 'law'")]
)
def test_a_wrong_slo_is_status_2(tmp_path: Path, slo: str, says: str) -> None:
    result = invoke("report", write_run(tmp_path, many(9)), "--slo", slo)
    assert result.exit_code == 2
    assert says in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", [("report",), ("compare", ".")])
def test_a_missing_folder_is_status_2(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = invoke(*command, tmp_path / "nowhere")
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert "modem load run" in result.output


def test_two_runs_side_by_side(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", many(120), info(120, {"name": "before"}))
    b = write_run(tmp_path / "b", many(120, 1, ttft_s=0.3))
    result = invoke("compare", a, b)
    assert result.exit_code == 0, result.output
    assert "(before)" in result.output
    assert "all: B against A" in result.output
    assert "slower" in result.output
    assert "repeat what matters" in result.output


def test_a_comparison_as_json(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", many(60))
    result = invoke("compare", folder, folder, "--json", "--seed", 3)
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert {row["verdict"] for row in found["rows"] if row["domain"] == "all"} == {"not told apart"}
    assert {row["verdict"] for row in found["rows"] if row["domain"] == "math"} == {"too few requests"}
    assert found["rows"][0]["difference_interval"].keys() == {"low", "high"}
