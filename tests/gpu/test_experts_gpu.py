"""A real engine on a real GPU behind the whole front; the model is tiny and its weights are random."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.builders import AUTOSCALING, expert, front, mixture
from tests.cluster import Cluster
from tests.contract import ExpertContract, ExpertUnderTest
from tests.gpu.tiny import CONTEXT_TOKENS, write_tiny_model

pytestmark = [pytest.mark.gpu, pytest.mark.ray]
START_TIMEOUT_S = 400.0


def gpu_expert(domain: str, model: Path) -> dict[str, Any]:
    """A real expert's application; without an ``accelerator_config`` the engine takes a GPU."""
    return {
        "name": f"expert-{domain}",
        "route_prefix": None,
        "import_path": "deployments.expert:build",
        "args": {
            "model_loading_config": {"model_id": domain, "model_source": str(model)},
            "engine_kwargs": {
                "load_format": "dummy",
                "max_model_len": CONTEXT_TOKENS,
                "max_num_seqs": 8,
                "gpu_memory_utilization": 0.3,
                "enforce_eager": True,
            },
            "log_engine_metrics": False,
        },
        "deployments": [
            {
                "name": "Expert",
                "max_ongoing_requests": 16,
                "max_queued_requests": 32,
                "graceful_shutdown_timeout_s": 10,
                "autoscaling_config": {**AUTOSCALING, "max_replicas": 1, "target_ongoing_requests": 4},
            }
        ],
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """``math`` on the GPU, ``other`` simulated."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU")
    model = write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")
    domains = ("other", "math")
    limits = {"start_timeout_s": START_TIMEOUT_S, "heartbeat_s": 1}
    config = mixture(
        [front(domains=domains, limits=limits), expert("other"), gpu_expert("math", model)], port=0
    )
    with Cluster(config) as running:
        wait_for(running, "math")
        yield running


def wait_for(cluster: Cluster, domain: str) -> None:
    """Wait until an expert has a replica; ends early, with the log, if it failed."""
    deadline = time.monotonic() + START_TIMEOUT_S
    with httpx.Client(base_url=cluster.url, timeout=30, trust_env=False) as http:
        while (state := http.get(f"/v1/models/{domain}").json()["state"]) != "ready":
            assert state != "failed", cluster.log[-8000:]
            assert time.monotonic() < deadline, cluster.log[-8000:]
            time.sleep(1)


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> OpenAI:
    return OpenAI(base_url=f"{cluster.url}/v1", api_key="none", max_retries=0, timeout=120)


class TestBehindTheGateway:
    def test_a_prompt_of_its_domain_is_answered_on_the_gpu(self, client: OpenAI) -> None:
        reply = client.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": "some math"}], max_tokens=16, temperature=0
        )
        completion = reply.parse()
        assert completion.model == "math"
        assert reply.headers["x-modem-domain"] == "math"
        assert reply.headers["x-modem-reason"] == "top_score"
        assert completion.usage is not None
        assert 1 <= completion.usage.completion_tokens <= 16

    def test_a_stream_is_the_same_text_in_pieces(self, client: OpenAI) -> None:
        messages: Any = [{"role": "user", "content": "more math"}]
        settings: Any = {"max_tokens": 32, "temperature": 0, "extra_body": {"ignore_eos": True}}
        whole = client.chat.completions.create(model="auto", messages=messages, **settings)
        pieces = [
            chunk.choices[0].delta.content or ""
            for chunk in client.chat.completions.create(
                model="auto", messages=messages, stream=True, **settings
            )
        ]
        assert "".join(pieces) == whole.choices[0].message.content
        assert len([piece for piece in pieces if piece]) > 1

    def test_doubt_goes_to_the_other_expert(self, client: OpenAI) -> None:
        reply = client.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "who knows"}], max_tokens=4
        )
        assert reply.model == "other"


class TestGpuExpert(ExpertContract):
    @pytest.fixture(scope="class")
    def expert(self, cluster: Cluster) -> ExpertUnderTest:
        port = cluster.http_port("expert-math")
        return ExpertUnderTest(f"http://127.0.0.1:{port}", "math", CONTEXT_TOKENS)
