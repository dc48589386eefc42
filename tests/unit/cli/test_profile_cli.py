"""``modem profile`` against servers that are experts, and against those that are not."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from typer.testing import CliRunner

from deployments.simulated import create_app
from modem.cli.main import app
from modem.config import SimulatedExpertConfig
from modem.experts.simulated import SimulatedEngine
from modem.laptop.environment import LOOPBACK, free_ports
from modem.simulation.profile import load_profile
from tests.servers import serving_in_thread

SETTINGS = SimulatedExpertConfig(
    model_id="math", ttft_s=0.05, tpot_s=0.02, output_tokens=64, max_num_seqs=3, max_model_len=200
)
QUICK = ("--prompt-words", "5,50", "--batches", "1,4", "--answer-tokens", "8", "--rounds", "1")


@pytest.fixture(scope="module")
def expert() -> Iterator[str]:
    """URL of a simulated expert."""
    with serving_in_thread(create_app(SimulatedEngine(SETTINGS))) as url:
        yield url


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["profile", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def test_it_writes_a_profile_that_the_simulator_reads(expert: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "profile.json"
    status, said, _ = run("--url", expert, "--model", "math", "--out", str(out), "--startup-s", "2.5", *QUICK)
    assert status == 0
    assert f"wrote {out}" in said.replace("\n", "")
    profile = load_profile(out)
    assert (profile.name, profile.source) == ("math", "measured")
    assert profile.max_num_seqs == 3
    assert profile.startup_s.samples == (2.5,)
    # A sleep never ends early: the settings are what the figures cannot be below, on any machine.
    assert profile.decode.step_s[0] > 0.9 * SETTINGS.tpot_s
    assert "prompts of" in profile.method


def test_without_a_file_it_prints_the_profile_alone(expert: str) -> None:
    status, said, _ = run("--url", expert, "--model", "math", "--startup-s", "1", "--startup-s", "3", *QUICK)
    assert status == 0
    assert json.loads(said)["startup_s"] == {"samples": [1.0, 3.0]}


def test_options_override_what_was_seen(expert: str) -> None:
    options = ("--max-num-seqs", "64", "--kv-tokens", "5000", "--gpus", "4", "--usd-per-gpu-hour", "2.5")
    status, said, _ = run(
        "--url", expert, "--model", "math", "--name", "mine", "--startup-s", "1", *options, *QUICK
    )
    assert status == 0
    found = json.loads(said)
    assert (found["name"], found["max_num_seqs"], found["kv_capacity_tokens"]) == ("mine", 64, 5000)
    assert (found["gpus_per_replica"], found["usd_per_gpu_hour"]) == (4, 2.5)


def test_what_is_wrong_is_said_in_a_line_with_status_2(expert: str, tmp_path: Path) -> None:
    for arguments, words in [
        (("--url", f"http://{LOOPBACK}:{free_ports(1)}", "--model", "math"), "nothing answers there"),
        (("--url", "localhost", "--model", "math"), "not a URL"),
        (("--url", expert, "--model", "maths"), "The model `maths` does not exist."),
        (("--url", expert), "which model? it lists none; give one as --model"),
        (("--url", f"{expert}/v1", "--model", "math"), "give the URL without /v1"),
        (("--url", expert, "--model", "math"), "--startup-s"),
        (
            ("--url", expert, "--model", "math", "--startup-s", "1", "--out", str(tmp_path)),
            "cannot be written",
        ),
    ]:
        status, _, said = run(*arguments, *QUICK)
        assert (status, words in said.replace("\n", " ")) == (2, True), said
        assert said.strip().startswith("error: ")
        assert "Traceback" not in said


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--prompt-words", "16"),
        ("--prompt-words", "16,16"),
        ("--prompt-words", "64,16"),
        ("--batches", "1,two"),
        ("--batches", "0,1"),
        ("--batches", "-1"),
        ("--batches", ""),
    ],
)
def test_lists_of_numbers_are_checked_before_anything_is_asked(option: str, value: str) -> None:
    status, _, said = run("--url", "http://nowhere.invalid", option, value)
    assert status == 2
    assert f"{option} {value}: write at least" in said


def test_the_only_model_that_a_gateway_lists_need_not_be_named() -> None:
    expert = create_app(SimulatedEngine(SETTINGS))
    listed = [{"id": "auto"}, {"id": "math"}]

    async def models(_: Request) -> Response:
        return JSONResponse({"data": listed})

    expert.routes.append(Route("/v1/models", models))
    with serving_in_thread(expert) as url:
        status, said, _ = run("--url", url, "--startup-s", "1", *QUICK)
        assert (status, json.loads(said)["name"]) == (0, "math")
        listed.append({"id": "other"})
        status, _, said = run("--url", url, "--startup-s", "1", *QUICK)
        assert (status, "which model? it has math, other; give one" in said) == (2, True)


def test_a_web_page_is_said_to_be_one() -> None:
    async def page(_: Request) -> Response:
        return HTMLResponse("<html>It works!</html>")

    with serving_in_thread(Starlette(routes=[Route("/{path:path}", page, methods=["GET", "POST"])])) as url:
        status, _, said = run("--url", url, "--model", "math", "--startup-s", "1")
    assert (status, "a web page (status 200), not an OpenAI API" in said) == (2, True)
