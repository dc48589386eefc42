"""The traces of others: Mooncake, Azure, ServeGen."""

import json
from pathlib import Path

import numpy as np
import pytest

from modem.errors import ConfigError
from modem.traces import azure, mooncake, servegen
from modem.traces.lengths import LognormalLengths
from modem.traces.servegen import Part
from modem.traces.trace import ANY_DOMAIN


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def write_mooncake(path: Path, stamps_ms: list[int]) -> Path:
    rows = [
        {"timestamp": ms, "input_length": 100 + i, "output_length": 10 + i, "hash_ids": [0]}
        for i, ms in enumerate(stamps_ms)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_mooncake_requests_of_one_step_are_spread_over_it(tmp_path: Path) -> None:
    path = write_mooncake(tmp_path / "m.jsonl", [0] * 8 + [3000] * 8 + [6000] * 8)
    trace = mooncake.read(path, rng())
    assert trace.domains == (ANY_DOMAIN,)
    for step in range(3):
        inside = trace.t_s[step * 8 : step * 8 + 8]
        assert inside.min() >= 3 * step
        assert inside.max() < 3 * step + 3
        assert len(np.unique(inside)) == 8
    assert sorted(trace.prompt_tokens) == list(range(100, 124))
    assert "spread within steps of 3 s" in trace.origin


def test_mooncake_spreading_follows_the_seed(tmp_path: Path) -> None:
    path = write_mooncake(tmp_path / "m.jsonl", [0] * 8 + [3000] * 8)
    assert (mooncake.read(path, rng()).t_s == mooncake.read(path, rng()).t_s).all()
    other = mooncake.read(path, np.random.default_rng(8))
    assert (mooncake.read(path, rng()).t_s != other.t_s).any()


def test_mooncake_times_that_are_not_quantised_stay(tmp_path: Path) -> None:
    path = write_mooncake(tmp_path / "m.jsonl", [0, 250, 250, 900])
    trace = mooncake.read(path, rng())
    assert trace.t_s.tolist() == [0, 0.25, 0.25, 0.9]
    assert trace.origin == "m.jsonl"


def test_mooncake_errors_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    good = '{"timestamp": 0, "input_length": 1, "output_length": 1}\n'
    path.write_text(good + '{"timestamp": 0, "input_length": 1}\n')
    with pytest.raises(ConfigError, match=r"m\.jsonl:2: output_length is missing"):
        mooncake.read(path, rng())
    path.write_text(good + good.replace('"timestamp": 0', '"timestamp": -5'))
    with pytest.raises(ConfigError, match=r"m\.jsonl:2: timestamp is -5"):
        mooncake.read(path, rng())


def write_azure(path: Path, *lines: str) -> Path:
    path.write_bytes("\r\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]).encode())
    return path


def test_azure_has_seven_digits_and_crlf_and_begins_at_zero(tmp_path: Path) -> None:
    path = write_azure(
        tmp_path / "a.csv", "2023-11-16 18:17:03.9799600,4808,10", "2023-11-16 18:17:04.2319605,110,27"
    )
    trace = azure.read(path)
    assert trace.t_s.tolist() == [0.0, pytest.approx(0.252)]
    assert trace.prompt_tokens.tolist() == [4808, 110]
    assert trace.output_tokens.tolist() == [10, 27]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2023-11-16 18:17:03,1", "2 columns; a line has TIMESTAMP,ContextTokens,GeneratedTokens"),
        ("yesterday,1,1", "TIMESTAMP is 'yesterday'"),
        ("2023-11-16 18:17:03,many,1", "ContextTokens is 'many': write a number"),
        ("2023-11-16 18:17:03,-4,1", "ContextTokens is -4"),
        ("2023-11-16 18:17:03,4,nan", "GeneratedTokens is 'nan'|GeneratedTokens is nan"),
    ],
)
def test_azure_errors_name_the_line(tmp_path: Path, line: str, message: str) -> None:
    path = write_azure(tmp_path / "a.csv", "2023-11-16 18:17:03.9799600,4808,10", line)
    with pytest.raises(ConfigError, match=rf"a\.csv:3: ({message})"):
        azure.read(path)


def test_azure_without_its_header_or_rows_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,in,out\n1,2,3\n")
    with pytest.raises(ConfigError, match=r"a\.csv:1: the header is 'time,in,out'"):
        azure.read(tmp_path / "a.csv")
    with pytest.raises(ConfigError, match="no request in it"):
        azure.read(write_azure(tmp_path / "b.csv"))


CLIENT = "0,0.5,1.2,Gamma,0.7,2.8\n600,0,,,,\n1200,2,3.0,Weibull,0.6,0.3\n"


def test_a_servegen_window_holds_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "chunk-1-trace.csv"
    path.write_text(CLIENT)
    trace = servegen.read(path, rng(), Part(0, 1800), LognormalLengths())
    first = int(((trace.t_s >= 0) & (trace.t_s < 600)).sum())
    silent = int(((trace.t_s >= 600) & (trace.t_s < 1200)).sum())
    last = int((trace.t_s >= 1200).sum())
    assert (first, silent, last) == (300, 0, 1200)
    assert trace.span_s == 1800


def test_a_part_of_a_client_is_cut_and_scaled(tmp_path: Path) -> None:
    path = tmp_path / "chunk-1-trace.csv"
    path.write_text(CLIENT)
    trace = servegen.read(path, rng(), Part(1200, 300, 0.5), LognormalLengths())
    assert trace.t_s.min() >= 0
    assert trace.t_s.max() < 300
    assert 200 < len(trace) < 400  # 600 in ten minutes, burstier than Poisson
    assert "from 1200 s, 0.5 of its rate" in trace.origin


def test_bursty_windows_stay_bursty(tmp_path: Path) -> None:
    path = tmp_path / "chunk-1-trace.csv"
    path.write_text("0,20,4,Gamma,0.0625,0.8\n600,20,4,Gamma,0.0625,0.8\n")
    gaps = np.diff(servegen.read(path, rng(), Part(0, 1200), LognormalLengths()).t_s)
    assert 3 < gaps.std() / gaps.mean() < 5


def test_a_silent_part_is_an_error_that_says_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "chunk-1-trace.csv"
    path.write_text(CLIENT)
    with pytest.raises(ConfigError, match=r"no request from 600 s on within 600 s; .* 0 to 1200 s"):
        servegen.read(path, rng(), Part(600, 600), LognormalLengths())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0,1,1,Gamma,1", "5 columns; a line has t_s, rate_rps"),
        ("0,-1,1,Gamma,1,1", "rate_rps is -1"),
        ("0,1,1,Pareto,1,1", "dist is 'Pareto': write Gamma or Weibull"),
        ("0,1,,,,", "dist is ''"),
        ("0,1,1,Gamma,0,1", "shape is 0: write more than 0"),
        ("now,1,1,Gamma,1,1", "t_s is 'now': write a number"),
    ],
)
def test_servegen_errors_name_the_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "chunk-1-trace.csv"
    path.write_text(f"0,1,1,Gamma,1,1\n{line}\n")
    with pytest.raises(ConfigError, match=rf"chunk-1-trace\.csv:2: {message}"):
        servegen.read(path, rng(), Part(), LognormalLengths())


def test_servegen_lengths_are_drawn_from_the_window_of_the_request(tmp_path: Path) -> None:
    path = tmp_path / "chunk-1-dataset.json"
    windows = {
        "0": {"input_tokens": "{}", "output_tokens": "{}"},
        "100": {"input_tokens": "{7: 1.0}", "output_tokens": "{3: 1.0}"},
        "200": {"input_tokens": "{8: 0.5, 9: 0.5}", "output_tokens": "{0: 1.0}"},
    }
    path.write_text(json.dumps(windows))
    lengths = servegen.read_lengths(path)
    prompts, outputs = lengths.draw(np.array([50.0, 150.0, 250.0, 260.0]), rng())
    assert prompts[:2].tolist() == [7, 7]
    assert set(prompts[2:]) <= {8, 9}
    assert outputs.tolist() == [3, 3, 1, 1]  # an answer has one token at least


@pytest.mark.parametrize(
    "window",
    [
        {},
        {"input_tokens": "__import__('os')", "output_tokens": "{}"},
        {"input_tokens": "{1: 1", "output_tokens": ""},
    ],
)
def test_servegen_lengths_that_are_no_literal_are_refused(tmp_path: Path, window: object) -> None:
    path = tmp_path / "chunk-1-dataset.json"
    path.write_text(json.dumps({"100": window}))
    with pytest.raises(ConfigError, match="window 100: input_tokens is no mapping"):
        servegen.read_lengths(path)


def test_servegen_lengths_need_a_window(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text("{}")
    with pytest.raises(ConfigError, match="all windows are empty"):
        servegen.read_lengths(path)
    path.write_text("[")
    with pytest.raises(ConfigError, match="not JSON"):
        servegen.read_lengths(path)
