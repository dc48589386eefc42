from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from deployments.expert import ROUTES, AllowList, cpu_options
from modem.serve_config.expert import ExpertArgs
from tests.servers import serving

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


async def yes(_: Request) -> PlainTextResponse:
    return PlainTextResponse("reached")


async def talk(socket: WebSocket) -> None:
    await socket.accept()


EVERYTHING = Starlette(
    routes=[
        WebSocketRoute("/v1/realtime", talk),
        Route("/{rest:path}", yes, methods=list(METHODS)),
    ]
)


async def reach(method: str, path: str) -> int:
    """Status of a request to an application that takes anything, behind the allow-list."""
    sent = await call({"type": "http", "method": method, "path": path, "headers": [], "query_string": b""})
    return int(sent[0]["status"])


async def call(scope: Scope) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect" if scope["type"] == "websocket" else "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    await AllowList(EVERYTHING)(scope, receive, send)
    return sent


class TestAllowList:
    @pytest.mark.parametrize(("method", "path"), sorted(ROUTES))
    async def test_lets_its_routes_pass(self, method: str, path: str) -> None:
        assert await reach(method, path) == 200

    def test_is_short(self) -> None:
        assert sorted(ROUTES) == [
            ("GET", "/health"),
            ("GET", "/metrics"),
            ("POST", "/v1/chat/completions"),
            ("POST", "/v1/completions"),
        ]

    @pytest.mark.parametrize("path", sorted({path for _, path in ROUTES}))
    @pytest.mark.parametrize("method", [*METHODS, "post", "get", "POST ", ""])
    async def test_no_other_method(self, method: str, path: str) -> None:
        assert await reach(method, path) == (200 if (method, path) in ROUTES else 404)

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "/",
            "//v1/chat/completions",
            "/v1/chat/completions/",
            "/v1//chat/completions",
            "/V1/chat/completions",
            "/v1/Chat/Completions",
            "/v1/chat/completions?x=1",
            "/v1/chat/completions#x",
            "/v1/chat/completions\x00",
            "/v1/../v1/chat/completions",
            "/./v1/chat/completions",
            "v1/chat/completions",
            "/v1/chat%2Fcompletions",
            "/v1/models",
            "/v1/embeddings",
            "/pause",
            "/sleep",
            "/reset_prefix_cache",
            "/collective_rpc",
            "/scale_elastic_ep",
            "/docs",
            "/openapi.json",
        ],
    )
    async def test_no_other_path(self, path: str) -> None:
        assert await reach("POST", path) == 404
        assert await reach("GET", path) == 404

    async def test_no_other_protocol(self) -> None:
        sent = await call({"type": "websocket", "path": "/v1/realtime", "headers": [], "query_string": b""})
        assert [message["type"] for message in sent] == ["websocket.close"]
        assert await call({"type": "something", "path": "/health"}) == []

    async def test_the_application_may_start_and_end(self) -> None:
        seen: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["type"])

        async def none() -> Any: ...

        await AllowList(app)({"type": "lifespan"}, none, none)  # type: ignore[arg-type]
        assert seen == ["lifespan"]

    async def test_on_a_server(self) -> None:
        async with (
            serving(AllowList(EVERYTHING)) as url,
            httpx.AsyncClient(base_url=url, trust_env=False, verify=False) as client,
        ):
            assert (await client.get("/health?x=1")).text == "reached"
            assert (await client.get("/v1/%63hat/completions")).status_code == 404
            refused = await client.get("/v1/models")
            assert (refused.status_code, refused.content) == (404, b"")


def args(**changes: Any) -> ExpertArgs:
    loading = {"model_id": "math", "model_source": "modem://smollm2-135m-instruct"}
    fields = {"model_loading_config": loading, "accelerator_config": {"kind": "cpu"}, **changes}
    return ExpertArgs.model_validate(fields)


class TestCpuOptions:
    def test_of_nothing_are_a_cpu_for_the_replica_and_one_for_its_worker(self) -> None:
        assert cpu_options(args()) == {
            "ray_actor_options": {},
            "placement_group_bundles": [{"CPU": 2.0}],
        }

    def test_fractions_add_up_in_one_bundle(self) -> None:
        options = cpu_options(
            args(
                deployment_config={"ray_actor_options": {"num_cpus": 0.1}},
                placement_group_config={"bundle_per_worker": {"CPU": 0.5}},
            )
        )
        assert options["ray_actor_options"] == {"num_cpus": 0.1}
        assert options["placement_group_bundles"] == [{"CPU": 0.6}]

    def test_every_worker_takes_its_share(self) -> None:
        options = cpu_options(
            args(
                engine_kwargs={"tensor_parallel_size": 3},
                placement_group_config={"bundle_per_worker": {"CPU": 2}},
            )
        )
        assert options["placement_group_bundles"] == [{"CPU": 7}]

    def test_the_environment_goes_to_the_replica(self) -> None:
        options = cpu_options(args(runtime_env={"env_vars": {"OMP_NUM_THREADS": "2"}}))
        assert options["ray_actor_options"] == {"runtime_env": {"env_vars": {"OMP_NUM_THREADS": "2"}}}

    def test_other_options_pass_through(self) -> None:
        options = cpu_options(args(deployment_config={"max_ongoing_requests": 7}))
        assert options["max_ongoing_requests"] == 7

    def test_the_args_are_not_changed(self) -> None:
        given = args(
            deployment_config={"ray_actor_options": {"num_cpus": 1}},
            runtime_env={"env_vars": {"A": "1"}},
        )
        before = given.model_dump()
        cpu_options(given)
        assert given.model_dump() == before
