import json
from pathlib import Path

import numpy as np
import pytest

from modem.errors import ConfigError
from modem.traces.mix import Mix
from modem.traces.servegen import Part
from modem.traces.source import load
from modem.traces.trace import ANY_DOMAIN, Trace

KNOWN = ("math", "other")


def read(source: str, mix: Mix | None = None, part: Part | None = None) -> Trace:
    return load(source, np.random.default_rng(1), KNOWN, mix, part)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "own.jsonl").write_text(
        '{"t_s": 1, "domain": "math", "prompt_tokens": 5, "output_tokens": 2}\n'
        '{"t_s": 3, "domain": "other", "prompt_tokens": 6, "output_tokens": 2}\n'
    )
    (tmp_path / "bare.jsonl").write_text('{"t_s": 1, "prompt_tokens": 5, "output_tokens": 2}\n' * 40)
    (tmp_path / "mooncake.jsonl").write_text('{"timestamp": 1500, "input_length": 5, "output_length": 2}\n')
    (tmp_path / "azure.csv").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,48,10\n"
    )
    (tmp_path / "chunk-3-trace.csv").write_text("0,0.5,1,Gamma,1,1\n600,0.5,1,Gamma,1,1\n")
    (tmp_path / "a=b.jsonl").write_text('{"t_s": 1, "prompt_tokens": 5, "output_tokens": 2}\n')
    return tmp_path


@pytest.mark.parametrize(
    ("name", "number"),
    [("own.jsonl", 2), ("mooncake.jsonl", 1), ("azure.csv", 1), ("chunk-3-trace.csv", 600)],
)
def test_the_format_is_told_from_the_file(files: Path, name: str, number: int) -> None:
    trace = read(str(files / name))
    assert len(trace) == number
    assert set(trace.domains) <= set(KNOWN)


def test_a_trace_with_domains_keeps_them(files: Path) -> None:
    assert read(str(files / "own.jsonl"), Mix.steady({"other": 1.0})).counts() == {"math": 1, "other": 1}


def test_a_trace_without_domains_is_split_by_the_mix_or_evenly(files: Path) -> None:
    assert read(str(files / "bare.jsonl"), Mix.steady({"other": 1.0})).counts() == {"other": 40}
    evenly = read(str(files / "bare.jsonl"))
    assert "split math=0.5,other=0.5" in evenly.origin
    assert all(10 < number < 30 for number in evenly.counts().values())


def test_without_known_domains_and_mix_there_are_none(files: Path) -> None:
    trace = load(str(files / "azure.csv"), np.random.default_rng(1))
    assert trace.domains == (ANY_DOMAIN,)


def test_a_file_can_be_one_domains(files: Path) -> None:
    assert read(f"{files / 'azure.csv'}=math", Mix.steady({"other": 1.0})).counts() == {"math": 1}
    assert len(read(str(files / "a=b.jsonl"))) == 1


def test_lengths_that_lie_beside_a_client_are_used(files: Path) -> None:
    windows = {"0": {"input_tokens": "{77: 1}", "output_tokens": "{5: 1}"}}
    (files / "chunk-9-dataset.json").write_text(json.dumps(windows))
    trace = read(str(files / "chunk-3-trace.csv"))
    assert set(trace.prompt_tokens) == {77}


def test_a_part_cuts_and_thins_any_trace(files: Path) -> None:
    cut = read(str(files / "own.jsonl"), part=Part(2, 5))
    assert [(row.t_s, row.domain) for row in cut] == [(1, "other")]
    assert 5 < len(read(str(files / "bare.jsonl"), part=Part(rate_scale=0.5))) < 35


def test_synthetic_traces_have_names_and_settings() -> None:
    trace = read("poisson:rate_rps=2,duration_s=100,prompt_median_tokens=9,sigma=0,output_median_tokens=3")
    assert 130 < len(trace) < 270
    assert set(trace.prompt_tokens) == {9}
    assert set(trace.output_tokens) == {3}
    assert read("spike:rate_rps=0,peak_rps=9,at_s=5,width_s=5,duration_s=20").t_s.min() >= 5
    assert read("step:rate_rps=1,later_rps=3,at_s=5,duration_s=20").span_s == 20
    assert len(read("gamma:rate_rps=3,cv=2,duration_s=200,max_tokens=20")) > 100
    assert len(read("diurnal:rate_rps=3,duration_s=200,period_s=100")) > 100


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("poisson:rate_rps=2", "missing 1 required positional argument: 'duration_s'"),
        (
            "poisson:rate=2,duration_s=3",
            "no 'rate' here; there are rate_rps, duration_s, prompt_median_tokens",
        ),
        ("poisson:rate_rps=fast,duration_s=3", "'rate_rps=fast' is no KEY=NUMBER"),
        ("poisson:rate_rps=-2,duration_s=3", "rate_rps is -2"),
        ("nowhere.jsonl", r"nowhere\.jsonl: cannot be read"),
        ("nowhere.csv", r"nowhere\.csv: cannot be read"),
        ("own.jsonl=history", "domain 'history' is none of math, other"),
        ("own.jsonl=math", "the requests of this file have domains: leave =math out"),
    ],
)
def test_what_is_wrong_is_said(
    files: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.chdir(files)
    with pytest.raises(ConfigError, match=message):
        read(source)


def test_a_file_of_which_some_lines_have_domains_is_refused(files: Path) -> None:
    (files / "half.jsonl").write_text((files / "own.jsonl").read_text() + (files / "bare.jsonl").read_text())
    with pytest.raises(ConfigError, match="some lines have a domain and some have none"):
        read(str(files / "half.jsonl"))
