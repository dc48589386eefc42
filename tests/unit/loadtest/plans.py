"""Scenarios and a server for tests of the load generator."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.responses import JSONResponse
from starlette.routing import Route

from deployments.simulated import create_app
from modem.config import SimulatedExpertConfig
from modem.experts.simulated import SimulatedEngine
from modem.load.scenario import Scenario
from tests.servers import serving_in_thread


def scenario(**changes: Any) -> Scenario:
    """A second of requests to one pinned expert."""
    fields: dict[str, Any] = {
        "name": "test",
        "duration_s": 1.0,
        "rate": 30.0,
        "mix": "math=1",
        "pinned": True,
        "output_tokens": 5,
        "drain_s": 5.0,
    }
    merged = {key: value for key, value in {**fields, **changes}.items() if value is not None}
    return Scenario.model_validate(merged)


@contextmanager
def simulated_expert(**config: Any) -> Iterator[str]:
    """A simulated expert's own application on a port; the value is its URL."""
    engine = SimulatedEngine(
        SimulatedExpertConfig(model_id="math", **{"ttft_s": 0.01, "tpot_s": 0.001, **config})
    )
    app = create_app(engine)
    cards = {"object": "list", "data": [{"id": "math", "state": "ready", "replicas": 1, "running": 2}]}

    async def models(_: object) -> JSONResponse:
        return JSONResponse(cards)

    app.router.routes.append(Route("/v1/models", models))
    with serving_in_thread(app) as url:
        yield url
