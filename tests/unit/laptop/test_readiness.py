import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from modem.laptop.readiness import Part, Readiness, ask_gateway, ask_serve
from tests.unit.laptop.listener import listening

READY = {
    "status": "ready",
    "applications": {
        "expert-other": {"domain": "other", "state": "ready", "num_replicas": 1},
        "expert-math": {"domain": "math", "state": "asleep", "num_replicas": 0},
    },
    "router": {"state": "ready"},
}


class Scripted(HTTPServer):
    """Answers every request with ``answer`` and notes it."""

    answer: tuple[int, bytes] = (200, b"{}")

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def says(self, status: int, body: Any) -> None:
        self.answer = (status, body if isinstance(body, bytes) else json.dumps(body).encode())


class Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["authorization"]))
        status, body = self.server.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as scripted:
        thread = threading.Thread(target=scripted.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield scripted
        scripted.shutdown()
        thread.join()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("secret")
    return tmp_path / "token"


def log_with(tmp_path: Path, url: str) -> Path:
    log = tmp_path / "serve.log"
    log.write_text(
        f"INFO Started a local Ray instance. View the dashboard at \x1b[1m\x1b[32m{url} \x1b[39m\n"
    )
    return log


def test_ready(server: Scripted) -> None:
    server.says(200, READY)
    state = ask_gateway(server.url)
    assert state == Readiness(True, (Part("other", "ready"), Part("math", "asleep"), Part("router", "ready")))
    assert str(state) == "other ready, math asleep, router ready"
    assert server.asked == [("/ready", None)]


def test_503_with_states_is_an_answer_too(server: Scripted) -> None:
    failed = {"expert-math": {"domain": "math", "state": "failed", "num_replicas": 0}}
    server.says(503, {**READY, "status": "failed", "applications": failed})
    state = ask_gateway(server.url)
    assert state is not None
    assert not state.ready
    assert state.failed == (Part("math", "failed"),)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, b"<html><body><h1>503 Service Unavailable</h1>\nNo server is available</body></html>"),
        (404, b"Path '/ready' not found."),
        (200, b"success"),
        (200, b"[]"),
        (404, {"error": {"message": "no such route"}}),
        (502, b""),
        (200, b"\xff"),
    ],
)
def test_whoever_else_answers_is_no_gateway(server: Scripted, status: int, body: Any) -> None:
    server.says(status, body)
    assert ask_gateway(server.url) is None


def test_nobody_answers() -> None:
    with listening() as port:
        pass
    assert ask_gateway(f"http://127.0.0.1:{port}") is None


def test_a_proxy_in_the_environment_is_not_asked(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.says(200, READY)
    assert ask_gateway(server.url) is not None


def test_before_ray_is_up_nothing_is_known(tmp_path: Path, token: Path) -> None:
    log = tmp_path / "serve.log"
    log.write_text("Running config file\n")
    state = ask_serve(log, token)
    assert state == Readiness(False)
    assert str(state) == "Ray starting"


def test_serve_is_asked_with_the_token(tmp_path: Path, server: Scripted, token: Path) -> None:
    server.says(200, {"applications": {"modem": {"status": "DEPLOYING", "deployments": {}}}})
    state = ask_serve(log_with(tmp_path, server.url), token)
    assert state == Readiness(False, (Part("modem", "starting"),))
    assert server.asked == [("/api/serve/applications/", "Bearer secret")]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("NOT_STARTED", "waiting"),
        ("DEPLOYING", "starting"),
        ("RUNNING", "up"),
        ("UNHEALTHY", "starting"),
        ("DELETING", "starting"),
    ],
)
def test_serves_words_become_ours(
    tmp_path: Path, server: Scripted, token: Path, status: str, state: str
) -> None:
    server.says(200, {"applications": {"modem": {"status": status}}})
    assert ask_serve(log_with(tmp_path, server.url), token).parts == (Part("modem", state),)


@pytest.mark.parametrize(
    ("message", "deployment_messages", "reason"),
    [
        ("", [], ""),
        ("Could not import it.", [], "Could not import it."),
        (
            "Deploying app 'modem' failed with exception:\nTraceback (most recent call last):\n"
            "  File \"x.py\", line 1, in build\n    raise\nModuleNotFoundError: No module named 'x'\n",
            [],
            "ModuleNotFoundError: No module named 'x'",
        ),
        (
            "Failed to update the deployments ['Front'].",
            ["", "The deployment failed to start 3 times in a row. Error:\nValueError: bad head\n\nlogs: x"],
            "ValueError: bad head",
        ),
    ],
)
def test_the_reason_of_a_failure_is_one_line(
    tmp_path: Path,
    server: Scripted,
    token: Path,
    message: str,
    deployment_messages: list[str],
    reason: str,
) -> None:
    deployments = {str(number): {"message": text} for number, text in enumerate(deployment_messages)}
    application = {"status": "DEPLOY_FAILED", "message": message, "deployments": deployments}
    server.says(200, {"applications": {"modem": application}})
    state = ask_serve(log_with(tmp_path, server.url), token)
    assert state.failed == (Part("modem", "failed", reason),)


@pytest.mark.parametrize(("status", "body"), [(401, b"Unauthorized"), (500, b"{"), (200, b"<html>")])
def test_a_dashboard_that_does_not_tell_is_passed_over(
    tmp_path: Path, server: Scripted, token: Path, status: int, body: bytes
) -> None:
    server.says(status, body)
    assert ask_serve(log_with(tmp_path, server.url), token) == Readiness(False)
