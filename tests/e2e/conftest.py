"""One cluster of simulated experts for all end-to-end tests of the gateway."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.builders import ASLEEP, expert, front, mixture
from tests.cluster import Cluster

ROUTING = {"threshold": 0.5, "fallback": "other", "deadline_s": 2.0}
LIMITS = {"max_body_bytes": 20_000, "heartbeat_s": 0.5, "start_timeout_s": 60, "max_route_inputs": 8}


def simulated_mixture(**changes: Any) -> dict[str, Any]:
    """Two warm experts, one asleep, one that fails to start, one that is soon full.

    Args:
        changes: Of the gateway's settings.
    """
    settings = {"routing": ROUTING, "limits": LIMITS, **changes}
    return mixture(
        [
            front(**settings),
            front("modem-handles", "/handles", "handles", **settings),
            expert("other", ttft_s=0.02, tpot_s=0.005, output_tokens=200, max_model_len=500),
            expert("math", ttft_s=0.05, tpot_s=0.02, output_tokens=200, max_model_len=500),
            expert("health", autoscaling=ASLEEP, startup_s=3),
            expert("science", deployment={"max_constructor_retry_count": 1}, fail_startup=True),
            expert(
                "coding",
                deployment={"max_ongoing_requests": 2, "max_queued_requests": 2},
                autoscaling={"max_replicas": 1, "target_ongoing_requests": 1},
                tpot_s=0.02,
                output_tokens=100,
            ),
        ],
        port=0,
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(simulated_mixture()) as running:
        yield running


@pytest.fixture(params=["", "/handles"], ids=["direct", "handles"])
def base(request: pytest.FixtureRequest, cluster: Cluster) -> str:
    """URL of the front, once for each way that answers can take."""
    return f"{cluster.url}{request.param}"


@pytest.fixture
def http(base: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base, timeout=60) as client:
        yield client


@pytest.fixture
def client(base: str) -> OpenAI:
    return OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0, timeout=60)
