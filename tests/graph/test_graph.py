"""The front application composed by Serve itself, in this process: no cluster, no ports of Ray's.

Local testing mode builds every deployment and its handles for real. It serves no HTTP, so the
gateway's application is put on a server here.
"""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette

from deployments.gateway import build
from deployments.router import WARM_UP, RouterDeployment
from modem.config import ModemConfig, RouterConfig
from modem.errors import ConfigError
from modem.routing.load import load_router
from modem.types import AddedDomain, DomainScores, RouterIdentity
from tests.builders import DOMAINS, gateway_config
from tests.compact import write_compact_router
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


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """An application of its own for each test."""
    return str(request.node.name)


def run(application: serve.Application, name: str) -> DeploymentHandle[Any]:
    return serve.run(application, name=name, _local_testing_mode=True)


def run_router(config: RouterConfig, name: str) -> DeploymentHandle[Any]:
    return run(RouterDeployment.bind(config), name)  # type: ignore[attr-defined]


async def scores(router: DeploymentHandle[Any], *texts: str) -> list[DomainScores | None]:
    found = await asyncio.gather(*(router.score.remote([text]) for text in texts))
    return [one for (one,) in found]


def tops(found: list[DomainScores | None]) -> list[str | None]:
    return [None if one is None else one.top()[0] for one in found]


class TestRouter:
    async def test_scores_and_says_who_it_is(self, name: str) -> None:
        router = run_router(KEYWORD, name)
        (found,) = await scores(router, "some math")
        assert found is not None
        assert found.top() == ("math", 0.9)
        assert await router.identity.remote() == RouterIdentity("keyword", "1")

    async def test_each_caller_gets_its_own_scores_out_of_shared_batches(self, name: str) -> None:
        CountingRouter.batches.clear()
        router = run_router(COUNTING, name)
        assert CountingRouter.batches == [1] * len(WARM_UP), "warmed up before it takes requests"
        asked = [*DOMAINS] * 4
        found = await scores(router, *asked)
        assert tops(found) == asked
        assert sum(CountingRouter.batches) == len(WARM_UP) + len(asked)
        assert max(CountingRouter.batches) <= 4

    async def test_texts_that_wait_share_a_batch(self, name: str) -> None:
        CountingRouter.batches.clear()
        patient = COUNTING.model_copy(update={"batch_wait_timeout_s": 1.0})
        router = run_router(patient, name)
        await scores(router, *DOMAINS[:4])
        assert CountingRouter.batches == [*[1] * len(WARM_UP), 4]

    async def test_a_text_on_which_it_fails_fails_alone(self, name: str) -> None:
        router = run_router(KEYWORD, name)
        assert tops(await router.score.remote(["math", "brokenrouter", "health"])) == ["math", None, "health"]
        assert tops(await scores(router, "math")) == ["math"]

    async def test_added_domains_are_scored_where_they_can_be(self, name: str, tmp_path: Path) -> None:
        law = (AddedDomain("law", "Prompts about law.", ("Can I sue my landlord?", "What is a tort?")),)
        compact = RouterConfig(kind="compact", model=str(write_compact_router(tmp_path)))
        (found,) = await run_router(compact, name).score.remote(["why is the law"], law)
        assert set(found.scores) == {*DOMAINS, "law"}
        (found,) = await run_router(KEYWORD, f"{name}-keyword").score.remote(["math"], law)
        assert found.top()[0] == "math", "it cannot add any, and goes on without"

    def test_one_that_cannot_be_built_does_not_start(self, name: str) -> None:
        missing = RouterConfig(kind="custom", import_path="tests.routers:missing")
        with pytest.raises(Exception, match="cannot import"):
            run_router(missing, name)

    async def test_a_compact_one_scores_as_the_library_does(self, name: str, tmp_path: Path) -> None:
        config = RouterConfig(kind="compact", model=str(write_compact_router(tmp_path)))
        texts = ["what is pain", "python code bug in my loop", "", "x"]
        assert await scores(run_router(config, name), *texts) == load_router(config).score(texts)

    async def test_the_shipped_one_scores_as_the_library_does(self, name: str) -> None:
        text = "What is the derivative of x squared?"
        router = run_router(RouterConfig(), name)
        (found,) = await scores(router, text)
        library = load_router(RouterConfig())
        assert found is not None
        assert found.top()[0] == "math"
        assert dict(found.scores) == pytest.approx(dict(library.score([text])[0].scores), abs=1e-4)
        assert await router.identity.remote() == library.identity


class TestFront:
    @pytest.fixture
    def gateway(self, name: str) -> DeploymentHandle[Any]:
        return run(build(ModemConfig(router=KEYWORD)), name)

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
        reasons = [card["reason"] for card in reply.json()["data"]]
        assert reasons == ["top_score", "router_unavailable", "low_confidence"]
        assert (first["domain"], first["reason"]) == ("health", "top_score")
        assert first["router"] == {"name": "keyword", "version": "1"}
