"""What the client says of servers that are down, wrong, or something else altogether."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from modem.errors import ConfigError
from modem.laptop.environment import LOOPBACK, free_ports
from modem.profiling.client import Answer, ExpertClient, RefusedError, served_models
from tests.unit.profiling.engines import SteppingEngine, with_client

TOKEN = b'data: {"choices": [{"delta": {"content": " a"}}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}\n\n'


def one(client: ExpertClient) -> Awaitable[Answer]:
    return client.ask("a b c", 3)


def server(answer: Callable[[Request], Awaitable[Response]]) -> Starlette:
    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])


def replying(reply: Response) -> Starlette:
    async def answer(_: Request) -> Response:
        return reply

    return server(answer)


def streaming(*parts: bytes) -> Starlette:
    async def answer(_: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            for part in parts:
                yield part

        return StreamingResponse(body(), media_type="text/event-stream")

    return server(answer)


def test_an_answer_is_timed_piece_by_piece_and_counted_by_the_server() -> None:
    answer = with_client(SteppingEngine().app(), one)
    assert (answer.prompt_tokens, answer.num_tokens) == (3, 3)
    assert answer.ttft_s == pytest.approx(0.0315)
    assert answer.chunk_s[1] - answer.chunk_s[0] == pytest.approx(0.02)
    assert len(answer.chunk_s) == 3


def delta(fields: str, finish: str = "null") -> bytes:
    return f'data: {{"choices": [{{"delta": {fields}, "finish_reason": {finish}}}]}}\n\n'.encode()


def test_comments_and_events_without_tokens_are_no_tokens() -> None:
    app = streaming(
        b": waiting for the math expert\n\n",
        delta('{"role": "assistant", "content": ""}'),
        delta('{"content": " a"}'),
        delta('{"content": ""}'),
        delta("{}"),
        delta('{"content": " b"}', '"length"'),
        USAGE,
        b"data: [DONE]\n\n",
    )
    assert len(with_client(app, one).chunk_s) == 4


def test_a_single_token_without_a_text_counts_when_the_answer_ends() -> None:
    app = streaming(
        delta('{"role": "assistant", "content": ""}'), delta('{"content": ""}', '"length"'), USAGE
    )
    assert len(with_client(app, one).chunk_s) == 1


@pytest.mark.parametrize(
    ("app", "says"),
    [
        (replying(HTMLResponse("<html>Hello</html>")), "a web page (status 200), not an OpenAI API"),
        (replying(HTMLResponse("<html>no</html>", 404)), "a web page (status 404)"),
        (replying(PlainTextResponse("", 404)), "no such route; give the URL without /v1"),
        (replying(PlainTextResponse("Not Found", 404)), "no such route; give the URL without /v1"),
        (replying(JSONResponse({"detail": "Not Found"}, 404)), "no such route; give the URL without /v1"),
        (replying(PlainTextResponse("a poem")), "answers with text/plain, not with a stream"),
        (
            replying(JSONResponse({"error": {"message": "The model `math` does not exist."}}, 404)),
            "does not exist",
        ),
        (replying(JSONResponse({"object": "error", "message": "no", "code": 404}, 404)), "status 404: no"),
        (replying(JSONResponse({"detail": "key?"}, 401)), "status 401: {'detail': 'key?'}"),
        (replying(PlainTextResponse("oh dear", 500)), "status 500: oh dear"),
        (replying(PlainTextResponse("", 502)), "status 502: no message"),
        (streaming(b"data: not json\n\n"), "not an OpenAI stream: data: not json"),
        (streaming(b"data: 3\n\n"), "not an OpenAI stream: data: 3"),
        (
            streaming(b'data: {"error": {"message": "The expert broke off."}}\n\n'),
            "broke off its answer: The expert",
        ),
        (streaming(TOKEN, b"data: [DONE]\n\n"), "does not say how many tokens a prompt has"),
        (streaming(USAGE), "has no tokens"),
        (streaming(), "has no tokens"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_server_that_is_none_of_ours_is_told_apart(app: Starlette, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_client(app, one)
    assert says in str(caught.value)
    assert str(caught.value).startswith("http://unix/v1/chat/completions: ")


@pytest.mark.parametrize("status", [400, 429, 503])
def test_a_refusal_of_one_request_is_not_the_end(status: int) -> None:
    app = replying(JSONResponse({"error": {"message": "Too many requests wait."}}, status))
    with pytest.raises(RefusedError, match="Too many requests wait"):
        with_client(app, one)
    with pytest.raises(RefusedError, match=f"status {status}"):
        with_client(replying(PlainTextResponse("", status)), one)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:{port}", "nothing answers there"),
        ("http://no-such-host.invalid:1", "nothing answers there"),
        ("127.0.0.1:{port}", "not a URL"),
        ("ftp://127.0.0.1", "not a URL"),
        ("", "not a URL"),
    ],
)
def test_a_server_that_is_not_there_is_named(url: str, says: str) -> None:
    url = url.format(port=free_ports(1))

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            await ExpertClient(session, url, "math", lambda: 0.0).ask("a", 1)

    with pytest.raises(ConfigError, match=says):
        asyncio.run(ask())


def test_a_server_that_hangs_up_or_is_silent_is_named() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def ask(handler: Callable[..., Awaitable[None]]) -> None:
        listening = await asyncio.start_server(handler, LOOPBACK)
        url = f"http://{LOOPBACK}:{listening.sockets[0].getsockname()[1]}"
        timeout = aiohttp.ClientTimeout(total=0.2)
        async with listening, aiohttp.ClientSession(timeout=timeout) as session:
            await ExpertClient(session, url, "math", lambda: 0.0).ask("a", 1)

    with pytest.raises(ConfigError, match="the connection broke"):
        asyncio.run(ask(hang_up))
    with pytest.raises(ConfigError, match="no answer in time; raise --timeout-s"):
        asyncio.run(ask(silent))


@pytest.mark.parametrize(
    ("reply", "models"),
    [
        (JSONResponse({"data": [{"id": "auto"}, {"id": "math"}, {"id": "other"}]}), ["math", "other"]),
        (JSONResponse({"data": [{"id": "math"}]}), ["math"]),
        (JSONResponse({"data": 3}), []),
        (JSONResponse([]), []),
        (PlainTextResponse("", 404), []),
    ],
)
def test_a_servers_models_are_listed_if_it_has_a_list(reply: Response, models: list[str]) -> None:
    async def listed(client: ExpertClient) -> list[str]:
        return await served_models(client._session, client.url)

    assert with_client(replying(reply), listed) == models


def test_a_web_page_is_no_metrics() -> None:
    assert with_client(replying(HTMLResponse("<html>")), lambda client: client.metrics()) == ""
    assert with_client(replying(PlainTextResponse("a 1", 404)), lambda client: client.metrics()) == ""
    assert "cache_config" in with_client(SteppingEngine().app(), lambda client: client.metrics())
