import json
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from modem.cli.router_compare import compare_command
from modem.config import RouterConfig
from modem.routing.load import load_router
from modem.routing.strategies import majority
from modem.routing.strategies.catalogue import IMPORT_PATHS
from tests.builders import DOMAINS, expert, front, mixture
from tests.servers import serving_in_thread
from tests.unit.evaluation.cases import write
from tests.unit.routing.strategies.test_described import Engine

_WAYS = {
    "math": "solve {n}x + 3 = 12 for x",
    "health": "my cough is {n} days old, which medicine helps?",
    "science": "what is the boiling point of element {n}?",
    "coding": "write a Python function that sorts {n} lists",
    "other": "tell me a story of {n} kings",
}


def run(*args: str | Path) -> Result:
    app = typer.Typer()
    app.command()(compare_command)
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rows = [
        {"prompt": way.format(n=n), "domain": domain, "source": "drills"}
        for domain, way in _WAYS.items()
        for n in range(2, 32)
    ]
    write(folder / "drills.jsonl", rows)
    write(folder / "validation" / "few.jsonl", [{"prompt": "hello", "domain": "other"}, rows[3]])
    return folder


@pytest.fixture(scope="module")
def compared(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("out")
    trained = out / "trained"
    majority.fit(["x"] * 6, [*DOMAINS, "math"]).save(trained)
    arguments = ["--no-own", "--per-domain", "20", "--per-source", "20", "--limit", "12"]
    return out, run("--data", data, *arguments, "--router", f"mine={trained}", "--out", out)


def test_every_strategy_is_a_row(compared: tuple[Path, Result]) -> None:
    out, result = compared
    assert result.exit_code == 0, result.output
    text = (out / "comparison.md").read_text()
    for name in ("majority", "tfidf-linear", "knn", "ridge", RouterConfig().kind, "ensemble", "mine"):
        assert f"\n| {name} |" in text
        assert name in result.output
    assert "## Which to pick when" in text
    assert "modem" in text.split("```sh\n")[1]


def test_json_has_the_figures(compared: tuple[Path, Result]) -> None:
    found = json.loads((compared[0] / "comparison.json").read_text())
    strategies = {one["name"]: one for one in found["strategies"]}
    assert strategies["majority"]["fit_s"] > 0
    assert strategies["mine"]["fit_s"] is None
    names = [one["name"] for one in strategies["knn"]["sets"]]
    assert names == ["held_out", "few"]
    assert strategies["tfidf-linear"]["sets"][0]["scores"]["accuracy"] > 0.8


def test_what_was_fitted_can_be_served(compared: tuple[Path, Result]) -> None:
    out, _ = compared
    for name in ("majority", "tfidf-linear", "ridge"):
        options = {"folder": str(out / name)}
        router = load_router(RouterConfig(kind="custom", import_path=IMPORT_PATHS[name], options=options))
        assert router.identity.name == name
        assert set(router.domains) == set(DOMAINS)


def test_a_language_model_is_described_the_domains_of_a_config(data: Path, tmp_path: Path) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Route

    engine = Engine()
    file = tmp_path / "serve.yaml"
    experts = [expert(domain, {"graceful_shutdown_timeout_s": 600}) for domain in DOMAINS]
    file.write_text(yaml.safe_dump(mixture([front(), *experts], port=8000)))
    route = Route("/v1/chat/completions", engine.complete, methods=["POST"])
    with serving_in_thread(Starlette(routes=[route])) as url:
        result = run(
            *("--data", data, "--no-own", "--per-domain", "10", "--limit", "4"),
            *("--llm", f"{url}/v1", "--llm-model", "small", "--config", file),
        )
    assert result.exit_code == 0, result.output
    assert "described" in result.output
    assert "math: Prompts about math." in engine.bodies[0]["messages"][0]["content"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--router", "nameless"], "write NAME=FOLDER"),
        (["--llm", "http://127.0.0.1:1/v1"], "--llm needs --config"),
        (["--router", "x=/nowhere"], "no router is there"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(data: Path, args: list[str], message: str) -> None:
    result = run("--data", data, "--no-own", *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_no_prompts_are_an_error(tmp_path: Path) -> None:
    assert run("--data", tmp_path).exit_code == 2
