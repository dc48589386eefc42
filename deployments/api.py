"""The HTTP application of the gateway. Knows HTTP and OpenAI's shapes; no Ray, no domains.

It reads bodies and answers as plain ASGI: per token chunk nothing is parsed, wrapped or queued.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from deployments.asgi import Application
from modem.config import DomainConfig, GatewayConfig
from modem.dispatch import Answer, Dispatcher
from modem.errors import (
    BodyTooLargeError,
    MethodError,
    NotFoundError,
    RequestError,
    ServingError,
    UnknownModelError,
)
from modem.openai.errors import to_response
from modem.openai.request import (
    CompletionRequest,
    Endpoint,
    check_messages,
    parse_completion,
    parse_object,
    pinned_domain,
)
from modem.openai.sse import CONTENT_TYPE, comment, error_event
from modem.routing.text import RoutingText, plain_routing_text, routing_text
from modem.types import ExpertState, RoutingDecision

logger = logging.getLogger("ray.serve")
ROUTER_CHECK_TIMEOUT_S = 2.0


def create_api(dispatcher: Dispatcher) -> Application:
    """Return the gateway's application.

    Args:
        dispatcher: Makes the decisions; its ``config`` may be replaced at any time.
    """
    api = Api(dispatcher)
    return Application(
        posts={
            "/v1/chat/completions": Completions(dispatcher, "chat/completions"),
            "/v1/completions": Completions(dispatcher, "completions"),
        },
        routes=[
            Route("/v1/models", api.models, methods=["GET"]),
            Route("/v1/models/{model:path}", api.model, methods=["GET"]),
            Route("/v1/route", api.route, methods=["POST"]),
            Route("/health", api.health, methods=["GET"]),
            Route("/ready", api.ready, methods=["GET"]),
        ],
        exception_handlers={
            ServingError: _on_error,
            HTTPException: _on_http_exception,
            Exception: _on_error,
        },
    )


class Completions:
    """One of the two completion routes, as an application of its own (ASGI).

    Args:
        dispatcher: Makes the decisions.
        endpoint: Which of the two.
    """

    def __init__(self, dispatcher: Dispatcher, endpoint: Endpoint) -> None:
        self._dispatcher = dispatcher
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            response = await _on_error(request, error)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        config = self._dispatcher.config
        parsed = parse_completion(
            await read_body(request, config.limits.max_body_bytes), self._endpoint, config
        )
        decision = await self._dispatcher.decide(parsed)
        request_id = request_id_of(request)
        if parsed.stream:
            return StreamedAnswer(self._dispatcher, parsed, decision, request_id)
        try:
            answer = await self._dispatcher.open(parsed, decision, request_id)
            try:
                body = await answer.body()
            finally:
                await answer.aclose()
        except ServingError as error:
            return error_response(error, decision)
        return Response(body, headers=decision_headers(answer.decision), media_type="application/json")


class Api:
    """The handlers of the other routes."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._created = int(time.time())

    async def models(self, _: Request) -> Response:
        """List ``auto`` and one card per domain."""
        return JSONResponse({"object": "list", "data": await self._cards()})

    async def model(self, request: Request) -> Response:
        """Return one card."""
        wanted = pinned_domain(request.path_params["model"], self._dispatcher.config) or "auto"
        card = next((card for card in await self._cards() if card["id"] == wanted), None)
        if card is None:  # the settings have changed meanwhile
            raise UnknownModelError(f"The model {wanted!r} is no longer served.", "model")
        return JSONResponse(card)

    async def route(self, request: Request) -> Response:
        """Decide without answering."""
        config = self._dispatcher.config
        body = parse_object(await read_body(request, config.limits.max_body_bytes))
        texts = route_texts(body, config.limits.max_route_inputs)
        decisions = await self._dispatcher.route(texts, config)
        router = await self._router_card()
        cards = [_decision_card(i, d, config, router) for i, d in enumerate(decisions)]
        return JSONResponse({"object": "list", "data": cards})

    async def health(self, _: Request) -> Response:
        """Answer that this process is up."""
        return JSONResponse({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """Tell what is ready, asleep and failed; 200 if any prompt can be answered now."""
        config = self._dispatcher.config
        states = await self._dispatcher.experts.states(config.domains)
        router = await self._router_card()
        fallback = states[config.routing.fallback].state
        status = (
            "failed" if fallback == "failed" else "ready" if fallback == "ready" and router else "starting"
        )
        applications = {
            config.domains[domain].application: _state_card(domain, state) for domain, state in states.items()
        }
        router_card = {"state": "ready" if router else "unavailable", **(router or {})}
        return JSONResponse(
            {"status": status, "applications": applications, "router": router_card},
            200 if status == "ready" else 503,
        )

    async def _cards(self) -> list[dict[str, Any]]:
        config = self._dispatcher.config
        states = await self._dispatcher.experts.states(config.domains)
        auto = {
            "id": "auto",
            "object": "model",
            "created": self._created,
            "owned_by": "modem",
            "description": "Lets the router choose the expert by the prompt's domain.",
        }
        return [auto] + [
            _model_card(domain, config.domains[domain], state, self._created)
            for domain, state in states.items()
        ]

    async def _router_card(self) -> dict[str, str] | None:
        try:
            async with asyncio.timeout(ROUTER_CHECK_TIMEOUT_S):
                identity = await self._dispatcher.scorer.identity()
        except Exception:  # noqa: BLE001 - whatever the reason, the router does not answer
            return None
        return {"name": identity.name, "version": identity.version}


class StreamedAnswer(Response):
    """A streamed answer, from the wait for an expert to the last chunk.

    Until the first chunk is there a client gets an SSE comment every ``heartbeat_s``, so nobody on
    the way closes the connection. An error before anything was sent is an HTTP error; after it, an
    SSE error event, and the stream ends.
    """

    def __init__(
        self, dispatcher: Dispatcher, request: CompletionRequest, decision: RoutingDecision, request_id: str
    ) -> None:
        super().__init__()
        self._dispatcher = dispatcher
        self._request = request
        self._decision = decision
        self._request_id = request_id
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer (ASGI). Serve cancels this when the client goes, which closes the expert's stream."""
        opening = asyncio.ensure_future(
            self._dispatcher.open(self._request, self._decision, self._request_id)
        )
        try:
            await self._forward(await self._wait(opening, send), send)
        except ServingError as error:
            await self._fail(error, scope, receive, send)
        except Exception as error:
            logger.exception("request %s broke", self._request_id)
            await self._fail(error, scope, receive, send)
        finally:
            await _discard(opening)

    async def _wait(self, opening: "asyncio.Future[Answer]", send: Send) -> Answer:
        heartbeat_s = self._dispatcher.config.limits.heartbeat_s
        while not (await asyncio.wait({opening}, timeout=heartbeat_s))[0]:
            await self._start(self._decision, send)
            await _send_chunk(send, comment(f"waiting for the {self._decision.domain} expert"))
        return opening.result()

    async def _forward(self, answer: Answer, send: Send) -> None:
        if self._started and answer.decision.reason != self._decision.reason:
            # The headers are gone already; a comment is the only place left to say so.
            await _send_chunk(send, comment(f"{answer.decision.reason}: {answer.decision.domain} answers"))
        await self._start(answer.decision, send)
        while chunk := await answer.next_chunk():
            await _send_chunk(send, chunk)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, decision: RoutingDecision, send: Send) -> None:
        if self._started:
            return
        self._started = True
        headers = {
            "content-type": f"{CONTENT_TYPE}; charset=utf-8",
            "cache-control": "no-cache",
            **decision_headers(decision),
        }
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})

    async def _fail(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._started:
            await error_response(error, self._decision)(scope, receive, send)
            return
        await send({"type": "http.response.body", "body": error_event(error), "more_body": False})


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Read a body, refusing to hold more than the limit.

    Raises:
        BodyTooLargeError: It is larger than ``max_bytes``.
    """
    announced = request.headers.get("content-length", "0")
    chunks, size = [], int(announced) if announced.isdecimal() else 0
    if size <= max_bytes:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                break
            chunks.append(chunk)
    if size > max_bytes:
        raise BodyTooLargeError(f"The body has more than {max_bytes} bytes, which is the limit. Send less.")
    return b"".join(chunks)


def route_texts(body: dict[str, Any], max_inputs: int) -> Sequence[RoutingText]:
    """Return what to classify of a ``/v1/route`` request: one of ``messages``, or one or many of ``input``.

    Raises:
        RequestError: Neither or both are given, a type is wrong, or there are too many.
    """
    if ("input" in body) == ("messages" in body):
        raise RequestError("Send either 'input' (a string or a list of strings) or 'messages'.", "input")
    if "messages" in body:
        check_messages(body["messages"])
        return [routing_text(body["messages"])]
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RequestError("'input' must be a string or a list of strings.", "input", "invalid_type")
    if not 0 < len(texts) <= max_inputs:
        raise RequestError(f"'input' must have 1 to {max_inputs} texts, not {len(texts)}.", "input")
    return [plain_routing_text(text) for text in texts]


def decision_headers(decision: RoutingDecision) -> dict[str, str]:
    """Return the response headers that tell where a request went and why."""
    headers = {
        "x-modem-domain": decision.domain,
        "x-modem-reason": decision.reason,
        "x-modem-router-ms": f"{decision.router_ms:.1f}",
    }
    if decision.confidence is not None:
        headers["x-modem-confidence"] = f"{decision.confidence:.4f}"
    return headers


def error_response(error: Exception, decision: RoutingDecision | None = None) -> Response:
    """Return an error in OpenAI's shape, with the decision in the headers if there is one."""
    failure = to_response(error)
    headers = {**failure.headers, **(decision_headers(decision) if decision else {})}
    return Response(failure.body, failure.status, headers)


def request_id_of(request: Request) -> str:
    """Return the request's id; Serve's own middleware has given it one if the client did not."""
    return request.headers.get("x-request-id", "")


def _model_card(domain: str, config: DomainConfig, state: ExpertState, created: int) -> dict[str, Any]:
    return {
        "id": domain,
        "object": "model",
        "created": created,
        "owned_by": "modem",
        "description": config.description,
        "base_model": config.base_model,
        "context_length": config.context_length_tokens,
        "state": state.state,
        "replicas": state.num_replicas,
        "running": state.num_running,
        "waiting": state.num_waiting,
    }


def _state_card(domain: str, state: ExpertState) -> dict[str, Any]:
    return {"domain": domain, "state": state.state, "num_replicas": state.num_replicas}


def _decision_card(
    index: int, decision: RoutingDecision, config: GatewayConfig, router: dict[str, str] | None
) -> dict[str, Any]:
    return {
        "index": index,
        "domain": decision.domain,
        "expert": config.domains[decision.domain].application,
        "reason": decision.reason,
        "confidence": decision.confidence,
        "scores": dict(decision.scores.scores) if decision.scores else None,
        "router": router,
        "latency_ms": round(decision.router_ms, 2),
    }


async def _send_chunk(send: Send, chunk: bytes) -> None:
    message: Message = {"type": "http.response.body", "body": chunk, "more_body": True}
    await send(message)


async def _discard(opening: "asyncio.Future[Answer]") -> None:
    """Close the answer, however far it got; what is not finished stops generating."""
    opening.cancel()
    # Whatever it failed with was reported when it was waited for, or nobody is left to hear of it.
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await (await opening).aclose()


async def _on_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, ServingError):
        logger.error("a request broke", exc_info=error)
    return error_response(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        response = error_response(MethodError(f"{request.url.path} does not accept {request.method}."))
        response.headers.update(error.headers or {})  # which methods it allows
        return response
    return await _on_error(
        request, NotFoundError(f"There is no {request.url.path}. See /v1/models, /v1/chat/completions.")
    )
