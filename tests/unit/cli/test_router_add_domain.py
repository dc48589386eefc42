import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from modem.cli.router_add_domain import add_domain
from modem.serve_config.load import load
from tests.builders import expert, front, mixture
from tests.compact import write_compact_router
from tests.unit.routing.extensible import KNOWN, LAW, MUSIC

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(add_domain)

REAL = {"kind": "custom", "import_path": "tests.unit.routing.extensible:RealRouter"}
ALL = ("other", "math", "health", "science", "coding")
PATIENT = {"graceful_shutdown_timeout_s": 600}


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def config_file(
    folder: Path, router: Mapping[str, Any] = REAL, domains: Sequence[str] = tuple(KNOWN)
) -> Path:
    applications = [front(domains=domains, router=router), *(expert(domain, PATIENT) for domain in domains)]
    file = folder / "serve.yaml"
    file.write_text(yaml.safe_dump(mixture(applications, port=8000), sort_keys=False))
    return file


def examples_file(folder: Path, examples: Sequence[str] = LAW.examples) -> Path:
    file = folder / "examples.txt"
    file.write_text("\n".join(examples))
    return file


def data_file(folder: Path) -> Path:
    rows = [(text, domain) for domain, texts in KNOWN.items() for text in texts]
    rows += [("Is a verbal contract legally binding?", "law"), ("the court fined my landlord, why?", "law")]
    file = folder / "labelled.jsonl"
    file.write_text("\n".join(json.dumps({"prompt": p, "domain": d}) for p, d in rows))
    return file


def law(config: Path, *more: object, examples: Path | None = None) -> Result:
    examples = examples or examples_file(config.parent)
    named = ("--name", "law", "--description", LAW.description, "--examples", examples)
    return run("--config", config, *named, *more)


def rows_of(result: Result) -> dict[str, list[str]]:
    lines = [line.strip("│ ").split("│") for line in result.stdout.splitlines() if line.startswith("│")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def block_of(result: Result) -> str:
    """What is to be pasted."""
    text = result.stdout.split("live:\n\n", 1)[1]
    return text.split("\n\n", 1)[0] + "\n"


def test_it_says_what_is_caught_and_what_is_moved(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    before = config.read_bytes()
    result = law(config, "--data", data_file(tmp_path))
    assert result.exit_code == 0, result.output
    caught = int(result.stdout.split("examples: ")[1].split(" of 6")[0])
    assert caught >= 4
    assert result.stdout.count("\n  ") >= 6 - caught, "what is not caught is named"
    found = rows_of(result)
    assert set(found) == {"coding", "law", "math", "other"}
    assert found["law"] == ["2", "100.0 %", "100.0 %", "0.0 %", "100.0 %"]
    assert found["math"][:3] == ["10", "0.0 %", "0.0 %"]
    assert config.read_bytes() == before


def test_the_block_can_be_pasted(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    result = law(config, "--data", data_file(tmp_path))
    text = config.read_text()
    place = text.index("domains:\n") + len("domains:\n")
    extended = yaml.safe_load(text[:place] + block_of(result) + text[place:])
    extended["applications"].append(expert("law", PATIENT))
    config.write_text(yaml.safe_dump(extended))
    gateway = load(config).front.gateway
    assert gateway.added_domains() == (LAW,)
    assert gateway.domains["law"].application == "expert-law"
    assert "an application expert-law has to answer" in " ".join(result.stdout.split())


def test_a_domain_that_has_examples_is_tried_with_others(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    content = yaml.safe_load(config.read_text())
    domains = content["applications"][0]["deployments"][0]["user_config"]["domains"]
    for domain in (LAW, MUSIC):
        domains[domain.name] = {
            **domains["other"],
            "application": f"expert-{domain.name}",
            "description": domain.description,
            "examples": list(domain.examples[:2]),
        }
        content["applications"].append(expert(domain.name, PATIENT))
    config.write_text(yaml.safe_dump(content))
    result = law(config, "--data", data_file(tmp_path))
    assert result.exit_code == 0, result.output
    assert rows_of(result)["law"] == ["2", "100.0 %", "100.0 %", "0.0 %", "100.0 %"]
    assert yaml.safe_load(block_of(result))["law"]["examples"] == list(LAW.examples)
    assert "has to answer" not in result.stdout


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A compact router of random weights, for what does not depend on its judgement."""
    return {"kind": "compact", "model": str(write_compact_router(tmp_path_factory.mktemp("router")))}


def test_the_projects_own_prompts_are_the_default(tmp_path: Path, tiny: dict[str, str]) -> None:
    named = ("--name", "cooking", "--description", "Recipes.", "--examples", examples_file(tmp_path))
    result = run("--config", config_file(tmp_path, tiny, ALL), *named)
    assert result.exit_code == 0, result.output
    found = rows_of(result)
    assert set(found) == set(ALL)
    assert all(int(cells[0]) > 10 for cells in found.values())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("examples.txt", "one\n\n  two  \n"),
        ("examples.jsonl", '{"prompt": "one", "domain": "law"}\n{"prompt": "two"}\n'),
        ("examples.json", '["one", "two"]'),
        ("examples.json", '{"name": "law", "examples": ["one", "two"]}'),
    ],
)
def test_examples_may_come_in_several_forms(
    tmp_path: Path, tiny: dict[str, str], name: str, content: str
) -> None:
    file = tmp_path / name
    file.write_text(content)
    result = law(config_file(tmp_path, tiny, ALL), "--data", data_file(tmp_path), examples=file)
    assert result.exit_code == 0, result.output
    assert yaml.safe_load(block_of(result))["law"]["examples"] == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("examples.txt", "\n \n", "holds no examples"),
        ("examples.json", "[]", "holds no examples"),
        ("examples.json", "[1, 2]", "something that is no text"),
        ("examples.json", '{"prompts": []}', "not as expected ('examples')"),
        ("examples.json", "{", "not as expected"),
        ("examples.json", "3", "not as expected"),
        ("examples.jsonl", '{"text": "one"}', "not as expected ('prompt')"),
        ("examples.txt", "x" * 2001, "at most 2000 characters"),
    ],
)
def test_wrong_examples_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    result = law(config_file(tmp_path), examples=file)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("math", "the router was trained on 'math', so it takes no examples"),
        ("Law!", "the domain 'Law!' is not allowed"),
        ("auto", "that name asks for routing"),
    ],
)
def test_a_name_that_cannot_be_is_refused(
    tmp_path: Path, tiny: dict[str, str], name: str, message: str
) -> None:
    named = ("--name", name, "--description", "d", "--examples", examples_file(tmp_path))
    result = run("--config", config_file(tmp_path, tiny, ALL), *named)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_router_without_embeddings_is_refused(tmp_path: Path) -> None:
    config = config_file(tmp_path, {"kind": "custom", "import_path": "tests.routers:keyword"})
    result = law(config)
    assert result.exit_code == 2
    assert "the router keyword gives no embeddings; use kind: compact" in result.stderr


@pytest.mark.parametrize("missing", ["serve.yaml", "examples.txt", "labelled.jsonl"])
def test_a_missing_file_is_named(tmp_path: Path, tiny: dict[str, str], missing: str) -> None:
    config, examples, data = config_file(tmp_path, tiny, ALL), examples_file(tmp_path), data_file(tmp_path)
    (tmp_path / missing).unlink()
    result = law(config, "--data", data, examples=examples)
    assert result.exit_code == 2
    assert missing in result.stderr
    assert "cannot be read" in result.stderr


def test_a_domain_of_the_data_that_nobody_knows_is_named(tmp_path: Path, tiny: dict[str, str]) -> None:
    data = data_file(tmp_path)
    data.write_text('{"prompt": "x", "domain": "cooking"}')
    result = law(config_file(tmp_path, tiny, ALL), "--data", data)
    assert result.exit_code == 2
    assert "labelled.jsonl:1: nobody knows the domain 'cooking'" in result.stderr
