import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from modem.cli.main import app
from tests.builders import expert, front, mixture
from tests.unit.simulation.builders import profile

TRACE = "poisson:rate_rps=1,duration_s=60,output_median_tokens=20"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two simulated experts, of which math sleeps."""
    whole = {"graceful_shutdown_timeout_s": 600}
    asleep = {"min_replicas": 0, "initial_replicas": 0}
    applications = [
        front(domains=("other", "math")),
        expert("other", whole, ttft_s=0.1, tpot_s=0.02),
        expert("math", whole, asleep, startup_s=4),
    ]
    path = tmp_path / "serve_config.yaml"
    path.write_text(yaml.safe_dump(mixture(applications, 8000), sort_keys=False))
    return path


def run(config: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["simulate", "--config", str(config), *options])


def test_a_trace_is_replayed_and_told(config: Path) -> None:
    result = run(config, "--trace", TRACE, "--mix", "math=1,other=3")
    assert result.exit_code == 0, result.output
    assert "Poisson, 1 rps, 60 s, split math=0.25,other=0.75" in result.output
    assert "profile: simulated math (configured)" in result.output
    assert "within target" in result.output
    assert "cold starts" in result.output


def test_json_has_all_figures_and_the_seed_decides(config: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.json" for name in "abc"]
    for file, seed in zip(files, ("3", "3", "4"), strict=True):
        options = ("--trace", TRACE, "--seed", seed, "--json", str(file), "--ttft-target-s", "0.5")
        assert run(config, *options).exit_code == 0
    first, again, other = (json.loads(file.read_text()) for file in files)
    for document in (first, again, other):
        del document["command"]
    assert first == again
    assert first["total"] != other["total"]
    assert first["targets"]["ttft_s"] == 0.5
    math, total = first["domains"]["math"], first["total"]
    assert math["num_cold_starts"] >= 1
    assert math["num_answered"] == math["num_requests"]
    assert total["num_requests"] == sum(each["num_requests"] for each in first["domains"].values())
    assert math["ttft_s"]["p99"] > 2 > first["domains"]["other"]["ttft_s"]["p99"]


def test_a_page_and_its_plots(config: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = tmp_path / "out" / "page.html"
    result = run(config, "--trace", TRACE, "--html", str(page))
    assert result.exit_code == 0, result.output
    assert page.read_text().count("data:image/png;base64,") == 4
    assert len(list((tmp_path / "out" / "page-plots").glob("*.png"))) == 4


def test_traces_lie_over_one_another(config: Path, tmp_path: Path) -> None:
    own, out = tmp_path / "own.jsonl", tmp_path / "o.json"
    own.write_text('{"t_s": 2, "prompt_tokens": 9, "output_tokens": 9}\n')
    traces = ("--trace", f"{own}=math", "--trace", TRACE, "--mix", "other=1")
    result = run(config, *traces, "--json", str(out))
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text())["domains"]["math"]["num_requests"] == 1


def test_a_part_of_a_trace_and_of_its_rate(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.json"
    options = ("--start-s", "10", "--duration-s", "20", "--rate", "0.5", "--json", str(out))
    assert run(config, "--trace", TRACE, *options).exit_code == 0
    document = json.loads(out.read_text())
    assert document["trace"]["span_s"] == 20
    assert 2 <= document["trace"]["num_requests"] <= 22


def test_profiles_for_all_and_for_one(config: Path, tmp_path: Path) -> None:
    own, others = tmp_path / "own.json", tmp_path / "others.json"
    own.write_text(profile(name="my own").to_json())
    others.write_text(profile(name="the others").to_json())
    result = run(config, "--trace", TRACE, "--profile", f"math={own}", "--profile", str(others))
    assert result.exit_code == 0, result.output
    assert "profile: my own (configured)" in result.output
    assert "profile: the others (configured)" in result.output


def test_a_pool_of_gpus_that_is_too_small_makes_experts_wait(config: Path, tmp_path: Path) -> None:
    one_gpu, out = tmp_path / "p.json", tmp_path / "o.json"
    one_gpu.write_text(profile().to_json())
    options = ("--profile", str(one_gpu), "--gpus", "1", "--json", str(out))
    assert run(config, "--trace", TRACE, *options).exit_code == 0
    domains = json.loads(out.read_text())["domains"]
    assert domains["math"]["num_answered"] == 0
    assert domains["math"]["num_timed_out"] > 0
    assert domains["other"]["num_answered"] == domains["other"]["num_requests"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--trace", "gone.jsonl"), "gone.jsonl: cannot be read"),
        (("--trace", "bad.jsonl"), "bad.jsonl:2: t_s is -3"),
        (("--trace", "unknown.jsonl"), "unknown.jsonl:1: domain 'history' is none of other, math"),
        (("--trace", TRACE, "--mix", "history=1"), "'history' is none of other, math"),
        (("--trace", "poisson:rate_rps=0,duration_s=1"), "rate_rps is 0"),
        (("--trace", TRACE, "--profile", "bad.json"), "bad.json:2: speed: Extra inputs"),
        (("--trace", TRACE, "--profile", "history=good.json"), "has no such domain"),
        (("--trace", TRACE, "--json", "good.json/out.json"), "cannot be written"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    good = '{"t_s": 0, "domain": "math", "prompt_tokens": 1, "output_tokens": 1}\n'
    Path("bad.jsonl").write_text(good + good.replace('"t_s": 0', '"t_s": -3'))
    Path("unknown.jsonl").write_text(good.replace("math", "history"))
    Path("good.json").write_text(profile().to_json())
    Path("bad.json").write_text(profile().to_json().replace("{\n", '{\n "speed": 3,\n', 1))
    result = run(config, *options)
    assert result.exit_code == 2
    assert message in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr


def test_a_policy_that_cannot_be_found_is_said(config: Path) -> None:
    document = yaml.safe_load(config.read_text())
    scaling = document["applications"][1]["deployments"][0]["autoscaling_config"]
    scaling["policy"] = {"policy_function": "nowhere_at_all:policy"}
    config.write_text(yaml.safe_dump(document, sort_keys=False))
    result = run(config, "--trace", TRACE)
    assert result.exit_code == 2
    assert "nowhere_at_all" in result.stderr
