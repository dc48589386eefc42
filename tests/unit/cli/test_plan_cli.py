"""``modem plan``."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from modem.cli.plan import plan_command
from tests.unit.simulation.builders import profile

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(plan_command)

BASE = (
    "--lengths", "prompt=300,output=20,sigma=0.3", "--slo", "ttft_p90<2s",
    "--duration-s", 60, "--seeds", 1, "--period-s", 600,
)  # fmt: skip


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_a_fleet_and_a_day_are_planned(tmp_path: Path) -> None:
    file, out = tmp_path / "p.json", tmp_path / "plan.json"
    file.write_text(profile(gpus_per_replica=2.0).to_json())
    found = run("--rates", "math=8,health=1", "--profile", file, *BASE, "--json", out)
    assert found.exit_code == 0, found.output
    experts = json.loads(out.read_text())["experts"]
    assert experts["math"]["gpus"] == 2 * experts["math"]["fleet"]["replicas"]
    assert experts["math"]["fleet"]["replicas"] > experts["health"]["fleet"]["replicas"] >= 1
    day = experts["math"]["day"]
    assert day["saved"] == pytest.approx(1 - day["scaled"]["cost_hours"] / day["fixed_hours"])
    assert "Smallest fixed fleet for ttft_p90<2s" in found.output
    assert "4 times its lowest" in found.output


def test_the_config_says_what_experts_there_are() -> None:
    config = Path(__file__).parents[3] / "serve_config.yaml"
    found = run("--rates", "math=1", "--config", config, "--no-day", *BASE)
    assert found.exit_code == 0, found.output
    assert "A day of" not in found.output
    missing = run("--rates", "cooking=1", "--config", config, *BASE)
    assert missing.exit_code == 2
    assert "has no domain cooking; it has math, health" in missing.output


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (("--rates", "math"), "'math' is no DOMAIN=RATE"),
        (("--lengths", "prompt=5"), "output is missing"),
        (("--slo", "fast"), "is no target"),
        (("--policy", "best"), "--policy 'best'"),
        (("--slo", "itl_p90<1s"), "needs a target for ttft or e2e"),
        (("--profile", "health=70b-h100-tp4"), "--rates has no such domain"),
        (("--profile", "nothing"), "no committed profile 'nothing'"),
        (("--slo", "ttft_p90<1ms"), "512 replicas do not hold"),
    ],
)
def test_what_is_wrong_is_named(changes: tuple[object, ...], says: str) -> None:
    found = run("--rates", "math=1", "--profile", "simulated", *BASE, *changes)
    assert found.exit_code == 2, found.output
    assert says in " ".join(found.output.split())
    assert "Traceback" not in found.output


def test_a_profile_is_needed() -> None:
    found = run("--rates", "math=1", *BASE)
    assert found.exit_code == 2
    assert "no profile: give --config, --profile NAME or math=FILE" in found.output
