import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from modem.cli.main import app
from modem.routing.linear import LinearHead
from tests.unit.training.prompts import DOMAINS, corpus, rows, write


def modem(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("cli")
    data, sources = corpus(folder)
    out = folder / "heads" / "tiny.safetensors"
    return out, modem("router", "train", "--data", data, "--sources", sources, "--out", out, "--seed", "3")


def test_training_writes_a_head_and_its_card(trained: tuple[Path, Result]) -> None:
    out, result = trained
    assert result.exit_code == 0, result.output
    head = LinearHead.load(out)
    assert (head.name, head.domains) == ("tiny", DOMAINS)
    card = out.with_suffix(".md").read_text(encoding="utf-8")
    assert f"`tiny` {head.version}" in card


def test_the_card_names_the_whole_command(trained: tuple[Path, Result]) -> None:
    out, _ = trained
    card = out.with_suffix(".md").read_text(encoding="utf-8")
    assert "modem router train --data " in card
    assert "--encoder package --cap-per-domain 4800 --cap-per-source 300 --seed 3" in card


def test_training_prints_a_table_per_set(trained: tuple[Path, Result]) -> None:
    _, result = trained
    assert "held out" in result.output
    assert "precision" in result.output
    assert "accuracy" in result.output


def test_evaluating_prints_figures_per_domain(trained: tuple[Path, Result], tmp_path: Path) -> None:
    out, _ = trained
    file = write(tmp_path / "new.jsonl", rows(8, "elsewhere", first=50))
    result = modem("router", "evaluate", "--data", file, "--head", out)
    assert result.exit_code == 0, result.output
    for domain in DOMAINS:
        assert domain in result.output
    assert "of 24" in result.output


def test_evaluating_as_json_is_nothing_but_json(trained: tuple[Path, Result], tmp_path: Path) -> None:
    out, _ = trained
    write(tmp_path / "a.jsonl", rows(4, "elsewhere", first=50))
    write(tmp_path / "b.jsonl", [("who are you?", "other", "elsewhere")])
    result = modem("router", "evaluate", "--data", tmp_path, "--head", out, "--threshold", "0", "--json")
    found = json.loads(result.stdout)
    assert found["router"]["name"] == "tiny"
    assert (found["num_prompts"], found["coverage"]) == (13, 1.0)
    assert [figures["domain"] for figures in found["domains"]] == list(DOMAINS)
    assert found["accuracy"] > 0.8


def test_wrong_data_is_one_line_and_status_2(tmp_path: Path) -> None:
    data, sources = corpus(tmp_path)
    (data / "bad.jsonl").write_text("{\n")
    result = modem("router", "train", "--data", data, "--sources", sources)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {data / 'bad.jsonl'}:1: not JSON")
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("--data", "cannot be read: No such file"),
        ("--head", "modem router train"),
        ("--encoder", "there is no folder"),
    ],
)
def test_what_is_missing_is_named(
    trained: tuple[Path, Result], tmp_path: Path, changed: str, message: str
) -> None:
    arguments = {
        "--data": str(write(tmp_path / "a.jsonl", rows(1))),
        "--head": str(trained[0]),
        "--encoder": "package",
        changed: str(tmp_path / "none.jsonl"),
    }
    result = modem("router", "evaluate", *(word for pair in arguments.items() for word in pair))
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_card_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    data, sources = corpus(tmp_path)
    out = tmp_path / "head.safetensors"
    result = modem("router", "train", "--data", data, "--sources", sources, "--out", out, "--card", tmp_path)
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_a_cap_of_nothing_is_refused(tmp_path: Path) -> None:
    assert modem("router", "train", "--data", tmp_path, "--cap-per-domain", "0").exit_code == 2
