import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modem.cli.main import app
from modem.laptop import models
from tests.unit.laptop.conftest import copy, tiny

__all__ = ["tiny"]  # a fixture

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "run_conversion", copy)


def test_prepare_says_where_the_model_is(tiny: models.SmallModel) -> None:
    done = RUNNER.invoke(app, ["models", "prepare", "tiny"])
    assert done.exit_code == 0
    place = re.escape(str(models.model_folder(tiny)))
    assert re.fullmatch(rf"modem://tiny: prepared in \d+ s: {place}\n", done.stdout)
    assert "[1/5] checking tiny.gguf" in done.stderr


def test_prepare_without_names_prepares_all_and_again_does_nothing(tiny: models.SmallModel) -> None:
    assert RUNNER.invoke(app, ["models", "prepare"]).exit_code == 0
    again = RUNNER.invoke(app, ["models", "prepare"])
    assert again.stdout == f"modem://tiny: was ready: {models.model_folder(tiny)}\n"
    assert "checking" not in again.stderr


@pytest.mark.parametrize("name", ["large", "modem://large"])
def test_an_unknown_name_is_one_line_on_stderr(tiny: models.SmallModel, name: str) -> None:
    done = RUNNER.invoke(app, ["models", "prepare", name])
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr == "error: modem://large: no such model; known: tiny\n"


def test_a_missing_package_is_one_line_on_stderr(tiny: models.SmallModel, tmp_path: Path) -> None:
    (tmp_path / "site" / "tiny_model_package" / "tiny.gguf").unlink()
    done = RUNNER.invoke(app, ["models", "prepare"])
    assert done.exit_code == 1
    assert done.stderr == (
        "error: modem://tiny: package tiny-model-package==1.0 is not installed; "
        "run: pip install 'modem[laptop]'\n"
    )


def test_list_shows_what_is_prepared(tiny: models.SmallModel) -> None:
    def row() -> list[str]:
        lines = RUNNER.invoke(app, ["models", "list"]).stdout.splitlines()
        (line,) = (line for line in lines if "modem://tiny" in line)
        return [cell.strip() for cell in line.strip("│┃ ").split("│")]

    assert row() == ["modem://tiny", "0 MB", "Apache-2.0", "-"]
    RUNNER.invoke(app, ["models", "prepare"])
    assert row()[:3] == ["modem://tiny", "0 MB", "Apache-2.0"]
    assert row()[3].startswith("/")


def test_the_group_without_a_command_shows_its_help() -> None:
    assert "prepare" in RUNNER.invoke(app, ["models"]).output
