"""The HTTP contract over a real cluster: HAProxy, gateway, router, simulated experts."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from openai import (
    BadRequestError,
    InternalServerError,
    NotFoundError,
    OpenAI,
)

from tests.cluster import Cluster
from tests.contract import ExpertContract, ExpertUnderTest
from tests.routers import SLOW_S

pytestmark = pytest.mark.ray
WARM = ("other", "math", "coding")


def ask(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}], "max_tokens": 5, **fields}


def generated_tokens(cluster: Cluster) -> dict[str, int]:
    """Tokens each warm expert has produced so far, by its own count."""
    return {domain: metric(cluster, domain, "vllm:generation_tokens_total") for domain in WARM}


def metric(cluster: Cluster, domain: str, name: str) -> int:
    text = httpx.get(f"http://127.0.0.1:{cluster.http_port(f'expert-{domain}')}/metrics").text
    return int(next(line for line in text.splitlines() if line.startswith(name)).split()[-1])


def events(text: str) -> list[Any]:
    """The JSON events of a stream."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


class TestSimulatedExpertUnderServe(ExpertContract):
    @pytest.fixture(scope="class")
    def expert(self, cluster: Cluster) -> ExpertUnderTest:
        return ExpertUnderTest(f"http://127.0.0.1:{cluster.http_port('expert-math')}", "math", 500)


def test_a_prompt_is_routed_to_its_domain_and_only_that_expert_works(
    client: OpenAI, cluster: Cluster
) -> None:
    before = generated_tokens(cluster)
    reply = client.chat.completions.with_raw_response.create(**ask("a question of math"))
    after = generated_tokens(cluster)
    completion = reply.parse()
    assert completion.model == "math"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 5
    assert reply.headers["x-modem-domain"] == "math"
    assert reply.headers["x-modem-reason"] == "top_score"
    assert float(reply.headers["x-modem-confidence"]) == pytest.approx(0.9)
    assert float(reply.headers["x-modem-router-ms"]) > 0
    assert {d: after[d] - before[d] for d in WARM} == {"other": 0, "math": 5, "coding": 0}


def test_only_the_selected_expert_has_replicas(cluster: Cluster) -> None:
    sleeping = httpx.get(f"{cluster.url}/v1/models/health").json()
    assert sleeping["state"] in ("asleep", "ready")  # ready if the test that wakes it ran before
    assert httpx.get(f"{cluster.url}/v1/models/math").json()["replicas"] == 1


def test_a_stream_arrives_chunk_by_chunk(client: OpenAI) -> None:
    started = time.monotonic()
    stream = client.chat.completions.create(
        **ask("math please", max_tokens=100, stream=True, stream_options={"include_usage": True})
    )
    times, text, usage = [], "", None
    for chunk in stream:
        usage = chunk.usage or usage
        if chunk.choices and chunk.choices[0].delta.content:
            times.append(time.monotonic() - started)
            text += chunk.choices[0].delta.content
        assert chunk.model == "math"
    assert len(text.split()) == len(times) == 100
    assert usage is not None
    assert usage.completion_tokens == 100
    # 99 gaps of 20 ms: had anything held the stream back, the chunks would have come together.
    assert times[-1] - times[0] > 0.5


def test_the_same_prompt_gives_the_same_text_streamed_or_not(client: OpenAI) -> None:
    whole = client.chat.completions.create(**ask("math twice", max_tokens=12)).choices[0].message.content
    parts = client.chat.completions.create(**ask("math twice", max_tokens=12, stream=True))
    assert whole == "".join(part.choices[0].delta.content or "" for part in parts)


@pytest.mark.parametrize("model", ["math", "modem/math"])
def test_a_client_can_pin_an_expert(client: OpenAI, model: str) -> None:
    reply = client.chat.completions.with_raw_response.create(**ask("nothing special", model=model))
    assert reply.parse().model == "math"
    assert reply.headers["x-modem-reason"] == "pinned"
    assert "x-modem-confidence" not in reply.headers


@pytest.mark.parametrize("fields", [{"model": "modem"}, {"model": None}])
def test_the_model_may_be_an_alias_or_absent(http: httpx.Client, fields: dict[str, Any]) -> None:
    body = {k: v for k, v in ask("math", **fields).items() if v is not None}
    assert http.post("/v1/chat/completions", json=body).json()["model"] == "math"


def test_doubt_goes_to_other(client: OpenAI) -> None:
    reply = client.chat.completions.with_raw_response.create(**ask("who knows"))
    assert reply.parse().model == "other"
    assert reply.headers["x-modem-reason"] == "low_confidence"


@pytest.mark.parametrize("trouble", ["brokenrouter", "slowrouter"])
def test_a_broken_or_slow_router_never_breaks_the_service(client: OpenAI, trouble: str) -> None:
    started = time.monotonic()
    reply = client.chat.completions.with_raw_response.create(**ask(f"math {trouble}"))
    assert reply.parse().model == "other"
    assert reply.headers["x-modem-reason"] == "router_unavailable"
    waited_s = time.monotonic() - started
    assert waited_s < SLOW_S  # it did not wait for the router
    if trouble == "slowrouter":
        time.sleep(SLOW_S - waited_s + 1)  # let its thread end before the next test needs the router


def test_text_completions_work_streamed_or_not(client: OpenAI) -> None:
    whole = client.completions.create(model="auto", prompt="some math", max_tokens=4)
    assert whole.model == "math"
    parts = client.completions.create(model="auto", prompt="some math", max_tokens=4, stream=True)
    assert "".join(part.choices[0].text for part in parts) == whole.choices[0].text


def test_the_request_id_is_the_clients_own(http: httpx.Client) -> None:
    reply = http.post("/v1/chat/completions", json=ask("math"), headers={"x-request-id": "mine-1"})
    assert reply.headers.get_list("x-request-id") == ["mine-1"]
    assert http.post("/v1/chat/completions", json=ask("math")).headers["x-request-id"]


def test_models_are_listed_with_their_state(client: OpenAI, http: httpx.Client) -> None:
    assert [model.id for model in client.models.list()] == [
        "auto",
        "other",
        "math",
        "health",
        "science",
        "coding",
    ]
    card = http.get("/v1/models/modem/math").json()
    assert card["state"] == "ready"
    assert card["replicas"] == 1
    assert card["context_length"] == 4096
    assert card["description"] == "Prompts about math."
    with pytest.raises(NotFoundError, match="auto, other, math"):
        client.models.retrieve("nope")


def test_route_decides_without_answering(http: httpx.Client, cluster: Cluster) -> None:
    before = generated_tokens(cluster)
    reply = http.post("/v1/route", json={"input": ["some math", "who knows"]}).json()
    first, second = reply["data"]
    assert (first["domain"], first["expert"], first["reason"]) == ("math", "expert-math", "top_score")
    assert first["router"] == {"name": "keyword", "version": "1"}
    assert sum(first["scores"].values()) == pytest.approx(1)
    assert (second["domain"], second["reason"]) == ("other", "low_confidence")
    one = http.post("/v1/route", json={"messages": [{"role": "user", "content": "math"}]}).json()
    assert one["data"][0]["domain"] == "math"
    assert generated_tokens(cluster) == before


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("chat/completions", b"{not json", 400, "not valid JSON at line 1, column 2"),
        ("chat/completions", b"[]", 400, "must be a JSON object, not a list"),
        ("chat/completions", b"{}", 400, "'messages' is missing"),
        ("chat/completions", b'{"messages": []}', 400, "'messages' is empty"),
        ("chat/completions", b'{"messages": "hi"}', 400, "'messages' must be a list, not a string"),
        ("chat/completions", b'{"messages": [1]}', 400, r"'messages[0]' must be an object, not a number"),
        ("chat/completions", b'{"messages": [{}]}', 400, "'messages[0].role' must be a string"),
        (
            "chat/completions",
            b'{"model": 3, "messages": [{"role": "user"}]}',
            400,
            "'model' must be a string",
        ),
        ("chat/completions", b'{"stream": 1, "messages": [{"role": "user"}]}', 400, "'stream' must be true"),
        ("completions", b"{}", 400, "'prompt' is missing"),
        ("completions", b'{"prompt": 3}', 400, "'prompt' must be a string or a list"),
        ("route", b"{}", 400, "Send either 'input'"),
        ("route", b'{"input": [1]}', 400, "'input' must be a string or a list of strings"),
        ("route", b'{"input": []}', 400, "must have 1 to 8 texts, not 0"),
        ("route", b'{"input": 1}', 400, "'input' must be a string"),
        ("chat/completions", b" " * 20_001, 413, "more than 20000 bytes"),
        ("nowhere", b"{}", 404, "There is no "),
    ],
)
def test_bad_requests_say_what_is_wrong(
    http: httpx.Client, path: str, body: bytes, status: int, says: str
) -> None:
    reply = http.post(f"/v1/{path}", content=body)
    assert reply.status_code == status
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert says in error["message"]
    assert error["type"] == "invalid_request_error"
    assert ".py" not in error["message"]


def test_a_wrong_method_is_an_openai_error_too(http: httpx.Client) -> None:
    reply = http.get("/v1/chat/completions")
    assert reply.status_code == 405
    assert reply.json()["error"]["code"] == "method_not_allowed"


def test_an_unknown_model_is_404_and_lists_those_that_exist(client: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="auto, other, math, health, science, coding") as caught:
        client.chat.completions.create(**ask("hi", model="gpt-4"))
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_beyond_the_context_is_400_with_both_lengths(client: OpenAI, stream: bool) -> None:
    with pytest.raises(BadRequestError, match=r"500 tokens.* 601 input tokens") as caught:
        client.chat.completions.create(**ask("math " * 600, stream=stream))
    assert caught.value.code == "context_length_exceeded"


def test_what_the_engine_refuses_is_the_clients_error(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="max_tokens must be at least 1"):
        client.chat.completions.create(**ask("math", max_tokens=0))


def test_a_failed_expert_is_replaced_by_other_unless_pinned(client: OpenAI) -> None:
    reply = client.chat.completions.with_raw_response.create(**ask("some science"))
    assert reply.parse().model == "other"
    assert reply.headers["x-modem-domain"] == "other"
    assert reply.headers["x-modem-reason"] == "expert_unavailable"
    with pytest.raises(InternalServerError) as caught:
        client.chat.completions.create(**ask("some science", model="science"))
    assert caught.value.status_code == 503
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert caught.value.response.headers["x-modem-reason"] == "pinned"
    assert "Traceback" not in caught.value.message


def test_ready_tells_the_state_of_every_application(http: httpx.Client) -> None:
    reply = http.get("/ready")
    assert reply.status_code == 200
    applications = reply.json()["applications"]
    assert applications["expert-math"] == {"domain": "math", "state": "ready", "num_replicas": 1}
    assert applications["expert-science"]["state"] == "failed"
    assert applications["expert-health"]["state"] in ("asleep", "starting", "ready")
    assert reply.json()["router"] == {"state": "ready", "name": "keyword", "version": "1"}
    assert http.get("/health").json() == {"status": "ok"}


def test_too_many_waiting_requests_are_429_and_none_is_lost(http: httpx.Client) -> None:
    def one(number: int) -> httpx.Response:
        return http.post("/v1/chat/completions", json=ask(f"coding {number}", max_tokens=60))

    with ThreadPoolExecutor(24) as pool:
        replies = list(pool.map(one, range(24)))
    statuses = {reply.status_code for reply in replies}
    assert statuses == {200, 429}, [r.text for r in replies if r.status_code not in (200, 429)]
    # Two wait and two are answered; but whoever is on the way to a free replica waits as well, for Serve.
    assert sum(reply.status_code == 200 for reply in replies) >= 2
    refused = next(reply for reply in replies if reply.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_its_generation(
    http: httpx.Client, cluster: Cluster, stream: bool
) -> None:
    port = cluster.http_port("expert-math")

    def running() -> int:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        line = next(line for line in text.splitlines() if line.startswith("vllm:num_requests_running"))
        return int(line.split()[-1])

    body = ask("math at length", max_tokens=450, stream=stream)
    if stream:
        with http.stream("POST", "/v1/chat/completions", json=body) as reply:
            lines = reply.iter_lines()  # kept: httpx closes the stream when its iterator goes
            while '"content":"' not in (line := next(lines)) or '"content":""' in line:
                pass
            assert running() == 1
    else:
        with pytest.raises(httpx.ReadTimeout):
            http.post("/v1/chat/completions", json=body, timeout=httpx.Timeout(10, read=0.7))
    # It takes a fifth of a second, more where the machine is busy; the whole answer would take nine.
    deadline = time.monotonic() + 4
    while running() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert running() == 0


def test_a_sleeping_expert_wakes_and_its_client_gets_signs_of_life(cluster: Cluster) -> None:
    started = time.monotonic()
    body = ask("health", stream=True)
    with httpx.stream("POST", f"{cluster.url}/v1/chat/completions", json=body, timeout=60) as reply:
        assert reply.status_code == 200
        assert reply.headers["x-modem-domain"] == "health"
        pieces = [(time.monotonic() - started, piece) for piece in reply.iter_text()]
    comments = [at for at, piece in pieces if piece.startswith(": waiting for the health expert")]
    assert len(comments) >= 3, pieces
    assert comments[0] < 1.5
    text = "".join(piece for _, piece in pieces)
    assert [event["model"] for event in events(text)] == ["health"] * 7
    assert text.endswith("data: [DONE]\n\n")
    deadline = time.monotonic() + 5  # states are about a second old
    while httpx.get(f"{cluster.url}/v1/models/health").json()["state"] != "ready":
        assert time.monotonic() < deadline
        time.sleep(0.2)
