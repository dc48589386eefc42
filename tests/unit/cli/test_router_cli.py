import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from modem.cli.main import app
from tests.unit.training.prompts import corpus, rows, write
from tests.unit.training.tiny import tiny_bert


def modem(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def write_recipe(folder: Path, base: Path, lines: Iterable[str] = ()) -> Path:
    file = folder / "tiny.yaml"
    settings = ("name: tiny", f"base: {base}", "batch_size: 16", "max_tokens: 32", "learning_rate: 1e-2")
    file.write_text("\n".join([*settings, *lines]) + "\n")
    return file


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("cli")
    data, _ = corpus(folder)
    write(data / "validation" / "exam.jsonl", rows(3, "elsewhere", first=60))
    config = write_recipe(folder, base)
    out = folder / "routers" / "tiny"
    return out, modem("router", "train", "--config", config, "--data", data, "--out", out)


def test_training_writes_a_router_with_its_figures_plots_and_drops(trained: tuple[Path, Result]) -> None:
    out, result = trained
    assert result.exit_code == 0, result.output
    assert {file.name for file in out.iterdir()} == {
        "model.onnx",
        "tokenizer.json",
        "router.json",
        "background.safetensors",
        "metrics.json",
        "dedup.json",
        "plots",
    }
    assert len(list((out / "plots").iterdir())) == 6


def test_the_metrics_name_the_whole_command(trained: tuple[Path, Result]) -> None:
    out, _ = trained
    command = json.loads((out / "metrics.json").read_text())["command"]
    assert command.startswith("modem router train --config ")
    assert f"--out {out}" in command


def test_training_prints_a_table_per_set(trained: tuple[Path, Result]) -> None:
    _, result = trained
    for word in ("held_out", "exam", "precision", "calibration error", "wrote"):
        assert word in result.stdout
    assert "prompts to learn" in result.stderr
    assert "exam 9" in result.stderr


def test_a_wrong_recipe_is_one_line_and_status_2(tmp_path: Path, base: Path) -> None:
    config = write_recipe(tmp_path, base, ["epochs: many"])
    result = modem("router", "train", "--config", config, "--data", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {config}: epochs: ")
    assert result.stderr.count("\n") == 1


def test_wrong_data_is_named_by_its_line(tmp_path: Path, base: Path) -> None:
    data, _ = corpus(tmp_path)
    (data / "bad.jsonl").write_text("{\n")
    result = modem("router", "train", "--config", write_recipe(tmp_path, base), "--data", data)
    assert result.exit_code == 2
    assert f"error: {data / 'bad.jsonl'}:1: not JSON" in result.stderr
    assert "Traceback" not in result.output


def test_an_unfinished_training_asks_for_resume(tmp_path: Path, base: Path) -> None:
    data, _ = corpus(tmp_path)
    (tmp_path / "out" / "checkpoints" / "checkpoint-4").mkdir(parents=True)
    config = write_recipe(tmp_path, base)
    result = modem("router", "train", "--config", config, "--data", data, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "--resume" in result.stderr
