"""Routes that Starlette stays out of the way of."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from deployments.asgi import Application


class Echo:
    """Answers with the body, and keeps the ``send`` that it was given."""

    def __init__(self) -> None:
        self.sends: list[Send] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.sends.append(send)
        body = await Request(scope, receive).body()
        await PlainTextResponse(body)(scope, receive, send)


async def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def application(echo: Echo) -> Application:
    return Application({"/echo": echo}, [Route("/hello", hello)])


def test_a_post_and_the_other_routes_are_answered() -> None:
    client = TestClient(application(Echo()))
    assert client.post("/echo", content=b"abc").text == "abc"
    assert client.get("/hello").text == "hello"
    assert client.post("/nowhere").status_code == 404


def test_another_method_is_refused_with_those_that_are_allowed() -> None:
    reply = TestClient(application(Echo())).get("/echo")
    assert reply.status_code == 405
    assert reply.headers["allow"] == "POST"


def test_a_prefix_of_the_server_is_no_part_of_the_route() -> None:
    client = TestClient(application(Echo()), root_path="/modem")
    assert client.post("/modem/echo", content=b"abc").text == "abc"


async def test_nothing_is_wrapped_around_send() -> None:
    echo, sent = Echo(), []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"abc", "more_body": False}

    async def send(message: object) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/echo", "headers": [], "query_string": b""}
    await application(echo)(scope, receive, send)
    assert echo.sends == [send]
    assert len(sent) == 2


def test_serve_reads_the_names_of_all_routes() -> None:
    assert [route.path for route in application(Echo()).routes] == ["/echo", "/hello"]  # type: ignore[attr-defined]
