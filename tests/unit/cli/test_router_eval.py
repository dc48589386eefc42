import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from modem.cli.router_eval import evaluate_command
from modem.routing.strategies import majority
from tests.builders import DOMAINS, expert, front, mixture
from tests.unit.evaluation.cases import write

ROWS = [
    {"prompt": f"{i} words on {domain} and rivers", "domain": domain, "source": f"s{i % 2}", "subject": s}
    for i, s in enumerate(("algebra", "virology", "history", "poetry"))
    for domain in DOMAINS
]


def run(*args: str | Path) -> Result:
    app = typer.Typer()
    app.command()(evaluate_command)
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Serve config whose router goes by keywords."""
    experts = [expert(domain, {"graceful_shutdown_timeout_s": 600}) for domain in DOMAINS]
    file = tmp_path_factory.mktemp("config") / "serve.yaml"
    file.write_text(yaml.safe_dump(mixture([front(), *experts], port=8000)))
    return file


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder / "drills.jsonl", ROWS)
    write(folder / "validation" / "mmlu_like.jsonl", ROWS[:10])
    return folder


def test_tables_show_every_set_and_the_robustness_of_the_gate(config: Path, data: Path) -> None:
    result = run("--data", data, "--config", config, "--limit", "10")
    assert result.exit_code == 0, result.output
    for name in ("drills", "mmlu_like", "gate", "multi_turn", "paraphrase", "context_before", "keyword 1"):
        assert name in result.output
    assert "threshold 0.5" in result.output


def test_json_is_nothing_but_json(config: Path, data: Path) -> None:
    result = run("--data", data, "--config", config, "--no-own", "--json")
    found = json.loads(result.stdout)
    assert [one["name"] for one in found["sets"]] == ["drills", "mmlu_like"]
    assert [one["scores"]["accuracy"] for one in found["sets"]] == [1.0, 1.0]
    assert found["sets"][1]["without_borderline"]["num_prompts"] == 5
    assert found["robustness"] == []


def test_a_file_is_a_set(config: Path, data: Path) -> None:
    found = json.loads(
        run(
            "--data", data / "drills.jsonl", "--config", config, "--no-own", "--wrap", "drills", "--json"
        ).stdout
    )
    assert [one["name"] for one in found["sets"]] == ["drills"]
    assert [one["set"] for one in found["robustness"]] == ["drills"]


def test_of_a_training_folder_the_held_out_part(config: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"math fact {i}", "domain": "math", "source": f"s{i % 3}"} for i in range(150)]
    write(tmp_path / "a.jsonl", rows)
    found = json.loads(run("--data", tmp_path, "--held-out", "--config", config, "--no-own", "--json").stdout)
    (held_out,) = found["sets"]
    assert held_out["name"] == "held_out"
    assert 3 < held_out["scores"]["num_prompts"] < 40
    assert [group["name"] for group in held_out["sources"]] == ["s0", "s1", "s2"]


def test_a_folder_gets_json_markdown_and_plots(
    config: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/modem", "router", "eval", "--data", "two words"])
    result = run("--data", data, "--config", config, "--no-own", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert found["format"] == "modem-evaluation-1"
    assert found["command"] == "modem router eval --data 'two words'"
    assert "# Evaluation of `keyword` 1" in (tmp_path / "out" / "evaluation.md").read_text()
    assert len(list((tmp_path / "out" / "plots").glob("*.png"))) == 6


def test_a_fitted_strategy_is_measured_by_its_folder(data: Path, tmp_path: Path) -> None:
    majority.fit(["x"] * 5, DOMAINS).save(tmp_path)
    found = json.loads(run("--data", data, "--model", tmp_path, "--no-own", "--json").stdout)
    assert found["router"]["name"] == "majority"
    assert found["sets"][0]["scores"]["accuracy"] == pytest.approx(0.2)


def test_the_floor_of_a_release_is_written(config: Path, tmp_path: Path) -> None:
    result = run("--config", config, "--limit", "20", "--wrap", "gate", "--floor", tmp_path / "floor.json")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "floor.json").read_text())
    assert found["router"] == "keyword 1"
    assert found["floor"] == pytest.approx(found["accuracy"] - 0.02)


def test_a_card_needs_a_trained_folder(config: Path, data: Path, tmp_path: Path) -> None:
    result = run("--data", data, "--config", config, "--card", tmp_path / "README.md")
    assert result.exit_code == 2
    assert "give its folder as --model" in result.stderr
    majority.fit(["x"] * 5, DOMAINS).save(tmp_path)
    result = run("--data", data, "--no-own", "--model", tmp_path, "--card", tmp_path / "README.md")
    assert result.exit_code == 2
    assert "metrics.json: cannot be read" in result.stderr


def test_a_card_is_written_beside_the_weights(data: Path, tmp_path: Path) -> None:
    from modem.evaluation.target import load_target
    from tests.unit.evaluation.test_card import DEDUP, METRICS

    majority.fit(["x"] * 5, DOMAINS).save(tmp_path)
    identity = load_target(None, str(tmp_path), None)[0].identity
    router = {"name": identity.name, "version": identity.version, "base": "none"}
    (tmp_path / "metrics.json").write_text(json.dumps({**METRICS, "router": router}))
    (tmp_path / "dedup.json").write_text(json.dumps(DEDUP))
    sources = Path(__file__).parents[3] / "training" / "sources.yaml"
    result = run(
        *("--data", data, "--no-own", "--model", tmp_path, "--sources", sources),
        *("--card", tmp_path / "README.md"),
    )
    assert result.exit_code == 0, result.output
    card = (tmp_path / "README.md").read_text()
    assert f"# Router `majority` {identity.version}" in card
    assert "Declared but not used" in card


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--data", "none.jsonl"], "cannot be read"),
        (["--no-own"], "nothing to measure on"),
        (["--wrap", "none"], "--wrap none: there is no such set"),
        (["--model", "/nowhere"], "no router is there"),
        (["--kind", "tree"], "kind"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(args: list[str], message: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_two_sets_of_one_name_are_refused(config: Path, tmp_path: Path) -> None:
    write(tmp_path / "gate.jsonl", ROWS)
    result = run("--data", tmp_path, "--config", config)
    assert result.exit_code == 2
    assert "two sets are called 'gate'" in result.stderr


def test_the_commands_are_light_until_they_run() -> None:
    code = (
        "import sys, modem.cli.router_eval, modem.cli.router_compare; "
        "print({'torch', 'numpy', 'pydantic', 'sklearn', 'matplotlib', 'onnxruntime'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
