import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from modem.cli.main import app
from tests.unit.serve_config.builder import put, valid

ROOT = Path(__file__).parents[3]


def run(*files: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["config", "check", *map(str, files)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.yaml"
    file.write_text(yaml.safe_dump(valid()))
    return file


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    config = valid()
    put("applications[1].deployments[0].autoscaling_config.targt_ongoing_requests", 3)(config)
    put("http_options.port", "8000")(config)
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def test_a_valid_file_is_ok(good: Path) -> None:
    assert run(good) == (0, f"{good}: ok: 3 applications, 2 domains\n", "")


def test_the_shipped_files_are_ok() -> None:
    status, out, _ = run(ROOT / "serve_config.yaml", ROOT / "serve_config.cpu.yaml")
    assert status == 0
    assert out.count("ok: 6 applications, 5 domains") == 2


def test_each_problem_says_where_what_and_how(bad: Path) -> None:
    status, out, err = run(bad)
    assert (status, err) == (1, "")
    where = "applications[1].deployments[0].autoscaling_config.targt_ongoing_requests"
    assert f"{bad}: {where}\n  value:  3\n  wrong:  There is no such key here.\n" in out
    assert "  remedy: Did you mean 'target_ongoing_requests'?\n" in out
    assert f'{bad}: http_options.port\n  value:  "8000"\n' in out
    assert out.endswith(f"{bad}: 2 problems\n")


def test_one_bad_file_among_good_ones_is_enough(good: Path, bad: Path) -> None:
    status, out, _ = run(good, bad, good)
    assert status == 1
    assert out.count("ok: 3 applications") == 2


def test_a_missing_file_is_one_line(tmp_path: Path, good: Path) -> None:
    missing = tmp_path / "missing.yaml"
    assert run(missing) == (2, "", f"{missing}: cannot be read: No such file or directory\n")
    status, out, _ = run(missing, good)
    assert status == 2
    assert "ok" in out


def test_a_folder_and_a_binary_file_are_one_line_each(tmp_path: Path) -> None:
    assert run(tmp_path) == (2, "", f"{tmp_path}: cannot be read: Is a directory\n")
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"\xff")
    status, _, err = run(binary)
    assert status == 2
    assert err.count("\n") == 1


def test_text_that_is_no_yaml_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("a: [1\n")
    status, out, _ = run(file)
    assert status == 1
    assert "Not valid YAML" in out
    assert out.endswith("1 problem\n")


def test_no_file_is_a_usage_error() -> None:
    assert run()[0] == 2


def test_the_check_needs_neither_ray_nor_vllm_nor_torch() -> None:
    code = (
        "import sys; from modem.serve_config.check import check_file; from modem.cli import config; "
        f"assert not check_file({str(ROOT / 'serve_config.yaml')!r}); "
        "print([name for name in ('ray', 'vllm', 'torch', 'fastapi') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


def test_the_command_itself_imports_no_pydantic() -> None:
    code = "import sys, modem.cli.config; print('pydantic' in sys.modules, 'yaml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "False False\n"
