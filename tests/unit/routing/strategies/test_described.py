import asyncio
import json
import math
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from modem.config import RouterConfig
from modem.errors import (
    ConfigError,
    ExpertFailedError,
    ExpertTimeoutError,
    ExpertUnavailableError,
    ServingError,
)
from modem.routing.load import load_router
from modem.routing.strategies.catalogue import IMPORT_PATHS
from modem.routing.strategies.described import DescribedRouter, _probabilities
from tests.servers import serving_in_thread

DOMAINS = {"math": "Sums and proofs.", "health": "Bodies and ills.", "other": "All else."}
LONGER = {"science": "s", "scifi": "f", "other": "o"}


class Engine:
    """Answers as vLLM does: the log probabilities of the first token's alternatives."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.reply: Any = None
        self.status = 200
        self.wait = threading.Event()
        self.wait.set()

    async def complete(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        await asyncio.to_thread(self.wait.wait)
        if self.reply is not None:
            return JSONResponse(self.reply, self.status)
        return JSONResponse(self.chosen(body))

    def chosen(self, body: dict[str, Any]) -> dict[str, Any]:
        """Name the first domain that the request's text does; half as probable, any other."""
        text = body["messages"][-1]["content"]
        named = next((name for name in body["structured_outputs"]["choice"] if name in text), "other")
        top = [{"token": named, "logprob": math.log(0.6)}, {"token": " hea", "logprob": math.log(0.3)}]
        first = {
            "token": named,
            "logprob": math.log(0.6),
            "top_logprobs": [*top, {"token": "x", "logprob": -9}],
        }
        return {"choices": [{"logprobs": {"content": [first]}}]}


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def url(engine: Engine) -> Iterator[str]:
    route = Route("/v1/chat/completions", engine.complete, methods=["POST"])
    with serving_in_thread(Starlette(routes=[route])) as found:
        yield f"{found}/v1"


def test_probabilities_come_from_the_first_token(url: str) -> None:
    router = DescribedRouter(url, "small", DOMAINS)
    first, second = router.score(["a math question", "nothing of note"])
    assert first.top()[0] == "math"
    assert first.scores["math"] == pytest.approx(0.99 * 2 / 3 + 0.01 / 3)
    assert first.scores["health"] == pytest.approx(0.99 / 3 + 0.01 / 3)
    assert sum(first.scores.values()) == pytest.approx(1)
    assert second.top()[0] == "other"


def test_the_request_describes_the_routes_and_allows_nothing_else(url: str, engine: Engine) -> None:
    DescribedRouter(url, "small", DOMAINS, api_key="secret").score(["is {text} a template?"])
    (body,) = engine.bodies
    assert body["model"] == "small"
    assert (body["max_tokens"], body["temperature"], body["logprobs"]) == (1, 0, True)
    assert body["structured_outputs"] == {"choice": ["math", "health", "other"]}
    system, user = body["messages"]
    assert system["role"] == "system"
    assert "math: Sums and proofs.\nhealth: Bodies and ills." in system["content"]
    assert "is {text} a template?" in user["content"]
    assert engine.headers[0]["authorization"] == "Bearer secret"


def test_order_is_kept_and_blank_texts_ask_nobody(url: str, engine: Engine) -> None:
    texts = ["", "math", "health", " \n", *["math", "other"] * 6]
    found = [scores.top()[0] for scores in DescribedRouter(url, "small", DOMAINS).score(texts)]
    assert found[1:3] + found[4:] == ["math", "health", *["math", "other"] * 6]
    assert len(engine.bodies) == 14
    assert DescribedRouter(url, "small", DOMAINS).score([]) == []


def test_an_engine_that_hangs_is_given_up(url: str, engine: Engine) -> None:
    engine.wait.clear()
    try:
        with pytest.raises(ExpertTimeoutError, match="did not answer in time"):
            DescribedRouter(url, "small", DOMAINS, deadline_s=0.3).score(["math"] * 10)
    finally:
        engine.wait.set()


def test_a_deadline_that_is_over_asks_nobody(url: str, engine: Engine) -> None:
    with pytest.raises(ExpertTimeoutError):
        DescribedRouter(url, "small", DOMAINS, deadline_s=0).score(["math"])
    assert engine.bodies == []


def test_nobody_listening_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ExpertUnavailableError, match="not reachable"):
        DescribedRouter(f"http://127.0.0.1:{port}/v1", "small", DOMAINS).score(["math"])


@pytest.mark.parametrize(
    ("status", "reply", "message"),
    [
        (404, {"error": "no such model"}, "status 404"),
        (200, {"choices": []}, "must support logprobs"),
        (200, {"choices": [{"logprobs": None, "message": {"content": "math"}}]}, "must support logprobs"),
        (200, [], "must support logprobs"),
    ],
)
def test_a_wrong_answer_is_an_error_that_says_so(
    url: str, engine: Engine, status: int, reply: Any, message: str
) -> None:
    engine.status, engine.reply = status, reply
    with pytest.raises(ExpertFailedError, match=message) as raised:
        DescribedRouter(url, "small", DOMAINS).score(["math"])
    assert isinstance(raised.value, ServingError)


def test_an_answer_that_is_not_json_is_an_error(url: str) -> None:
    async def plain(request: Request) -> Response:
        return Response("busy")

    app = Starlette(routes=[Route("/v1/chat/completions", plain, methods=["POST"])])
    with serving_in_thread(app) as found, pytest.raises(ExpertFailedError, match="broke off"):
        DescribedRouter(f"{found}/v1", "small", DOMAINS).score(["math"])


def test_tokens_speak_for_the_names_that_begin_with_them() -> None:
    found = _probabilities(
        {" sci": math.log(0.5), "Science": math.log(0.25), "z": math.log(0.2)}, list(LONGER)
    )
    assert found["science"] == pytest.approx(0.99 * (0.25 + 0.25) / 0.75 + 0.01 / 3)
    assert found["scifi"] == pytest.approx(0.99 * 0.25 / 0.75 + 0.01 / 3)


def test_a_model_without_an_opinion_leaves_all_equal() -> None:
    assert set(_probabilities({"I": -0.1, "": -1.0}, list(DOMAINS)).values()) == {1 / 3}


@given(st.dictionaries(st.text(max_size=4), st.floats(-50, 1), max_size=6))
def test_probabilities_sum_to_one(tokens: dict[str, float]) -> None:
    found = _probabilities(tokens, list(LONGER))
    assert sum(found.values()) == pytest.approx(1)
    assert min(found.values()) > 0


def test_the_version_changes_with_model_and_descriptions() -> None:
    def version(model: str, text: str) -> str:
        return DescribedRouter("http://x/v1", model, {"math": text, "other": "o"}).identity.version

    assert version("a", "m") == version("a", "m")
    assert len({version("a", "m"), version("b", "m"), version("a", "n")}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "localhost:8000"}, "url must be"),
        ({"domains": {"math": "m"}}, "at least two"),
        ({"model": "auto"}, "name an expert"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    options = {"url": "http://x/v1", "model": "small", "domains": DOMAINS, **changes}
    with pytest.raises(ConfigError, match=message):
        load_router(RouterConfig(kind="custom", import_path=IMPORT_PATHS["described"], options=options))
