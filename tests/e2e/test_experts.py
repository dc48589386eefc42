"""The laptop's own config on two real vLLM engines: routing, streaming, waking, refusing, cancelling."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from openai import BadRequestError, OpenAI
from rich.console import Console

from modem.cli.models import prepare_with_bar
from tests.cluster import ROOT, Cluster
from tests.contract import ExpertContract, ExpertUnderTest

pytestmark = [pytest.mark.ray, pytest.mark.vllm]
DOMAINS = ("math", "other")
MATH = "What is the derivative of x^2 + 3x with respect to x?"
OTHER = "Who painted the Mona Lisa, and in which city does it hang?"


def laptop_config() -> dict[str, Any]:
    """``serve_config.cpu.yaml`` with two of its five domains: one warm, one asleep."""
    config: dict[str, Any] = yaml.safe_load(Path(ROOT / "serve_config.cpu.yaml").read_text())
    names = {"modem", *(f"expert-{domain}" for domain in DOMAINS)}
    config["applications"] = [a for a in config["applications"] if a["name"] in names]
    settings = config["applications"][0]["deployments"][0]["user_config"]
    settings["domains"] = {domain: settings["domains"][domain] for domain in DOMAINS}
    settings["limits"]["heartbeat_s"] = 1
    return config


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    prepare_with_bar(["modem://smollm2-135m-instruct"], Console(stderr=True))
    with Cluster(laptop_config()) as running:
        yield running


@pytest.fixture
def client(cluster: Cluster) -> OpenAI:
    return OpenAI(base_url=f"{cluster.url}/v1", api_key="none", max_retries=0, timeout=240)


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def running_requests(engine: str) -> float:
    """The engine's own count of requests it works on.

    Args:
        engine: URL of the replica's HTTP port.
    """
    text = httpx.get(f"{engine}/metrics", timeout=30).text
    line = next(line for line in text.splitlines() if line.startswith("vllm:num_requests_running{"))
    return float(line.split()[-1])


def within(timeout_s: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class TestRealExpert(ExpertContract):
    @pytest.fixture(scope="class")
    def expert(self, cluster: Cluster) -> ExpertUnderTest:
        return ExpertUnderTest(f"http://127.0.0.1:{cluster.http_port('expert-other')}", "other", 2048)


def test_only_the_fallback_is_awake_at_first(cluster: Cluster) -> None:
    states = {card["id"]: card for card in httpx.get(f"{cluster.url}/v1/models").json()["data"]}
    assert (states["other"]["state"], states["other"]["replicas"]) == ("ready", 1)
    assert (states["math"]["state"], states["math"]["replicas"]) == ("asleep", 0)


def test_the_warm_expert_answers_a_routed_prompt(cluster: Cluster, client: OpenAI) -> None:
    reply = client.chat.completions.with_raw_response.create(
        model="auto", messages=user(OTHER), max_completion_tokens=24
    )
    completion = reply.parse()
    assert completion.model == "other"
    assert completion.choices[0].finish_reason in ("length", "stop")
    assert len((completion.choices[0].message.content or "").split()) > 5
    assert reply.headers["x-modem-reason"] == "top_score"
    assert cluster.replicas("expert-math") == []  # nobody else was woken


def test_a_small_model_still_knows_the_capital_of_france(client: OpenAI) -> None:
    reply = client.chat.completions.create(
        model="other", messages=user("What is the capital of France?"), max_tokens=24
    )
    assert "Paris" in (reply.choices[0].message.content or "")


def test_a_sleeping_expert_wakes_for_a_stream(cluster: Cluster) -> None:
    body = {
        "messages": user(MATH),
        "stream": True,
        "max_tokens": 12,
        "stream_options": {"include_usage": True},
    }
    with httpx.stream("POST", f"{cluster.url}/v1/chat/completions", json=body, timeout=240) as reply:
        assert reply.status_code == 200
        assert reply.headers["x-modem-domain"] == "math"
        lines = list(reply.iter_lines())
    assert sum(line.startswith(": waiting for the math expert") for line in lines) >= 3
    assert lines[-2] == "data: [DONE]"
    chunks = [line for line in lines if line.startswith('data: {"id"')]
    assert len(chunks) >= 12
    assert all('"model":"math"' in line for line in chunks)
    assert '"completion_tokens":12' in chunks[-1]
    assert len(cluster.replicas("expert-math")) == 1


def test_the_experts_own_prompt_and_sampling_apply_unless_the_client_has_its_own(client: OpenAI) -> None:
    def prompt_tokens(messages: list[Any]) -> int:
        reply = client.chat.completions.create(model="math", messages=messages, max_tokens=1)
        assert reply.usage is not None
        return reply.usage.prompt_tokens

    own = prompt_tokens([{"role": "system", "content": "Hi."}, *user("2+2?")])
    assert prompt_tokens(user("2+2?")) > own + 20  # the chain-of-thought prompt of the config
    texts = {
        client.chat.completions.create(model="math", messages=user("Say a number."), max_tokens=8)
        .choices[0]
        .message.content
        for _ in range(2)
    }
    assert len(texts) == 1  # temperature 0 by default


def test_engine_features_pass_through(client: OpenAI) -> None:
    reply = client.chat.completions.create(
        model="math",
        messages=user("Count to three."),
        max_tokens=4,
        logprobs=True,
        top_logprobs=2,
        seed=7,
        stop=["\n\n\n"],
        n=2,
        temperature=0.5,
    )
    assert len(reply.choices) == 2
    assert reply.choices[0].logprobs is not None
    assert len(reply.choices[0].logprobs.content or []) == 4
    choice = client.chat.completions.create(
        model="other",
        messages=user("Is water wet?"),
        max_tokens=4,
        extra_body={"structured_outputs": {"choice": ["yes", "no"]}},
    ).choices[0]
    assert choice.message.content in ("yes", "no")


def test_a_prompt_beyond_the_context_is_refused_with_both_lengths(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match=r"2048 tokens.*20\d\d input tokens") as caught:
        client.chat.completions.create(model="math", messages=user("word " * 3000))
    assert caught.value.code == "context_length_exceeded"


def test_what_vllm_refuses_is_said_shortly(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="'temperature': Input should be a valid number") as caught:
        client.chat.completions.create(model="math", messages=user("x"), temperature="hot")  # type: ignore[call-overload]
    assert caught.value.param == "temperature"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_stops_the_engine(cluster: Cluster, stream: bool) -> None:
    body = {"model": "math", "messages": user("Tell a long story."), "max_tokens": 400, "stream": stream}
    body["ignore_eos"] = True
    engine = f"http://127.0.0.1:{cluster.http_port('expert-math')}"
    with httpx.Client(base_url=cluster.url, timeout=30) as http:
        if stream:
            with http.stream("POST", "/v1/chat/completions", json=body) as reply:
                lines = reply.iter_lines()
                while '"content":"' not in (line := next(lines)) or '"content":""' in line:
                    pass
                assert running_requests(engine) == 1
        else:
            with pytest.raises(httpx.ReadTimeout):
                http.post("/v1/chat/completions", json=body, timeout=httpx.Timeout(30, read=2))
    # It takes a fifth of a second, more where the machine is busy; the whole answer would take half a minute.
    assert within(5.0, lambda: running_requests(engine) == 0)


def test_admin_routes_of_the_engine_are_out_of_reach(cluster: Cluster) -> None:
    engine = f"http://127.0.0.1:{cluster.http_port('expert-math')}"
    for path in ("/pause", "/scale_elastic_ep", "/tokenize", "/v1/embeddings", "/v1/models", "/load"):
        assert httpx.post(f"{engine}{path}", json={}).status_code == 404
        assert httpx.get(f"{engine}{path}").status_code == 404


def test_the_gateway_does_not_import_vllm(cluster: Cluster) -> None:
    (gateway,) = cluster.replicas("modem", "Gateway")
    maps = Path(f"/proc/{gateway['pid']}/maps").read_text()
    assert "ray/_raylet" in maps
    assert "torch" not in maps
    assert "vllm" not in maps


def test_a_killed_expert_takes_its_engine_with_it(cluster: Cluster) -> None:
    (replica,) = cluster.replicas("expert-math")
    family = psutil.Process(replica["pid"]).children(recursive=True)
    assert any("EngineCore" in process.name() for process in family)
    psutil.Process(replica["pid"]).kill()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    reply = httpx.post(
        f"{cluster.url}/v1/chat/completions", json={"messages": user(MATH), "max_tokens": 2}, timeout=240
    )
    assert reply.status_code == 200  # by the fallback, or by the expert once it is back
