"""What is made of a run: files, page, plots."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.load.curves import expert, percentiles, rates, window_s
from modem.load.report import Report, write_report
from modem.load.run import read_run
from modem.load.samples import ExpertSample
from modem.load.summary import summarise
from modem.traces import jsonl
from tests.unit.load.runs import DOMAINS, client_lines, cluster_lines, failed, info, many, record, write_run

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A run with everything: failures, misrouted ones, steps, samples, odd names."""
    rows = [*many(120), failed(120, "timeout", "math", at_s=12.1), record(121, "<b>", routed="math", at_s=13)]
    scenario = {"saturation": {"step_s": 6, "growth": 1.5}, "rate": 10.0, "description": "a <test>"}
    samples = [line for domain in DOMAINS for line in cluster_lines(10, domain, waiting=None)]
    folder = write_run(
        tmp_path_factory.mktemp("run"),
        rows,
        info(122, scenario),
        client_lines(12),
        [*samples, *cluster_lines(3)],
    )
    return write_report(folder, "error_rate<5%")


def test_everything_is_written(report: Report) -> None:
    assert [path.name for path in report.files] == [
        "report.html",
        "summary.json",
        "vllm_bench.json",
        "trace.jsonl",
        "requests.png",
        "_b_-time.png",
        "code-time.png",
        "math-time.png",
        "other-time.png",
        "ttft.png",
        "saturation.png",
        "client.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in report.files if path.suffix == ".png")
    assert report.notes == (
        "trace.jsonl: 1 of 122 requests told no length and got the median of their domain",
    )


def test_the_page_needs_nothing_else(report: Report) -> None:
    page = report.files[0].read_text()
    assert page.count("data:image/png;base64,") == 8
    assert 'src="http' not in page
    assert "href" not in page
    assert "<b>" not in page
    assert "a &lt;test&gt;" in page
    assert "certified: the client kept up" in page
    assert "Demanded (--slo)" in page
    assert "timeout: too many wait" in page
    assert "hides overload" not in page


def test_the_summary_is_plain_json(report: Report) -> None:
    found = json.loads((report.folder / "summary.json").read_text())
    assert found["total"]["num_requests"] == 122
    assert found["domains"]["math"]["failures"] == {"timeout": 1}
    assert found["domains"]["math"]["ttft_s"].keys() == {"num", "mean", "p50", "p90", "p99", "max"}
    assert found["certificate"]["ok"] is True
    assert found["slo"][0]["passed"] is True
    assert found["loop"] == "open loop"
    assert found["knee"]["verdict"]
    assert json.loads((report.folder / "vllm_bench.json").read_text())["num_prompts"] == 122


def test_the_trace_can_be_simulated(report: Report) -> None:
    trace = jsonl.read(report.folder / "trace.jsonl")
    assert len(trace) == 122
    assert set(trace.domains) == {"<b>", *DOMAINS}


def test_what_was_demanded_sets_the_status(report: Report) -> None:
    held = [(check.domain, check.passed) for check in report.checks]
    assert held == [(name, True) for name in ("<b>", *DOMAINS, "all")]
    assert report.status == 0


def test_a_closed_loop_is_labelled_on_the_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [record(n) for n in range(9)], info(None, {"loop": "closed", "users": 2}))
    found = write_report(folder)
    page = (folder / "report.html").read_text()
    assert "<h1>Load test: steady (closed loop: hides overload)</h1>" in page
    assert page.count("(closed loop: hides overload)") >= 5
    assert json.loads((folder / "summary.json").read_text())["loop"] == "closed loop: hides overload"
    assert found.status == 0


def test_a_run_in_which_nothing_was_answered_has_a_report(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [failed(n, "no_connection") for n in range(3)], client=[])
    found = write_report(folder)
    assert found.status == 3
    assert found.notes == ("no trace.jsonl: no answer told how long it was",)
    assert not (folder / "trace.jsonl").exists()


def test_a_wrong_slo_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = write_run(tmp_path, many(9))
    for slo in ("ttfx_p99<2s", "law:ttft_p99<2s"):
        with pytest.raises(ConfigError, match="--slo"):
            write_report(folder, slo)
    assert not (folder / "summary.json").exists()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path, many(9))
    (folder / "summary.json").mkdir()
    with pytest.raises(ConfigError, match=r"summary\.json: cannot be written"):
        write_report(folder)


def test_a_million_gaps_are_summarised(tmp_path: Path) -> None:
    """No clock is asserted, but a quadratic step anywhere would not come to an end here."""
    folder = write_run(tmp_path, many(4000, num_gaps=250), info(4000, {"duration_s": 400}))
    summary = summarise(read_run(folder))
    assert summary.total.itl_s.num == 1_000_000


def test_windows_have_percentiles_of_their_own() -> None:
    found = percentiles(np.array([0.5, 0.6, 2.5, 3.0]), np.array([1.0, 3.0, 5.0, np.nan]), 1.0)
    assert found.t_s.tolist() == [0.5, 2.5]
    assert found.p50.tolist() == [2.0, 5.0]
    assert found.p99 == pytest.approx([2.98, 5.0])
    assert len(percentiles(np.array([]), np.array([]), 1.0).t_s) == 0


@given(st.lists(st.floats(0, 99.99), max_size=50), st.floats(0.5, 40))
def test_rates_add_up_to_what_was_sent(moments: list[float], length_s: float) -> None:
    edges, found = rates(np.array(moments), length_s, 100.0)
    assert (found * np.diff(edges)).sum() == pytest.approx(len(moments))
    assert (edges[0], edges[-1]) == (0, 100)


def test_windows_are_not_shorter_than_a_second() -> None:
    assert window_s(30) == 1
    assert window_s(600) == 10


def test_an_expert_is_drawn_in_the_order_of_time() -> None:
    samples = [ExpertSample(2.0, "math", replicas=1), ExpertSample(1.0, "math", running=3)]
    found = expert([*samples, ExpertSample(0.0, "code")], "math")
    assert found.t_s.tolist() == [1.0, 2.0]
    assert np.isnan(found.waiting).all()
    assert found.running[0] == 3
