"""The documents are true: their links lead somewhere, their commands exist, their blocks run."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from modem.cli.main import app
from tests.builders import PATIENT
from tests.cluster import Cluster
from tests.docs.markdown import ROOT, Block, anchors, blocks, code, documents, links, words

URL = "http://127.0.0.1:8000"
DOCUMENTS = documents()
BLOCKS = [block for path in DOCUMENTS for block in blocks(path)]
LANGUAGES = {"sh", "python", "console", "text", "json", "yaml", "mermaid"}
NOT_RUN = (
    "git clone",
    "cd ",
    "make",
    "pip install",
    "export",
    "chmod",
    "ray start",
    "serve",
    "modem haproxy >",
    "modem router",
    "modem simulate",
    "modem profile",
    "modem load",
    "locust ",
    "modem tune",
    "modem plan",
)
"""How commands begin that need another machine, much time or data: only they may be in ``console`` blocks."""
GENERATED = {"modem/routing/heads/README.md", "modem/routing/shipped/README.md"}
"""Written by a command, which the file names; it trains for minutes on data that is not here."""


def ids(values: list[Any]) -> list[str]:
    return [str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value) for value in values]


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids(DOCUMENTS))
def test_every_link_leads_somewhere(path: Path) -> None:
    broken = []
    for link in links(path):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (path.parent / target) if target else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("block", BLOCKS, ids=ids(BLOCKS))
def test_only_what_cannot_run_here_is_left_out(block: Block) -> None:
    assert block.language in LANGUAGES
    if block.language == "console":
        assert block.commands()
        assert [command for command in block.commands() if not command.startswith(NOT_RUN)] == []


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        word
        for path in DOCUMENTS
        for command in code(path)
        for word in words(command)[1:]
        if command.startswith("make ") and re.fullmatch(r"[a-z]+", word)
    }
    assert {"serve", "test"} <= named
    assert named <= targets


def test_every_modem_command_and_option_exists() -> None:
    named = {command for path in DOCUMENTS for command in code(path) if command.startswith("modem ")}
    assert len(named) > 5
    wrong = [command for command in sorted(named) if not _exists(words(command.split(" > ")[0])[1:])]
    assert not wrong


def _exists(arguments: list[str]) -> bool:
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and arguments:
        if arguments[0] not in command.commands:
            return False
        command, arguments = command.commands[arguments[0]], arguments[1:]
    known = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    return all(word.split("=")[0] in known for word in arguments if word.startswith("--"))


COMMANDS = [b for b in BLOCKS if b.language == "sh" and URL not in b.text and b.file not in GENERATED]


@pytest.mark.parametrize("block", COMMANDS, ids=ids(COMMANDS))
def test_commands_print_what_the_document_shows(block: Block) -> None:
    done = _run(block.text)
    assert done.returncode == 0, done.stderr
    assert _without_figures(done.stdout) == _without_figures(block.output)


def _without_figures(text: str) -> list[str]:
    """Words without their digits: another processor may round the last one otherwise."""
    return re.sub(r"\d", "0", text).split()


def simulated() -> dict[str, Any]:
    """The laptop's config file, its own front and router, with a simulated engine in every expert."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.cpu.yaml").read_text())
    config["applications"][0]["deployments"][0]["user_config"]["routing"] |= PATIENT
    for application in config["applications"][1:]:
        domain = application["args"]["model_loading_config"]["model_id"]
        application["import_path"] = "deployments.simulated:build"
        application["args"] = {"model_id": domain, "max_model_len": 2048, "startup_s": 5}
        application["deployments"][0]["graceful_shutdown_timeout_s"] = 5
    return config


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(simulated()) as running:
        yield running


@pytest.mark.ray
def test_what_talks_to_a_server_gets_the_answers_shown(cluster: Cluster) -> None:
    """In one test, because a document's blocks build on each other: the second call wakes an expert."""
    talking = [b for b in BLOCKS if b.language in ("sh", "python") and URL in b.text]
    assert len(talking) > 3
    for block in talking:
        text = block.text.replace(URL, cluster.url)
        done = _run(text, block.language)
        assert done.returncode == 0, f"{block}: {done.stderr}"
        assert _gist(done.stdout) == _gist(block.output), f"{block}: {done.stdout}"


def _run(text: str, language: str = "sh") -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-c", text] if language == "python" else ["bash", "-euo", "pipefail", "-c", text],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _gist(output: str) -> object:
    """What must be the same whichever engine answers.

    Of an HTTP reply with headers: status, decision, whether it waited for an expert. Of JSON: its
    shape, and the words. Of anything else: the first line.
    """
    if output.startswith("HTTP/"):
        lines = output.replace("\r", "").splitlines()
        kept = [
            line for line in lines if line.startswith(("x-modem-domain:", "x-modem-reason:", ": waiting"))
        ]
        return lines[0], list(dict.fromkeys(kept))
    if output.lstrip().startswith("{"):
        return _shape(json.loads(output))
    return output.strip().splitlines()[0]


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shape(inner) for inner in value]
    return "a number" if isinstance(value, int | float) else value
