"""A run for others: as vLLM's benchmark writes it, and as a trace."""

import ast
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from modem.load.recorded import recorded_trace
from modem.load.run import Run
from modem.load.summary import summarise
from modem.load.vllm_bench import vllm_bench
from modem.traces import jsonl
from tests.unit.load.runs import failed, info, make_run, many, record, whole


@pytest.fixture
def run(tmp_path: Path) -> Run:
    rows = [
        record(0, "math", at_s=0.0, late_s=0.05, ttft_s=0.25, itl_s=(0.1, 0.3)),
        failed(1, "timeout", "math", message="60 s"),
        whole(2, "code", e2e_s=0.5, late_s=0.0, prompt_tokens=100, output_tokens=20),
        record(3, "code", at_s=2.1, ttft_s=0.1, prompt_tokens=50, session="s"),
    ]
    return make_run(tmp_path, rows)


def written_by_vllm() -> set[str]:
    """Keys that ``vllm bench serve --save-result --save-detailed`` writes, from its source."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        pytest.skip("vLLM is not installed")
    path = Path(spec.origin).parent / "benchmarks" / "serve.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    keys = {
        node.targets[0].slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Subscript)
        and isinstance(node.targets[0].value, ast.Name)
        and node.targets[0].value.id == "result_json"
        and isinstance(node.targets[0].slice, ast.Constant)
    }
    results = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "result"
        and isinstance(node.value, ast.Dict)
    ]
    generation = next(each for each in results if len(each.keys) == max(len(x.keys) for x in results))
    keys |= {key.value for key in generation.keys if isinstance(key, ast.Constant)}
    names = ("ttft", "tpot", "itl")  # its default --percentile-metrics and --metric-percentiles
    return {str(key) for key in keys} | {
        f"{x}_{n}_ms" for n in names for x in ("mean", "median", "std", "p99")
    }


def test_the_keys_are_vllms(run: Run) -> None:
    ramp = {"ramp_up_strategy", "ramp_up_start_rps", "ramp_up_end_rps"}  # only with --ramp-up-strategy
    wanted = written_by_vllm() - ramp
    assert {"ttfts", "itls", "request_goodput", "label", "burstiness"} <= wanted
    own = set(vllm_bench(run, summarise(run)))
    assert wanted - own == set()
    assert own - wanted == {f"p{q}_{n}_ms" for q in (50, 90) for n in ("ttft", "tpot", "itl")} | {
        f"{x}_e2el_ms" for x in ("mean", "median", "std", "p50", "p90", "p99")
    }


def test_times_count_from_the_send_in_seconds_and_statistics_in_milliseconds(run: Run) -> None:
    found = vllm_bench(run, summarise(run))
    assert found["ttfts"] == pytest.approx([0.2, 0.0, 0.5, 0.099])
    assert found["queue_times"] == pytest.approx([0.05, 0.001, 0.0, 0.001])
    assert found["start_times"] == pytest.approx([0.05, 1.001, 2.0, 2.101])
    assert found["latencies"] == pytest.approx([0.601, 0.0, 0.5, 0.18])
    assert [len(gaps) for gaps in found["itls"]] == [2, 0, 0, 4]
    assert found["itls"][0] == pytest.approx([0.1, 0.3])
    assert found["output_lens"] == [3, 0, 20, 5]
    assert found["input_lens"] == [30, 0, 100, 50]
    assert found["errors"] == ["", "timeout: 60 s", "", ""]
    assert (found["completed"], found["failed"], found["num_prompts"]) == (3, 1, 4)
    assert (found["total_input_tokens"], found["total_output_tokens"]) == (180, 28)
    assert found["median_ttft_ms"] == pytest.approx(200)
    assert found["p99_itl_ms"] == pytest.approx(1000 * float(np.percentile([0.1, 0.3, *[0.02] * 4], 99)))
    assert found["request_throughput"] == pytest.approx(0.3)
    assert found["date"] == "20260304-050607"


def test_peaks_are_those_of_seconds_from_the_first_send(run: Run) -> None:
    found = vllm_bench(run, summarise(run))
    # First texts at 0.2 and 2.15 s after the first send; gaps of 0.1 and 0.3, and four of 0.02.
    assert found["max_output_tokens_per_s"] == 5
    assert found["max_concurrent_requests"] == 2


def test_the_load_is_told_as_vllm_does(tmp_path: Path) -> None:
    def header(name: str, scenario: dict[str, object]) -> dict[str, object]:
        run = make_run(tmp_path / name, [record(n) for n in range(5)], run=info(5, scenario))
        return vllm_bench(run, summarise(run))

    bursty = header("gamma", {"arrivals": "gamma", "cv": 2.0})
    assert (bursty["burstiness"], bursty["request_rate"], bursty["max_concurrency"]) == (0.25, 0.5, None)
    assert header("poisson", {})["burstiness"] == 1.0
    assert header("constant", {"arrivals": "constant"})["burstiness"] == "inf"
    closed = header("closed", {"loop": "closed", "users": 7.0})
    assert (closed["request_rate"], closed["max_concurrency"]) == ("inf", 7.0)


def test_a_run_without_an_answer_is_plain_json_too(tmp_path: Path) -> None:
    run = make_run(tmp_path, [failed(0, "no_connection")], run=info(1, started_at="?"))
    found = vllm_bench(run, summarise(run))
    json.dumps(found, allow_nan=False)
    assert found["max_concurrent_requests"] == 0
    assert found["mean_ttft_ms"] == 0
    assert found["date"] == "?"


def test_the_trace_is_what_was_asked(run: Run, tmp_path: Path) -> None:
    recorded = recorded_trace(run)
    assert recorded is not None
    assert recorded.num_guessed == 1
    path = tmp_path / "trace.jsonl"
    jsonl.write(path, recorded.trace)
    rows = list(jsonl.read(path))
    assert [row.t_s for row in rows] == [0.0, 1.0, 2.0, 2.1]
    assert [row.domain for row in rows] == ["math", "math", "code", "code"]
    assert [row.prompt_tokens for row in rows] == [30, 30, 100, 50]  # the failed one has its domain's median
    assert [row.output_tokens for row in rows] == [3, 3, 20, 5]
    assert [row.session for row in rows] == [None, None, None, "s"]


def test_a_domain_that_always_failed_has_the_median_of_all(tmp_path: Path) -> None:
    rows = [*many(30), *(failed(30 + n, "timeout", "law") for n in range(3))]
    recorded = recorded_trace(make_run(tmp_path, rows))
    assert recorded is not None
    assert {row.prompt_tokens for row in recorded.trace if row.domain == "law"} == {30}
    assert recorded.trace.span_s == 32


def test_without_a_length_there_is_no_trace(tmp_path: Path) -> None:
    assert recorded_trace(make_run(tmp_path, [failed(0, "timeout")])) is None
