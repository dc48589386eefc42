import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from modem.cli.main import app
from tests.builders import expert, front, mixture


def route(*args: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["route", *args], input=stdin)


def serve_config(folder: Path, domains: tuple[str, ...], routing: dict[str, object]) -> str:
    """A Serve config of simulated experts, with a router from the test helpers."""
    patient = {"graceful_shutdown_timeout_s": 600}
    experts = [expert(domain, patient) for domain in domains]
    applications = [front(domains=domains, routing=routing), *experts]
    file = folder / "serve.yaml"
    file.write_text(yaml.safe_dump(mixture(applications, port=8000)))
    return str(file)


def test_a_text_gets_a_table_of_scores_and_a_decision() -> None:
    result = route("Write a Python function to reverse a string")
    assert result.exit_code == 0, result.output
    for domain in ("math", "health", "science", "coding", "other"):
        assert domain in result.output
    assert "coding: top_score (threshold 0.5, fallback other), by modem-compact" in " ".join(
        result.output.split()
    )


def test_json_holds_the_same() -> None:
    found = json.loads(route("What is the integral of x^2?", "--json").stdout)
    assert (found["domain"], found["reason"], found["threshold"]) == ("math", "top_score", 0.5)
    assert found["confidence"] == found["scores"]["math"]
    assert sum(found["scores"].values()) == pytest.approx(1)
    assert found["router"]["name"] == "modem-compact"


def test_a_dash_reads_stdin() -> None:
    found = json.loads(route("-", "--json", stdin="What are the symptoms of flu?\n").stdout)
    assert found["domain"] == "health"


def test_an_empty_text_goes_to_the_fallback() -> None:
    found = json.loads(route("", "--json").stdout)
    assert (found["domain"], found["reason"]) == ("other", "out_of_domain")


def test_a_config_brings_its_router_domains_and_threshold(tmp_path: Path) -> None:
    file = serve_config(tmp_path, ("math", "coding"), {"threshold": 0.95, "fallback": "coding"})
    found = json.loads(route("some math please", "--config", file, "--json").stdout)
    assert found["router"]["name"] == "keyword"
    assert (found["domain"], found["reason"]) == ("coding", "low_confidence")
    assert found["confidence"] == pytest.approx(0.9)


def test_a_domain_that_is_not_served_is_marked(tmp_path: Path) -> None:
    file = serve_config(tmp_path, ("math", "coding"), {"threshold": 0.5, "fallback": "math"})
    result = route("my health", "--config", file)
    assert "not served" in result.output
    assert "math: low_confidence" in result.output


def test_a_wrong_config_is_said_without_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    for content in ("applications: [", "applications: []"):
        file.write_text(content)
        result = route("hi", "--config", str(file))
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert "Traceback" not in result.output


def test_a_missing_config_is_one_line(tmp_path: Path) -> None:
    result = route("hi", "--config", str(tmp_path / "none.yaml"))
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_commands_are_light_until_they_run() -> None:
    code = (
        "import sys, modem.cli.route, modem.cli.router; "
        "print({'torch', 'numpy', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class TestFiles:
    @staticmethod
    def files(folder: Path, *rows: object) -> tuple[str, str]:
        source = folder / "prompts.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(source), str(folder / "decisions.jsonl")

    def test_each_line_gets_its_decision_and_keeps_its_fields(self, tmp_path: Path) -> None:
        source, target = self.files(
            tmp_path,
            {"prompt": "What is the integral of x^2?", "id": 7},
            {"messages": [{"role": "user", "content": "What are the symptoms of measles?"}]},
        )
        result = route("--input", source, "--output", target)
        assert result.exit_code == 0, result.output
        first, second = map(json.loads, Path(target).read_text().splitlines())
        assert (first["id"], first["domain"], first["reason"]) == (7, "math", "top_score")
        assert first["prompt"] == "What is the integral of x^2?"
        assert sum(first["scores"].values()) == pytest.approx(1)
        assert second["domain"] == "health"

    def test_a_conversation_is_decided_as_served(self, tmp_path: Path) -> None:
        turns = ["How do I reverse a list in Java with streams?", "continue"]
        messages = [{"role": "user", "content": turn} for turn in turns]
        source, target = self.files(tmp_path, {"messages": messages})
        route("--input", source, "--output", target)
        found = json.loads(Path(target).read_text())
        assert (found["domain"], found["reason"]) == ("coding", "conversation")

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{", ":2: not JSON"),
            ("[]", ":2: expected an object"),
            ('{"text": "x"}', ":2: needs 'prompt' (a string) or 'messages' (a list)"),
            ('{"prompt": 5}', ":2: needs 'prompt'"),
        ],
    )
    def test_a_wrong_line_is_named_before_anything_is_written(
        self, tmp_path: Path, line: str, message: str
    ) -> None:
        source, target = self.files(tmp_path, {"prompt": "hello"})
        with Path(source).open("a") as file:
            file.write(line)
        result = route("--input", source, "--output", target)
        assert result.exit_code == 2
        assert message in result.stderr
        assert not Path(target).exists()

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        result = route("--input", str(tmp_path / "none.jsonl"), "--output", str(tmp_path / "out.jsonl"))
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "none.jsonl: cannot be read" in result.stderr

    @pytest.mark.parametrize("args", [(), ("a text", "--input", "x"), ("--input", "x"), ("--output", "x")])
    def test_half_a_request_is_refused(self, args: tuple[str, ...]) -> None:
        result = route(*args)
        assert result.exit_code == 2
        assert "give a text, or both --input and --output" in result.stderr
