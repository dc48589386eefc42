import json
from pathlib import Path

from typer.testing import CliRunner, Result

from modem.cli.main import app
from modem.routing.boilerplate import read_lexicon
from tests.unit.training.prompts import corpus

MANNERS = (
    "politely",
    "slowly",
    "in two lines",
    "from memory",
    "as a list",
    "without jokes",
    "twice",
    "at once",
)


def modem(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def recipe(folder: Path) -> Path:
    templates = [
        {"kind": "format", "text": f"You must {verb} the request {manner}.\n\n{{prompt}}"}
        for verb in ("answer", "finish", "repeat", "consider")
        for manner in MANNERS
    ]
    lines = "".join(json.dumps(one) + "\n" for one in templates)
    (folder / "templates.jsonl").write_text(lines, encoding="utf-8")
    file = folder / "tiny.yaml"
    file.write_text("name: tiny\ntemplates: templates.jsonl\n", encoding="utf-8")
    return file


def test_a_lexicon_is_fitted_and_written(tmp_path: Path) -> None:
    data, _ = corpus(tmp_path)
    out = tmp_path / "lexicon.json"
    result = modem("router", "boilerplate", "--config", recipe(tmp_path), "--data", data, "--out", out)
    assert result.exit_code == 0, result.output
    assert str(out) in result.output
    lexicon = read_lexicon(out)
    assert lexicon.is_boilerplate("You must answer the request slowly.")
    assert not lexicon.is_boilerplate("plan a holiday with 12 songs")


def test_without_templates_it_says_what_is_missing(tmp_path: Path) -> None:
    data, _ = corpus(tmp_path)
    config = tmp_path / "tiny.yaml"
    config.write_text("name: tiny\n", encoding="utf-8")
    result = modem("router", "boilerplate", "--config", config, "--data", data, "--out", tmp_path / "x.json")
    assert result.exit_code == 2
    assert "more templates and prompts" in result.stderr
    assert not (tmp_path / "x.json").exists()
