from pathlib import Path

import numpy as np
import pytest

from modem.errors import ConfigError
from modem.load.plan import make_plan
from modem.load.scenarios import read_scenario, scenario_names
from modem.load.shipped import folder
from modem.slo import parse_slo

NAMES = (
    "cold-start",
    "diurnal",
    "domain-drift",
    "long-prompts",
    "mixed-streaming",
    "multi-turn",
    "ramp",
    "replay",
    "saturation",
    "spike",
    "steady",
    "step",
)


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_twelve_come_with_the_load_tester() -> None:
    assert scenario_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_is_described_and_can_be_planned(name: str) -> None:
    scenario = read_scenario(name)
    assert scenario.name == name
    assert scenario.description
    assert scenario.loop == "open"
    parse_slo(scenario.targets)
    plan = make_plan(scenario)
    assert set(plan.domains) == {"math", "health", "science", "coding", "other"}
    assert set(plan.domain_index.tolist()) == set(range(5))
    # What simulated experts of a laptop answer, but for the one that is to find their end.
    assert len(plan) / plan.span_s <= 5 or name == "saturation"


@pytest.mark.parametrize("name", NAMES)
def test_each_file_gives_reasons(name: str) -> None:
    lines = (folder("scenarios") / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert max(map(len, lines)) <= 110
    assert sum(not line.lstrip().startswith("#") for line in lines) <= 20


def test_the_drift_drifts() -> None:
    plan = make_plan(read_scenario("domain-drift"))
    names = np.array(plan.domains)[plan.domain_index]
    thirds = [names[(plan.at_s >= start) & (plan.at_s < start + 60)] for start in (0, 120, 240)]
    most = [max(set(third), key=third.tolist().count) for third in thirds]
    assert most == ["math", "health", "coding"]


def test_the_spike_is_one() -> None:
    counts = np.histogram(make_plan(read_scenario("spike")).at_s, np.arange(0, 181, 30))[0]
    assert counts.argmax() == 2
    assert counts[2] > 2.5 * max(np.delete(counts, 2))


def test_half_of_the_mixed_ones_stream() -> None:
    assert make_plan(read_scenario("mixed-streaming")).turns.stream.mean() == pytest.approx(0.5, abs=0.1)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.yaml", "duration_s: 10\nrate: 3\n")
    assert read_scenario(path).name == "mine"
    assert read_scenario(path).rate == 3.0


def test_keys_can_be_set_from_outside(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.yaml", "duration_s: 10\nrate: 3\nsessions: {turns: [1, 2]}\n")
    found = read_scenario(
        path,
        {
            "rate": "[[0, 1], [5, 2]]",
            "duration_s": 20,
            "sessions.think_s": "0.5",
            "mix": "math=1,other=3",
            "pinned": "true",
            "replay": "null",
            "targets": "ttft_p99<1s,e2e_p90<10s",
        },
    )
    assert found.rate == ((0.0, 1.0), (5.0, 2.0))
    assert found.duration_s == 20
    assert found.sessions is not None
    assert (found.sessions.turns, found.sessions.think_s) == ((1, 2), 0.5)
    assert found.mix == "math=1,other=3"
    assert found.pinned


def test_an_open_loop_becomes_a_closed_one() -> None:
    found = read_scenario("steady", {"rate": "null", "users": "4"})
    assert found.loop == "closed"


def test_files_are_found_beside_the_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    write(inner / "mine.yaml", "replay: {trace: t.jsonl}\nprompts: p.jsonl\n")
    write(inner / "t.jsonl", '{"t_s": 0, "prompt_tokens": 1, "output_tokens": 1}\n')
    write(inner / "p.jsonl", '{"prompt": "a", "domain": "math"}\n')
    monkeypatch.chdir(tmp_path)
    found = read_scenario("inner/mine.yaml")
    assert found.replay is not None
    assert found.replay.trace == str(inner / "t.jsonl")
    assert found.prompts == str(inner / "p.jsonl")
    # What stands in the working directory comes first, as people type it there.
    write(tmp_path / "t.jsonl", '{"t_s": 0, "prompt_tokens": 1, "output_tokens": 1}\n')
    again = read_scenario("inner/mine.yaml", {"replay.trace": "t.jsonl=math"})
    assert again.replay is not None
    assert again.replay.trace == f"{tmp_path / 't.jsonl'}=math"


def test_a_synthetic_trace_is_no_file(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.yaml", "replay: {trace: 'poisson:rate_rps=2,duration_s=30'}\n")
    assert len(make_plan(read_scenario(path))) > 30


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rates: 3\nduration_s: 1\n", r"mine\.yaml: rates\n.*value:  3\n.*no such key.*\n.*'rate'"),
        ("rate: much\nduration_s: 1\n", r'mine\.yaml: rate\n.*value:  "much"'),
        ("rate: '2'\nduration_s: 1\n", r"without quotes"),
        ("rate: 2\n", "duration_s is missing"),
        ("rate: 2\nduration_s: 1\nsessions: {turn: 3}\n", r"sessions\.turn\n"),
        ("- 1\n", "expected lines of 'key: value'"),
        ("rate: [1\n", "not YAML"),
        ("", "expected lines of 'key: value'"),
        ("rate: 2\nduration_s: 1\nmix: math=1 too other=2\n", r"mine\.yaml: mix\n.*is no DOMAIN=WEIGHT"),
        ("rate: 2\nduration_s: 1\ntargets: p99<2s\n", r"mine\.yaml: targets\n"),
        ("rate: 2\nduration_s: 1\narrivals: poison\n", "Did you mean 'poisson'"),
        ("rate: 2\nduration_s: 1\nusers: 1\n", r"mine\.yaml: users\n.*value:  1\n.*exclude each other"),
        ("rate: .inf\nduration_s: 1\n", "finite number"),
    ],
)
def test_a_wrong_file_is_an_error_that_says_what_to_mend(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        read_scenario(write(tmp_path / "mine.yaml", text))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stedy", "did you mean 'steady'"),
        ("xyz", "there are cold-start, diurnal"),
        ("none.yaml", r"none\.yaml: cannot be read"),
    ],
)
def test_an_unknown_name_is_an_error(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_scenario(name)


def test_a_wrong_change_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"rate='\[': not YAML"):
        read_scenario("steady", {"rate": "["})
    with pytest.raises(ConfigError, match=r"(?s)think.*no such key"):
        read_scenario("steady", {"think": 3})
