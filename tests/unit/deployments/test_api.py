"""The gateway's application on a real server: an in-memory transport would hide when things are sent."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from deployments.api import create_api, decision_headers, read_body, request_id_of, route_texts
from modem.config import GatewayConfig
from modem.dispatch import Dispatcher
from modem.errors import BodyTooLargeError, ExpertFailedError, ExpertUnavailableError, RequestError
from modem.openai.sse import DONE
from modem.types import DomainScores, ExpertState, RouterIdentity, RoutingDecision
from tests.fakes import FakeExperts, FakeReply, FakeScorer, config
from tests.servers import serving

CHAT = "/v1/chat/completions"
EVENT = b'data: {"choices": []}\n\n'
ENGINE_ERROR = b'data: {"error": {"message": "secret", "code": 500}}\n\n'
FAILED = ExpertUnavailableError("The expert has failed.", None, "expert_failed", 5.0)
HEARTBEAT_S = 0.02
LIMITS = {"heartbeat_s": 60, "max_body_bytes": 2000, "max_route_inputs": 3}


def settings(**limits: Any) -> GatewayConfig:
    return config(limits={**LIMITS, **limits})


@pytest.fixture
def scorer() -> FakeScorer:
    return FakeScorer()


@pytest.fixture
async def experts() -> FakeExperts:
    return FakeExperts()


@pytest.fixture
def dispatcher(scorer: FakeScorer, experts: FakeExperts) -> Dispatcher:
    made = Dispatcher(scorer, experts)
    made.configure(settings())
    return made


@pytest.fixture
def restless(dispatcher: Dispatcher) -> None:
    """Clients that wait get their signs of life quickly."""
    dispatcher.configure(settings(heartbeat_s=HEARTBEAT_S))


@pytest.fixture
async def http(dispatcher: Dispatcher) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(create_api(dispatcher)) as url,
        httpx.AsyncClient(base_url=url, timeout=10, trust_env=False, verify=False) as client,
    ):
        yield client


def ask(**fields: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": "2+2?"}], **fields}


def error_of(reply: httpx.Response) -> dict[str, Any]:
    """The error object, its shape checked."""
    body = reply.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert reply.headers["content-type"] == "application/json"
    error: dict[str, Any] = body["error"]
    return error


class Chunks:
    """The body of a streamed reply as it arrives."""

    def __init__(self, reply: httpx.Response) -> None:
        self._raw = reply.aiter_raw()
        self.text = ""

    async def until(self, text: str) -> str:
        """Read until this text has arrived; return all that arrived since the last call."""
        before = len(self.text)
        while text not in self.text[before:]:
            self.text += (await anext(self._raw)).decode()
        return self.text[before:]

    async def rest(self) -> str:
        """Read to the end."""
        before = len(self.text)
        async for chunk in self._raw:
            self.text += chunk.decode()
        return self.text[before:]


def events(text: str) -> list[Any]:
    """The data of a stream, comments left out."""
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


class TestWhole:
    async def test_an_answer_passes_through_with_its_decision(
        self, http: httpx.AsyncClient, experts: FakeExperts
    ) -> None:
        reply = FakeReply(b'{"a"', b": 1}")
        experts.will("math", reply)
        response = await http.post(CHAT, json=ask(), headers={"x-request-id": "id-7"})
        assert response.status_code == 200
        assert response.content == b'{"a": 1}'
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-modem-domain"] == "math"
        assert response.headers["x-modem-reason"] == "top_score"
        assert response.headers["x-modem-confidence"] == "0.9000"
        assert float(response.headers["x-modem-router-ms"]) >= 0
        assert experts.sent[0][1].request_id == "id-7"
        assert reply.num_closed == 1

    async def test_a_text_completion_goes_to_its_own_path(
        self, http: httpx.AsyncClient, experts: FakeExperts
    ) -> None:
        experts.will("health", FakeReply(b"{}"))
        response = await http.post("/v1/completions", json={"model": "health", "prompt": "x"})
        assert response.headers["x-modem-reason"] == "pinned"
        assert "x-modem-confidence" not in response.headers
        assert experts.sent[0][1].path == "/v1/completions"

    async def test_an_error_has_a_status_and_the_decision(
        self, http: httpx.AsyncClient, experts: FakeExperts
    ) -> None:
        experts.will("math", ExpertFailedError("The expert broke off.", None, None, 1.2))
        response = await http.post(CHAT, json=ask())
        assert response.status_code == 502
        assert error_of(response)["code"] == "expert_failed"
        assert response.headers["retry-after"] == "2"
        assert response.headers["x-modem-domain"] == "math"
        assert response.headers["x-modem-reason"] == "top_score"

    async def test_a_reply_that_breaks_is_closed(self, http: httpx.AsyncClient, experts: FakeExperts) -> None:
        reply = FakeReply(b"{", ExpertFailedError("The expert broke off."))
        experts.will("math", reply)
        response = await http.post(CHAT, json=ask())
        assert response.status_code == 502
        assert reply.num_closed == 1

    async def test_a_failed_expert_is_replaced(self, http: httpx.AsyncClient, experts: FakeExperts) -> None:
        experts.will("math", FAILED)
        experts.will("other", FakeReply(b"{}"))
        response = await http.post(CHAT, json=ask())
        assert response.status_code == 200
        assert response.headers["x-modem-domain"] == "other"
        assert response.headers["x-modem-reason"] == "expert_unavailable"


class TestStream:
    async def test_every_chunk_goes_out_when_it_comes_in(
        self, http: httpx.AsyncClient, experts: FakeExperts
    ) -> None:
        reply = FakeReply(EVENT, end=False)
        experts.will("math", reply)
        async with http.stream("POST", CHAT, json=ask(stream=True)) as response:
            assert response.status_code == 200
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert response.headers["cache-control"] == "no-cache"
            assert response.headers["x-modem-domain"] == "math"
            chunks = Chunks(response)
            assert await chunks.until("\n\n") == EVENT.decode()
            for number in range(5):  # the next is supplied only after the last has arrived
                await reply.put(b"data: %d\n\n" % number)
                assert await chunks.until("\n\n") == f"data: {number}\n\n"
            await reply.put(DONE)
            await reply.put(b"")
            assert await chunks.rest() == DONE.decode()
        assert reply.num_closed == 1

    @pytest.mark.usefixtures("restless")
    async def test_a_client_that_waits_gets_signs_of_life(
        self, http: httpx.AsyncClient, experts: FakeExperts
    ) -> None:
        experts.gate.clear()
        experts.will("math", FakeReply(EVENT, DONE))
        async with http.stream("POST", CHAT, json=ask(stream=True)) as response:
            assert response.status_code == 200
            assert response.headers["x-modem-reason"] == "top_score"
            chunks = Chunks(response)
            comment = ": waiting for the math expert\n\n"
            while chunks.text.count(comment) < 3:
                await chunks.until(comment)
            assert chunks.text.replace(comment, "") == ""
            experts.gate.set()
            assert events(await chunks.rest()) == [{"choices": []}, "[DONE]"]

    @pytest.mark.usefixtures("restless")
    async def test_they_come_until_the_first_chunk_and_not_after_it(
        self, http: httpx.AsyncClient, experts: FakeExperts
    ) -> None:
        reply = FakeReply(end=False)
        experts.will("math", reply)
        async with http.stream("POST", CHAT, json=ask(stream=True)) as response:
            chunks = Chunks(response)
            await chunks.until(": waiting")
            await reply.put(EVENT)
            await chunks.until(EVENT.decode())
            await asyncio.sleep(3 * HEARTBEAT_S)
            await reply.put(DONE)
            assert await chunks.until("\n\n") == DONE.decode()
            await reply.put(b"")
            await chunks.rest()

    async def test_a_quick_answer_has_none(self, http: httpx.AsyncClient, experts: FakeExperts) -> None:
        experts.will("math", FakeReply(EVENT, DONE))
        assert (await http.post(CHAT, json=ask(stream=True))).content == EVENT + DONE

    async def test_an_error_before_the_first_byte_is_an_http_error(
        self, http: httpx.AsyncClient, experts: FakeExperts
    ) -> None:
        experts.will("math", FakeReply(b'data: {"error": {"message": "too long", "code": 400}}\n\n'))
        response = await http.post(CHAT, json=ask(stream=True))
        assert response.status_code == 400
        assert error_of(response)["message"] == "too long"
        assert response.headers["x-modem-domain"] == "math"

    @pytest.mark.usefixtures("restless")
    async def test_an_error_after_signs_of_life_is_the_last_event(
        self, http: httpx.AsyncClient, experts: FakeExperts
    ) -> None:
        experts.gate.clear()
        experts.will("math", ExpertUnavailableError("No free replica.", None, "expert_starting", 5.0))
        async with http.stream("POST", CHAT, json=ask(stream=True)) as response:
            assert response.status_code == 200
            chunks = Chunks(response)
            await chunks.until(": waiting")
            experts.gate.set()
            (event,) = events(await chunks.rest())
        assert event["error"]["code"] == "expert_starting"
        assert event["error"]["message"] == "No free replica."

    async def test_an_error_of_the_engine_in_the_middle_is_the_last_event(
        self, http: httpx.AsyncClient, experts: FakeExperts
    ) -> None:
        reply = FakeReply(EVENT, ENGINE_ERROR, DONE)
        experts.will("math", reply)
        response = await http.post(CHAT, json=ask(stream=True))
        assert response.status_code == 200
        first, last = events(response.text)
        assert first == {"choices": []}
        assert last["error"]["code"] == "expert_failed"
        assert "secret" not in response.text
        assert reply.num_closed == 1

    @pytest.mark.parametrize("error", [ExpertFailedError("The expert broke off."), RuntimeError("secret")])
    async def test_a_connection_that_breaks_in_the_middle_is_the_last_event(
        self, http: httpx.AsyncClient, experts: FakeExperts, error: Exception
    ) -> None:
        reply = FakeReply(EVENT, error)
        experts.will("math", reply)
        response = await http.post(CHAT, json=ask(stream=True))
        assert "error" in events(response.text)[-1]
        assert "secret" not in response.text
        assert reply.num_closed == 1

    async def test_silence_in_the_middle_is_the_last_event(
        self, http: httpx.AsyncClient, experts: FakeExperts, dispatcher: Dispatcher
    ) -> None:
        dispatcher.configure(settings(stream_idle_timeout_s=0.05))
        experts.will("math", FakeReply(EVENT, end=False))
        response = await http.post(CHAT, json=ask(stream=True))
        assert events(response.text)[-1]["error"]["code"] == "expert_timeout"

    async def test_a_replaced_expert_is_in_the_headers(
        self, http: httpx.AsyncClient, experts: FakeExperts
    ) -> None:
        experts.will("math", FAILED)
        experts.will("other", FakeReply(EVENT))
        response = await http.post(CHAT, json=ask(stream=True))
        assert response.headers["x-modem-domain"] == "other"
        assert response.headers["x-modem-reason"] == "expert_unavailable"
        assert response.content == EVENT

    @pytest.mark.usefixtures("restless")
    async def test_a_replaced_expert_is_in_a_comment_if_the_headers_are_gone(
        self, http: httpx.AsyncClient, experts: FakeExperts
    ) -> None:
        experts.gate.clear()
        experts.will("math", FAILED)
        experts.will("other", FakeReply(EVENT))
        async with http.stream("POST", CHAT, json=ask(stream=True)) as response:
            assert response.headers["x-modem-domain"] == "math"
            chunks = Chunks(response)
            await chunks.until(": waiting for the math expert\n\n")
            experts.gate.set()
            assert (await chunks.rest()).endswith(": expert_unavailable: other answers\n\n" + EVENT.decode())

    @pytest.mark.parametrize("waits", [False, True])
    @pytest.mark.usefixtures("restless")
    async def test_a_task_that_is_cancelled_closes_the_reply(
        self, dispatcher: Dispatcher, experts: FakeExperts, waits: bool
    ) -> None:
        """Serve cancels the application where a client leaves."""
        reply = FakeReply(*([] if waits else [EVENT]), end=False)
        experts.will("math", reply)
        sent = asyncio.Event()

        async def send(message: Any) -> None:
            if message.get("body"):
                sent.set()

        task = asyncio.create_task(call(create_api(dispatcher), json.dumps(ask(stream=True)), send))
        await asyncio.wait_for(sent.wait(), 5)  # a sign of life, or the first chunk
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert reply.num_closed == 1


async def call(app: Any, body: str, send: Any) -> None:
    """Call an application as a server would."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "headers": [],
        "query_string": b"",
        "server": ("127.0.0.1", 80),
    }
    messages = [{"type": "http.request", "body": body.encode(), "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.get_running_loop().create_future()

    await app(scope, receive, send)


class TestRefusals:
    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/nowhere", 404, "not_found"),
            ("POST", "/v1/embeddings", 404, "not_found"),
            ("GET", CHAT, 405, "method_not_allowed"),
            ("DELETE", "/v1/models/math", 405, "method_not_allowed"),
            ("GET", "/v1/models/nope", 404, "model_not_found"),
            ("GET", "/v1/models/modem/nope", 404, "model_not_found"),
        ],
    )
    async def test_of_a_route(
        self, http: httpx.AsyncClient, method: str, path: str, status: int, code: str
    ) -> None:
        response = await http.request(method, path)
        assert response.status_code == status
        assert ("allow" in response.headers) == (status == 405)
        error = error_of(response)
        assert (error["type"], error["code"]) == ("invalid_request_error", code)

    async def test_of_a_body_that_is_announced_as_too_large_before_it_is_sent(
        self, http: httpx.AsyncClient, experts: FakeExperts
    ) -> None:
        url = http.base_url
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 2001\r\n\r\n"
        writer.write(head.encode())  # and not a byte of the body
        status = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        assert status.startswith(b"HTTP/1.1 413 ")
        assert experts.sent == []

    @pytest.mark.parametrize("announced", [True, False])
    async def test_of_a_body_that_is_too_large(
        self, http: httpx.AsyncClient, experts: FakeExperts, announced: bool
    ) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b" " * 101

        body = b" " * 2020 if announced else pieces()
        response = await http.post(CHAT, content=body)
        assert response.status_code == 413
        error = error_of(response)
        assert error["code"] == "request_too_large"
        assert "2000 bytes" in error["message"]
        assert experts.sent == []

    async def test_a_body_of_just_the_limit_is_read(
        self, http: httpx.AsyncClient, experts: FakeExperts
    ) -> None:
        experts.will("math", FakeReply(b"{}"))
        body = json.dumps(ask()).encode().ljust(2000)
        assert (await http.post(CHAT, content=body)).status_code == 200
        assert (await http.post("/v1/route", content=body + b" ")).status_code == 413

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_bug_is_a_500_without_details(
        self, http: httpx.AsyncClient, experts: FakeExperts, stream: bool
    ) -> None:
        experts.will("math", RuntimeError("secret"))
        response = await http.post(CHAT, json=ask(stream=stream))
        assert response.status_code == 500
        assert error_of(response)["code"] == "internal_error"
        assert "secret" not in response.text

    async def test_a_bug_in_a_stream_is_reported_once(
        self, dispatcher: Dispatcher, experts: FakeExperts
    ) -> None:
        experts.will("math", RuntimeError("secret"))
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await call(create_api(dispatcher), json.dumps(ask(stream=True)), send)  # raises nothing
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]

    async def test_without_settings_nothing_is_answered(
        self, scorer: FakeScorer, experts: FakeExperts
    ) -> None:
        async with (
            serving(create_api(Dispatcher(scorer, experts))) as url,
            httpx.AsyncClient(verify=False) as client,
        ):
            response = await client.post(url + CHAT, json=ask())
        assert response.status_code == 500
        assert error_of(response)["code"] == "internal_error"


class TestModels:
    async def test_are_auto_and_a_card_for_each_domain(
        self, http: httpx.AsyncClient, experts: FakeExperts
    ) -> None:
        experts.known = {
            "other": ExpertState("ready", 1, num_running=3, num_waiting=2),
            "math": ExpertState("asleep", 0),
            "health": ExpertState("failed", 0, "secret"),
        }
        response = await http.get("/v1/models")
        auto, other, math, health = response.json()["data"]
        assert response.json()["object"] == "list"
        assert (auto["id"], auto["object"], auto["owned_by"]) == ("auto", "model", "modem")
        assert {k: v for k, v in other.items() if k != "created"} == {
            "id": "other",
            "object": "model",
            "owned_by": "modem",
            "description": "Prompts about other.",
            "base_model": "simulated",
            "context_length": 4096,
            "state": "ready",
            "replicas": 1,
            "running": 3,
            "waiting": 2,
        }
        assert (math["state"], math["replicas"]) == ("asleep", 0)
        assert health["state"] == "failed"
        assert "secret" not in response.text
        assert abs(time.time() - other["created"]) < 60

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("math", "math"),
            ("modem/math", "math"),
            ("auto", "auto"),
            ("modem", "auto"),
            ("modem/auto", "auto"),
        ],
    )
    async def test_one_has_two_names(self, http: httpx.AsyncClient, name: str, found: str) -> None:
        assert (await http.get(f"/v1/models/{name}")).json()["id"] == found

    async def test_one_that_is_unknown_lists_the_others(self, http: httpx.AsyncClient) -> None:
        message = error_of(await http.get("/v1/models/nope"))["message"]
        assert message.startswith("The model 'nope' does not exist. Available: auto, other, math, health. ")


class TestRoute:
    async def test_decides_without_answering(
        self, http: httpx.AsyncClient, scorer: FakeScorer, experts: FakeExperts
    ) -> None:
        async def answer(texts: Sequence[str]) -> list[DomainScores]:
            return [DomainScores({"math": 0.75, "other": 0.25}), DomainScores({"math": 0.4, "other": 0.3})]

        scorer.answer = answer
        response = await http.post("/v1/route", json={"input": ["2+2?", "hm"]})
        first, second = response.json()["data"]
        assert first.pop("latency_ms") >= 0
        assert first == {
            "index": 0,
            "domain": "math",
            "expert": "expert-math",
            "reason": "top_score",
            "confidence": 0.75,
            "scores": {"math": 0.75, "other": 0.25},
            "router": {"name": "fake", "version": "1"},
        }
        assert (second["index"], second["domain"], second["reason"]) == (1, "other", "low_confidence")
        assert scorer.texts == ["2+2?", "hm"]
        assert experts.sent == []

    async def test_reads_one_text_or_a_conversation(
        self, http: httpx.AsyncClient, scorer: FakeScorer
    ) -> None:
        await http.post("/v1/route", json={"input": "one"})
        await http.post("/v1/route", json={"messages": ask()["messages"]})
        assert scorer.texts == ["one", "2+2?"]

    async def test_tells_of_a_router_that_does_not_answer(
        self, http: httpx.AsyncClient, scorer: FakeScorer
    ) -> None:
        async def answer(_: Sequence[str]) -> list[DomainScores]:
            raise RuntimeError("secret")

        scorer.answer = answer
        scorer.broken = RuntimeError("secret")
        response = await http.post("/v1/route", json={"input": "x"})
        (card,) = response.json()["data"]
        assert response.status_code == 200
        assert (card["domain"], card["reason"]) == ("other", "router_unavailable")
        assert (card["confidence"], card["scores"], card["router"]) == (None, None, None)

    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ({}, "Send either 'input'"),
            ({"input": "x", "messages": []}, "Send either 'input'"),
            ({"input": None}, "must be a string or a list of strings"),
            ({"input": {"a": 1}}, "must be a string or a list of strings"),
            ({"input": ["x", 1]}, "must be a string or a list of strings"),
            ({"input": []}, "must have 1 to 3 texts, not 0"),
            ({"input": ["x"] * 4}, "must have 1 to 3 texts, not 4"),
            ({"messages": []}, "'messages' is empty"),
        ],
    )
    def test_refuses(self, body: dict[str, Any], says: str) -> None:
        with pytest.raises(RequestError, match=says):
            route_texts(body, 3)

    @pytest.mark.parametrize("texts", ["", "x", [""], ["x", "y", "z"]])
    def test_takes(self, texts: Any) -> None:
        wanted = [texts] if isinstance(texts, str) else texts
        assert [found.text for found in route_texts({"input": texts}, 3)] == wanted


class TestHealth:
    async def test_is_of_this_process_alone(
        self, http: httpx.AsyncClient, scorer: FakeScorer, experts: FakeExperts
    ) -> None:
        scorer.broken = RuntimeError("x")
        experts.known = dict.fromkeys(("other", "math", "health"), ExpertState("failed", 0))
        response = await http.get("/health")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})

    async def test_ready(self, http: httpx.AsyncClient, experts: FakeExperts) -> None:
        experts.known = {"math": ExpertState("asleep", 0)}
        response = await http.get("/ready")
        assert response.status_code == 200
        assert response.json() == {
            "status": "ready",
            "applications": {
                "expert-other": {"domain": "other", "state": "ready", "num_replicas": 1},
                "expert-math": {"domain": "math", "state": "asleep", "num_replicas": 0},
                "expert-health": {"domain": "health", "state": "ready", "num_replicas": 1},
            },
            "router": {"state": "ready", "name": "fake", "version": "1"},
        }

    @pytest.mark.parametrize(
        ("fallback", "status"), [("failed", "failed"), ("starting", "starting"), ("asleep", "starting")]
    )
    async def test_not_ready_without_the_fallback(
        self, http: httpx.AsyncClient, experts: FakeExperts, fallback: Any, status: str
    ) -> None:
        experts.known = {"other": ExpertState(fallback, 0, "secret")}
        response = await http.get("/ready")
        assert (response.status_code, response.json()["status"]) == (503, status)
        assert "secret" not in response.text

    async def test_not_ready_without_the_router(self, http: httpx.AsyncClient, scorer: FakeScorer) -> None:
        scorer.broken = RuntimeError("secret")
        response = await http.get("/ready")
        assert (response.status_code, response.json()["status"]) == (503, "starting")
        assert response.json()["router"] == {"state": "unavailable"}

    async def test_a_router_that_hangs_is_not_waited_for(
        self,
        http: httpx.AsyncClient,
        scorer: FakeScorer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        async def hang() -> RouterIdentity:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        monkeypatch.setattr(scorer, "identity", hang)
        monkeypatch.setattr("deployments.api.ROUTER_CHECK_TIMEOUT_S", 0.02)
        assert (await http.get("/ready")).json()["router"] == {"state": "unavailable"}


def incoming(headers: dict[str, str], *chunks: bytes) -> Request:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        return messages.pop(0)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)


class TestReading:
    @pytest.mark.parametrize("length", ["", "-1", "x", "²", "4"])
    async def test_a_body_is_read_whatever_its_length_is_said_to_be(self, length: str) -> None:
        assert await read_body(incoming({"content-length": length}, b"ab", b"", b"cd"), 4) == b"abcd"

    @pytest.mark.parametrize("headers", [{}, {"content-length": "1"}])
    async def test_a_body_that_is_longer_than_said_is_refused(self, headers: dict[str, str]) -> None:
        with pytest.raises(BodyTooLargeError):
            await read_body(incoming(headers, b"abc", b"de"), 4)

    def test_the_request_id_may_be_absent(self) -> None:
        assert request_id_of(incoming({})) == ""
        assert request_id_of(incoming({"x-request-id": "a"})) == "a"

    def test_the_decision_in_headers(self) -> None:
        assert decision_headers(RoutingDecision("math", "pinned")) == {
            "x-modem-domain": "math",
            "x-modem-reason": "pinned",
            "x-modem-router-ms": "0.0",
        }
