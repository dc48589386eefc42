"""``modem haproxy``."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modem.cli.main import app


@pytest.mark.skipif(sys.platform != "linux", reason="Ray brings HAProxy for Linux alone")
def test_it_prints_a_script_that_starts_the_real_haproxy(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["haproxy"])
    assert result.exit_code == 0
    script = tmp_path / "haproxy"
    script.write_text(result.stdout)
    script.chmod(0o700)
    version = subprocess.run([script, "-v"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("HAProxy version 2.")
    assert "127.0.0.1" not in result.stdout
    assert "127.0.0.1" in CliRunner().invoke(app, ["haproxy", "--loopback"]).stdout


def test_without_haproxy_it_says_where_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modem.laptop.environment.find_haproxy", lambda: None)
    result = CliRunner().invoke(app, ["haproxy"])
    assert result.exit_code == 1
    assert "install ray[serve]" in result.stderr
