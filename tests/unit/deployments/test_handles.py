import asyncio
import contextlib
from typing import Any

import pytest
from ray.serve.schema import (
    ApplicationStatus,
    ApplicationStatusOverview,
    DeploymentStatus,
    DeploymentStatusOverview,
    DeploymentStatusTrigger,
    ReplicaState,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from deployments.asgi import respond
from deployments.handles import HandleReply
from deployments.platform import expert_state
from deployments.scorer import HandleScorer
from modem.errors import ExpertFailedError
from modem.types import DomainScores, ExpertState


def overview(status: str, message: str = "", **replicas: int) -> ApplicationStatusOverview:
    """An application whose deployment ``Expert`` has replicas in these states."""
    deployment = DeploymentStatusOverview(
        status=DeploymentStatus.HEALTHY,
        status_trigger=DeploymentStatusTrigger.UNSPECIFIED,
        replica_states={ReplicaState(name): number for name, number in replicas.items()},
        message=message,
    )
    return ApplicationStatusOverview(
        ApplicationStatus(status), "of the application", 0.0, {"Expert": deployment}
    )


class TestExpertState:
    @pytest.mark.parametrize(
        ("found", "state"),
        [
            (overview("RUNNING", RUNNING=2), ExpertState("ready", 2)),
            (overview("RUNNING", RUNNING=1, STARTING=1), ExpertState("ready", 1)),
            (overview("DEPLOYING", RUNNING=1), ExpertState("ready", 1)),
            (overview("UNHEALTHY", RUNNING=1), ExpertState("ready", 1)),
            (overview("DEPLOY_FAILED", RUNNING=1), ExpertState("ready", 1)),
            (overview("RUNNING"), ExpertState("asleep", 0)),
            (overview("RUNNING", RUNNING=0), ExpertState("asleep", 0)),
            (overview("RUNNING", STARTING=1), ExpertState("starting", 0)),
            (overview("RUNNING", PENDING_MIGRATION=1), ExpertState("starting", 0)),
            (overview("DEPLOYING"), ExpertState("starting", 0)),
            (overview("DEPLOYING", STARTING=1), ExpertState("starting", 0)),
            (overview("DEPLOY_FAILED", "no memory"), ExpertState("failed", 0, "no memory")),
            (overview("UNHEALTHY", "no memory"), ExpertState("failed", 0, "no memory")),
            (overview("UNHEALTHY", STARTING=1), ExpertState("failed", 0, "of the application")),
            (overview("DELETING"), ExpertState("failed", 0, "the application is DELETING")),
            (overview("NOT_STARTED"), ExpertState("failed", 0, "the application is NOT_STARTED")),
            (None, ExpertState("failed", 0, "the application is not deployed")),
        ],
        ids=str,
    )
    def test_of(self, found: ApplicationStatusOverview | None, state: ExpertState) -> None:
        assert expert_state(found, "Expert") == state

    def test_replicas_of_another_deployment_do_not_count(self) -> None:
        assert expert_state(overview("RUNNING", RUNNING=2), "Other").num_replicas == 0

    @pytest.mark.parametrize("status", list(ApplicationStatus))
    def test_every_state_of_the_platform_has_one_of_ours(self, status: ApplicationStatus) -> None:
        assert expert_state(overview(status.value), "Expert").state in ("starting", "asleep", "failed")

    def test_a_replica_that_stops_is_no_replica_that_starts(self) -> None:
        assert expert_state(overview("RUNNING", STOPPING=1), "Expert") == ExpertState("asleep", 0)


async def echo(request: Request) -> Response:
    headers = {"x-id": request.headers["x-request-id"]}
    return JSONResponse({"path": request.url.path, "body": await request.json(), **headers}, 418)


APP = Starlette(routes=[Route("/v1/{rest:path}", echo, methods=["POST"])])


class TestRespond:
    async def test_a_whole_answer_is_one_part(self) -> None:
        parts = [part async for part in respond(APP, "/v1/x", b'{"a": 1}', "id-1")]
        assert parts == [b'418{"path":"/v1/x","body":{"a":1},"x-id":"id-1"}']

    async def test_what_has_come_meanwhile_is_one_part(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await asyncio.sleep(0)
            for number in range(3):
                await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
            await send({"type": "http.response.body"})

        assert b"".join([part async for part in respond(app, "/", b"", "")]) == b"200012"
        parts = respond(app, "/", b"", "")
        assert [await anext(parts), await anext(parts)] == [b"200", b"012"]

    async def test_chunks_come_one_by_one(self) -> None:
        more = asyncio.Queue[bytes]()

        async def chunks() -> Any:
            while chunk := await more.get():
                yield chunk

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await StreamingResponse(chunks())(scope, receive, send)

        parts = respond(app, "/", b"", "")
        assert await anext(parts) == b"200"
        for chunk in (b"one", b"two"):
            await more.put(chunk)
            assert await anext(parts) == chunk
        await more.put(b"")
        assert [part async for part in parts] == []

    async def test_an_empty_reply_has_a_status(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await Response(status_code=204)(scope, receive, send)

        assert [part async for part in respond(app, "/", b"", "")] == [b"204"]

    async def test_an_exception_comes_out_after_what_was_sent(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            raise RuntimeError("boom")

        parts = respond(app, "/", b"", "")
        assert await anext(parts) == b"200one"
        with pytest.raises(RuntimeError, match="boom"):
            await anext(parts)

    @pytest.mark.parametrize("num_parts", [1, 2])
    async def test_closing_early_stops_the_application(self, num_parts: int) -> None:
        stopped = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await asyncio.sleep(0)
                await send({"type": "http.response.body", "body": b"one", "more_body": True})
                await receive()
                await receive()  # a disconnect is never announced: the task is cancelled instead
            finally:
                stopped.set()

        parts = respond(app, "/", b"", "")
        for _ in range(num_parts):
            await anext(parts)
        await asyncio.sleep(0)
        await parts.aclose()  # type: ignore[attr-defined]
        await asyncio.wait_for(stopped.wait(), 5)

    async def test_a_task_that_is_cancelled_stops_the_application(self) -> None:
        started, stopped = asyncio.Event(), asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        async def read() -> None:
            async with contextlib.aclosing(respond(app, "/", b"", "")) as parts:  # type: ignore[type-var]
                async for _ in parts:
                    pass

        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(stopped.wait(), 5)


class Stream:
    """What a call through a handle yields: the parts of `respond`, or an error in its turn."""

    def __init__(self, *parts: bytes | Exception) -> None:
        self._parts = list(parts)
        self.num_cancelled = 0
        self.taken = asyncio.Event()

    async def _fetch_future_result_async(self) -> None:
        await self.taken.wait()

    async def __anext__(self) -> bytes:
        if not self._parts:
            raise StopAsyncIteration
        part = self._parts.pop(0)
        if isinstance(part, Exception):
            raise part
        return part

    def cancel(self) -> None:
        self.num_cancelled += 1


class TestHandleReply:
    async def test_is_a_reply_once_status_and_body_have_come(self) -> None:
        stream = Stream(b"200one", b"two")
        reply = HandleReply(stream)
        wait = asyncio.create_task(reply.accepted())
        await asyncio.sleep(0)
        assert not wait.done()
        stream.taken.set()
        await wait
        assert reply.sent_at == pytest.approx(asyncio.get_running_loop().time(), abs=5)
        await reply.head()
        assert reply.status == 200
        assert await reply.next_chunk() == b"one"
        assert await reply.read() == b"two"
        assert await reply.next_chunk() == b""

    async def test_a_platform_error_is_a_broken_expert(self) -> None:
        from ray.exceptions import RayActorError

        reply = HandleReply(Stream(b"200", RayActorError()))
        await reply.head()
        with pytest.raises(ExpertFailedError):
            await reply.next_chunk()

    async def test_a_call_that_ends_without_a_status_is_a_broken_expert(self) -> None:
        with pytest.raises(ExpertFailedError):
            await HandleReply(Stream()).head()

    async def test_closing_cancels_the_call(self) -> None:
        stream = Stream()
        await HandleReply(stream).aclose()
        assert stream.num_cancelled == 1


class RouterCalls:
    """Stands for the handle of a router: scores each text as its own domain; knows its calls."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[list[str]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._error = error
        self._method = ""

    def options(self, method_name: str) -> "RouterCalls":
        other = RouterCalls(self._error)
        other.calls, other.go_on, other._method = self.calls, self.go_on, method_name
        return other

    async def remote(self, *arguments: list[str]) -> Any:
        if self._method == "identity":
            return "identity"
        self.calls.append(arguments[0])
        await self.go_on.wait()
        if self._error:
            raise self._error
        return [DomainScores({text: 1.0}) for text in arguments[0]]


def own(*texts: str) -> list[DomainScores]:
    return [DomainScores({text: 1.0}) for text in texts]


class TestScorer:
    async def test_every_text_is_scored_in_order(self) -> None:
        scorer = HandleScorer(RouterCalls())
        assert await scorer.score(["a", "b", "c"]) == own("a", "b", "c")
        assert await scorer.score([]) == []
        assert await scorer.identity() == "identity"  # type: ignore[comparison-overlap]

    async def test_texts_that_arrive_during_a_call_share_the_next(self) -> None:
        router = RouterCalls()
        router.go_on.clear()
        scorer = HandleScorer(router)
        asked = [asyncio.create_task(scorer.score([text])) for text in "abcd"]
        await asyncio.sleep(0)
        asked.append(asyncio.create_task(scorer.score(["e", "f"])))
        await asyncio.sleep(0.01)
        router.go_on.set()
        assert await asyncio.gather(*asked) == [own("a"), own("b"), own("c"), own("d"), own("e", "f")]
        assert router.calls == [["a", "b", "c", "d"], ["e", "f"]]

    async def test_a_failed_call_is_an_error_for_its_callers_and_not_for_the_next(self) -> None:
        router = RouterCalls(ValueError("broken"))
        scorer = HandleScorer(router)
        asked = [asyncio.create_task(scorer.score([text])) for text in "ab"]
        for task in asked:
            with pytest.raises(ValueError, match="broken"):
                await task
        with pytest.raises(ValueError, match="broken"):
            await scorer.score(["c"])
        assert router.calls[-1] == ["c"]

    async def test_a_caller_that_gave_up_disturbs_nobody(self) -> None:
        router = RouterCalls()
        router.go_on.clear()
        scorer = HandleScorer(router)
        gone, stays = (asyncio.create_task(scorer.score([text])) for text in "ab")
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0)
        router.go_on.set()
        assert await stays == own("b")
