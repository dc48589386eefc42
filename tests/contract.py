"""What the HTTP port of every expert must do, whatever engine is behind it.

A test class inherits `ExpertContract` and has a fixture ``expert``; each test then runs against that
expert. Nothing here knows which engine it talks to, so timing is loose: a laptop's real engine makes
some fifteen tokens a second.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from modem.openai.errors import from_engine

TIMEOUT_S = 120.0
STOPS_WITHIN_S = 4.0
"""It takes a fifth of a second on an idle machine."""


@dataclass(frozen=True)
class ExpertUnderTest:
    """One running expert.

    Attributes:
        url: Of its HTTP port, without a path.
        model: The domain id it answers as.
        context_tokens: Longest prompt plus answer.
        stops_unary: Whether its server tells the application of a client that leaves an answer that
            is not a stream. Serve does; a bare uvicorn does not.
    """

    url: str
    model: str
    context_tokens: int
    stops_unary: bool = True

    def chat(self, text: str = "Say hello.", **fields: Any) -> dict[str, Any]:
        """Body of a chat completion; without chance."""
        messages = [{"role": "user", "content": text}]
        return {"model": self.model, "messages": messages, "max_tokens": 8, **REPEATABLE, **fields}

    def prompt(self, text: str = "Once upon a time", **fields: Any) -> dict[str, Any]:
        """Body of a text completion; without chance."""
        return {"model": self.model, "prompt": text, "max_tokens": 8, **REPEATABLE, **fields}

    def metric(self, name: str) -> float:
        """Sum of a metric over its label sets.

        Raises:
            AssertionError: There is none of that name.
        """
        with client(self.url) as http:
            text = http.get("/metrics").raise_for_status().text
        values = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
        assert values, f"no {name} in /metrics"
        return sum(float(value) for value in values)


REPEATABLE = {"temperature": 0, "seed": 7}


def client(url: str) -> httpx.Client:
    """A client of plain HTTP: reading certificates would take longer than most requests."""
    return httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False, verify=False)


def events(reply: httpx.Response) -> list[Any]:
    """The JSON events of a streamed reply; checks that it is one and that it ends as OpenAI's do."""
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/event-stream")
    blocks = [block for block in reply.text.split("\n\n") if block]
    assert all(block.startswith("data: ") for block in blocks)
    assert blocks[-1] == "data: [DONE]"
    return [json.loads(block.removeprefix("data: ")) for block in blocks[:-1]]


def eventually(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class ExpertContract:
    """The contract; inherit and add a fixture ``expert``."""

    @pytest.fixture
    def http(self, expert: ExpertUnderTest) -> Iterator[httpx.Client]:
        with client(expert.url) as http:
            yield http

    def test_a_chat(self, http: httpx.Client, expert: ExpertUnderTest) -> None:
        reply = http.post("/v1/chat/completions", json=expert.chat())
        assert reply.status_code == 200, reply.text
        assert reply.headers["content-type"].startswith("application/json")
        body = reply.json()
        (choice,) = body["choices"]
        assert (body["object"], body["model"]) == ("chat.completion", expert.model)
        assert choice["message"]["role"] == "assistant"
        assert choice["message"]["content"]
        assert choice["finish_reason"] in ("stop", "length")
        usage = body["usage"]
        assert 1 <= usage["completion_tokens"] <= 8
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]

    def test_a_streamed_chat(self, http: httpx.Client, expert: ExpertUnderTest) -> None:
        found = events(http.post("/v1/chat/completions", json=expert.chat(stream=True)))
        assert {event["object"] for event in found} == {"chat.completion.chunk"}
        assert {event["model"] for event in found} == {expert.model}
        assert len({event["id"] for event in found}) == 1
        choices = [event["choices"][0] for event in found]
        assert choices[0]["delta"]["role"] == "assistant"
        assert "".join(choice["delta"].get("content") or "" for choice in choices)
        reasons = [choice["finish_reason"] for choice in choices]
        assert reasons[-1] in ("stop", "length")
        assert set(reasons[:-1]) <= {None}
        assert not any(event.get("usage") for event in found)

    def test_a_text_completion(self, http: httpx.Client, expert: ExpertUnderTest) -> None:
        reply = http.post("/v1/completions", json=expert.prompt())
        assert reply.status_code == 200, reply.text
        (choice,) = reply.json()["choices"]
        assert (reply.json()["object"], reply.json()["model"]) == ("text_completion", expert.model)
        assert choice["text"]
        assert choice["finish_reason"] in ("stop", "length")

    def test_a_streamed_text_completion(self, http: httpx.Client, expert: ExpertUnderTest) -> None:
        found = events(http.post("/v1/completions", json=expert.prompt(stream=True)))
        assert {event["model"] for event in found} == {expert.model}
        choices = [event["choices"][0] for event in found]
        assert "".join(choice["text"] for choice in choices)
        assert choices[-1]["finish_reason"] in ("stop", "length")

    @pytest.mark.parametrize("endpoint", ["chat/completions", "completions"])
    def test_a_stream_ends_with_the_usage_if_asked_for(
        self, http: httpx.Client, expert: ExpertUnderTest, endpoint: str
    ) -> None:
        body = expert.chat() if endpoint == "chat/completions" else expert.prompt()
        usage = http.post(f"/v1/{endpoint}", json=body).json()["usage"]
        options = {"stream": True, "stream_options": {"include_usage": True}}
        *_, last = events(http.post(f"/v1/{endpoint}", json={**body, **options}))
        assert last["choices"] == []
        for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert last["usage"][name] == usage[name]

    @pytest.mark.parametrize("stream", [False, True])
    def test_the_same_request_gives_the_same_text(
        self, http: httpx.Client, expert: ExpertUnderTest, stream: bool
    ) -> None:
        def text(**fields: Any) -> str:
            reply = http.post("/v1/chat/completions", json=expert.chat("Count to ten.", **fields))
            if not fields:
                return str(reply.json()["choices"][0]["message"]["content"])
            return "".join(e["choices"][0]["delta"].get("content") or "" for e in events(reply))

        assert text() == (text(stream=True) if stream else text())

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    def test_the_limit_of_tokens_holds(self, http: httpx.Client, expert: ExpertUnderTest, name: str) -> None:
        body = expert.chat("Write a long story about a river.")
        del body["max_tokens"]
        reply = http.post("/v1/chat/completions", json={**body, name: 3}).json()
        assert reply["usage"]["completion_tokens"] == 3
        assert reply["choices"][0]["finish_reason"] == "length"

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("endpoint", ["chat/completions", "completions"])
    def test_a_prompt_beyond_the_context_is_refused_with_both_lengths(
        self, http: httpx.Client, expert: ExpertUnderTest, endpoint: str, stream: bool
    ) -> None:
        text = "word " * (expert.context_tokens + 50)
        body = expert.chat(text, stream=stream) if "chat" in endpoint else expert.prompt(text, stream=stream)
        reply = http.post(f"/v1/{endpoint}", json=body)
        assert reply.status_code == 400, reply.text
        error = from_engine(reply.status_code, reply.content, 5)
        assert error.code == "context_length_exceeded"
        numbers = [int(number) for number in re.findall(r"\d+", error.message)]
        assert expert.context_tokens in numbers, error.message
        # The engine may stop counting where the limit, less the answer, is passed.
        assert any(number > expert.context_tokens - 8 for number in numbers[1:]), error.message

    @pytest.mark.parametrize("model", ["nope", "auto", "modem", None])
    def test_another_model_is_404(
        self, http: httpx.Client, expert: ExpertUnderTest, model: str | None
    ) -> None:
        reply = http.post("/v1/chat/completions", json={**expert.chat(), "model": model})
        if model is None:  # some engines take it for their own
            assert reply.status_code in (200, 404)
            return
        assert reply.status_code == 404
        assert model in from_engine(404, reply.content, 5).message

    @pytest.mark.parametrize(
        ("endpoint", "fields"),
        [
            ("chat/completions", {"messages": "hi"}),
            ("chat/completions", {"messages": None}),
            ("chat/completions", {"messages": [1]}),
            ("chat/completions", {"max_tokens": "many"}),
            ("chat/completions", {"max_tokens": -1}),
            ("completions", {"prompt": 5}),
            ("completions", {"prompt": {"a": 1}}),
            ("completions", {"max_tokens": "many"}),
        ],
    )
    def test_a_wrong_type_is_the_clients_error(
        self, http: httpx.Client, expert: ExpertUnderTest, endpoint: str, fields: dict[str, Any]
    ) -> None:
        body = expert.chat() if endpoint == "chat/completions" else expert.prompt()
        reply = http.post(f"/v1/{endpoint}", json={**body, **fields})
        assert 400 <= reply.status_code < 500, reply.text
        assert reply.json()["error"]["message"]

    @pytest.mark.parametrize("content", [b"", b"{", b"[]"])
    def test_what_is_no_json_object_is_the_clients_error(self, http: httpx.Client, content: bytes) -> None:
        headers = {"content-type": "application/json"}
        reply = http.post("/v1/chat/completions", content=content, headers=headers)
        assert 400 <= reply.status_code < 500, reply.text
        assert reply.json()["error"]["message"]

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/"),
            ("GET", "/docs"),
            ("GET", "/openapi.json"),
            ("POST", "/v1/embeddings"),
            ("POST", "/v1/responses"),
            ("POST", "/tokenize"),
            ("POST", "/pause"),
            ("POST", "/scale_elastic_ep"),
            ("GET", "//health"),
        ],
    )
    def test_there_is_no_other_route(self, http: httpx.Client, method: str, path: str) -> None:
        # A path that begins with two slashes is an absolute URL to httpx unless it is whole.
        assert http.request(method, f"{http.base_url!s}".rstrip("/") + path).status_code == 404

    def test_health(self, http: httpx.Client) -> None:
        assert http.get("/health").status_code == 200

    def test_metrics_count_what_runs_waits_and_was_generated(
        self, http: httpx.Client, expert: ExpertUnderTest
    ) -> None:
        assert eventually(lambda: expert.metric("vllm:num_requests_running") == 0, 5)
        assert expert.metric("vllm:num_requests_waiting") == 0
        before = expert.metric("vllm:generation_tokens_total")
        num_tokens = http.post("/v1/chat/completions", json=expert.chat()).json()["usage"][
            "completion_tokens"
        ]
        after = before + num_tokens
        assert eventually(lambda: expert.metric("vllm:generation_tokens_total") == after, 5)

    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
    def test_a_client_that_leaves_stops_its_generation(
        self, http: httpx.Client, expert: ExpertUnderTest, stream: bool
    ) -> None:
        if not stream and not expert.stops_unary:
            pytest.skip("this server does not tell of it; the tests on a cluster cover it")
        long = {"max_tokens": expert.context_tokens // 2, "ignore_eos": True}
        body = expert.chat("Write a long story about a river.", **long, stream=stream)

        def running() -> float:
            return expert.metric("vllm:num_requests_running")

        assert eventually(lambda: running() == 0, 5)
        before = expert.metric("vllm:generation_tokens_total")
        if stream:
            with http.stream("POST", "/v1/chat/completions", json=body) as reply:
                pieces = reply.iter_bytes()
                next(pieces)
                assert eventually(lambda: running() == 1, 5)
        else:
            timeout = httpx.Timeout(TIMEOUT_S, read=1.5)
            with pytest.raises(httpx.ReadTimeout):
                http.post("/v1/chat/completions", json=body, timeout=timeout)
        assert eventually(lambda: running() == 0, STOPS_WITHIN_S)
        stopped_at = expert.metric("vllm:generation_tokens_total")
        assert stopped_at - before < long["max_tokens"], "it was not stopped, it ended"
        time.sleep(0.2)
        assert expert.metric("vllm:generation_tokens_total") == stopped_at
