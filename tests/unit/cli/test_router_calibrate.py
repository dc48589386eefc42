import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from modem.cli.router_calibrate import calibrate
from modem.evaluation.measure import measure
from modem.evaluation.sets import read_set
from modem.evaluation.tables import percent
from modem.routing.load import load_router
from modem.serve_config.load import load
from tests.builders import expert, front, mixture
from tests.compact import write_compact_router
from tests.unit.cli.graded import DOMAINS

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(calibrate)

Row = tuple[str, str]
"""Prompt and domain."""

# Doubtful specialists are wrong, sure ones right: a threshold between 0.6 and 0.8 is best.
ROWS: list[Row] = [
    *[(f"sum of angles, math 80, number {i}", "math") for i in range(6)],
    *[(f"treatment of gout, health 90, number {i}", "health") for i in range(6)],
    *[(f"history of numbers, math 55, number {i}", "other") for i in range(6)],
    *[(f"king of France, other 95, number {i}", "other") for i in range(6)],
]


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def config_file(folder: Path, **routing: float) -> Path:
    """A Serve config of simulated experts whose routing has comments, as people write them."""
    router = {"kind": "custom", "import_path": "tests.unit.cli.graded:graded"}
    patient = {"graceful_shutdown_timeout_s": 600}
    applications = [
        front(domains=DOMAINS, router=router, routing={"fallback": "other", **routing}),
        *(expert(domain, patient) for domain in DOMAINS),
    ]
    text = yaml.safe_dump(mixture(applications, port=8000), sort_keys=False)
    text = re.sub(r"^( *)(threshold: .*)$", r"\1# Why it is so.\n\1\2  # kept", text, flags=re.MULTILINE)
    file = folder / "serve.yaml"
    file.write_bytes(f"# Grüße\n{text}".encode())
    return file


def data_file(folder: Path, rows: Sequence[Row] = ROWS, name: str = "labelled.jsonl") -> Path:
    file = folder / name
    file.write_text("\n".join(json.dumps({"prompt": p, "domain": d}) for p, d in rows))
    return file


def conversation(first: str, last: str, domain: str) -> str:
    turns = [{"role": "user", "content": first}, {"role": "user", "content": last}]
    return json.dumps({"messages": turns, "domain": domain})


def figures(result: Result) -> dict[str, list[str]]:
    """The first table: label to the values before and after."""
    rows = [line.strip("│ ").split("│") for line in result.stdout.splitlines() if line.startswith("│")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows if len(row) == 3}


def test_it_finds_the_threshold_and_says_what_changes(tmp_path: Path) -> None:
    result = run("--config", config_file(tmp_path, threshold=0.5), "--data", data_file(tmp_path))
    assert result.exit_code == 0, result.output
    found = figures(result)
    assert "24 labelled requests" in result.stdout
    assert found["threshold"] == ["0.5", "0.6"]
    assert found["mean cost"] == ["0.2500", "0.0000"]
    assert found["right"] == ["75.0 %", "100.0 %"]
    assert found["wrong specialist"] == ["25.0 %", "0.0 %"]
    assert found["falls back for doubt"] == ["0.0 %", "25.0 %"]
    assert "expected calibration error 0.225" in result.stdout
    assert "risk against coverage" in result.stdout
    assert "nothing is written" in result.stdout


def test_without_write_the_file_is_left_alone(tmp_path: Path) -> None:
    file = config_file(tmp_path, threshold=0.5)
    before = file.read_bytes()
    assert run("--config", file, "--data", data_file(tmp_path)).exit_code == 0
    assert file.read_bytes() == before


def test_writing_changes_the_number_and_no_other_byte(tmp_path: Path) -> None:
    file = config_file(tmp_path, threshold=0.5)
    before = file.read_bytes()
    result = run("--config", file, "--data", data_file(tmp_path), "--write")
    assert result.exit_code == 0, result.output
    assert before.count(b"threshold: 0.5 ") == 1
    assert file.read_bytes() == before.replace(b"threshold: 0.5 ", b"threshold: 0.6 ")
    assert load(file).front.gateway.routing.threshold == 0.6


def test_a_number_that_was_not_there_comes_with_its_reason(tmp_path: Path) -> None:
    file = config_file(tmp_path)
    assert run("--config", file, "--data", data_file(tmp_path), "--write").exit_code == 0
    assert "# Chosen by `modem router calibrate`: the least expected cost on 24" in file.read_text()
    assert load(file).front.gateway.routing.threshold == 0.6


def test_a_second_run_has_nothing_to_do(tmp_path: Path) -> None:
    file, data = config_file(tmp_path, threshold=0.5), data_file(tmp_path)
    run("--config", file, "--data", data, "--write")
    after = file.read_bytes()
    again = run("--config", file, "--data", data, "--write")
    assert "has these settings already" in again.stdout
    assert file.read_bytes() == after


def test_costs_decide(tmp_path: Path) -> None:
    costs = tmp_path / "costs.yaml"
    costs.write_text("wrong_specialist: 0.1\nneedless_fallback: 1\npairs: {other: {math: 0}}\n")
    result = run(
        "--config", config_file(tmp_path, threshold=0.9), "--data", data_file(tmp_path), "--cost", costs
    )
    # Maths at 0.8 was doubted; now a wrong specialist is cheap, and maths for other is free.
    assert figures(result)["mean cost"] == ["0.2500", "0.0000"]
    assert float(figures(result)["threshold"][1]) <= 0.8


def test_several_files_and_folders_count_together(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    data_file(tmp_path / "more", ROWS[:3], "a.jsonl")
    data_file(tmp_path / "more", ROWS[3:5], "b.jsonl")
    one = data_file(tmp_path, ROWS[6:])
    result = run("--config", config_file(tmp_path), "--data", tmp_path / "more", "--data", one)
    assert "23 labelled requests" in result.stdout


def test_a_target_is_reached_at_a_price(tmp_path: Path) -> None:
    rows = [*ROWS, *[(f"angles, math 70, number {i}", "math" if i else "other") for i in range(12)]]
    arguments = ("--config", config_file(tmp_path), "--data", data_file(tmp_path, rows))
    free = figures(run(*arguments))
    strict = figures(run(*arguments, "--target-accuracy", 0.99))
    assert free["right where not in doubt"][1] == "96.7 %"
    assert strict["right where not in doubt"][1] == "100.0 %"
    assert float(strict["mean cost"][1]) > float(free["mean cost"][1])


def test_a_target_out_of_reach_writes_nothing(tmp_path: Path) -> None:
    file = config_file(tmp_path)
    before = file.read_bytes()
    data = data_file(tmp_path, [*ROWS, ("a riddle, health 100", "math")])
    result = run(
        "--config", file, "--data", data, "--target-accuracy", 1, "--target-fallback", 0.5, "--write"
    )
    assert result.exit_code == 2
    assert "error: no threshold and margin reach the targets together" in result.stderr
    assert "accuracy among the answered at most" in result.stderr
    assert "Traceback" not in result.output
    assert file.read_bytes() == before


def test_conversations_show_what_the_switch_margin_does_and_may_choose_it(tmp_path: Path) -> None:
    data = data_file(tmp_path)
    lines = [
        conversation("triangle angles, math 90", f"gout medicine number {i}, health 66", "health")
        for i in range(4)
    ]
    data.write_text("\n".join([data.read_text(), *lines]))
    file = config_file(tmp_path, threshold=0.6, switch_margin=0.9)
    shown = run("--config", file, "--data", data)
    assert "conversations, by switch_margin" in shown.stdout
    assert figures(shown)["switch_margin"] == ["0.9", "0.9"]
    chosen = run("--config", file, "--data", data, "--switch-margin", "--write")
    assert figures(chosen)["switch_margin"] == ["0.9", "0.4"]
    assert figures(chosen)["mean cost"][1] == "0.0000"
    assert load(file).front.gateway.routing.switch_margin == 0.4


def test_a_switch_margin_without_conversations_is_refused(tmp_path: Path) -> None:
    result = run("--config", config_file(tmp_path), "--data", data_file(tmp_path), "--switch-margin")
    assert result.exit_code == 2
    assert "needs conversations" in result.stderr


def test_what_is_known_but_not_served_is_the_fallbacks(tmp_path: Path) -> None:
    file = config_file(tmp_path)
    config = yaml.safe_load(file.read_text())
    del config["applications"][0]["deployments"][0]["user_config"]["domains"]["health"]
    config["applications"] = [one for one in config["applications"] if one["name"] != "expert-health"]
    file.write_text(yaml.safe_dump(config))
    result = run("--config", file, "--data", data_file(tmp_path, [("gout, health 90", "health")]))
    assert figures(result)["right"] == ["100.0 %", "100.0 %"], result.output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"prompt": "x", "domain": "maths"}', "labelled.jsonl:1: nobody knows the domain 'maths'"),
        ('{"prompt": "x"}', "labelled.jsonl:1: expected an object"),
        ("{", "labelled.jsonl:1: not JSON"),
        ("", "holds no cases"),
    ],
)
def test_wrong_data_is_named(tmp_path: Path, content: str, message: str) -> None:
    data = tmp_path / "labelled.jsonl"
    data.write_text(content)
    result = run("--config", config_file(tmp_path), "--data", data)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_file_that_is_no_config_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("applications: []\n")
    result = run("--config", file, "--data", data_file(tmp_path))
    assert result.exit_code == 2
    assert "serve.yaml" in result.stderr


def test_a_wrong_cost_file_is_refused(tmp_path: Path) -> None:
    costs = tmp_path / "costs.yaml"
    costs.write_text("wrong: 1\n")
    result = run("--config", config_file(tmp_path), "--data", data_file(tmp_path), "--cost", costs)
    assert result.exit_code == 2
    assert "costs.yaml" in result.stderr


def test_an_alias_is_left_to_people_and_the_file_alone(tmp_path: Path) -> None:
    file = config_file(tmp_path, threshold=0.5)
    before, after = file.read_text().split("threshold: 0.5")
    text = f"{before}threshold: &half 0.5{after.replace('num_cpus: 0', 'num_cpus: *half', 1)}"
    file.write_text(text)
    result = run("--config", file, "--data", data_file(tmp_path), "--write")
    assert result.exit_code == 2
    assert "write there by hand: threshold: 0.6" in result.stderr
    assert file.read_text() == text


def test_a_real_router_is_heard_as_in_service(tmp_path: Path) -> None:
    router = {"kind": "compact", "model": str(write_compact_router(tmp_path / "router", DOMAINS))}
    file = config_file(tmp_path, threshold=0.5)
    config = yaml.safe_load(file.read_text())
    config["applications"][0]["args"]["router"] = router
    file.write_text(yaml.safe_dump(config))
    data = data_file(tmp_path)
    loaded = load(file).front
    cases = read_set(data).cases
    decided = measure(load_router(loaded.args.router), cases, loaded.gateway).decided
    right = sum(one == case.domain for one, case in zip(decided, cases, strict=True)) / len(cases)
    assert figures(run("--config", file, "--data", data))["right"][0] == percent(right)
