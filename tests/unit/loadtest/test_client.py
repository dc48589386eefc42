"""The client against servers that do what servers do, and what they should not."""

import json
import re
import socket
import time
from collections.abc import Callable, Iterator

import gevent
import pytest

from loadtest.client import Client
from loadtest.exchange import Exchange
from modem.laptop.environment import free_ports
from modem.load.address import Address
from tests.unit.loadtest.scripted import END, STREAM_HEAD, Script, chunked, in_turn, reply, sends, serving


def delta(text: str) -> bytes:
    return b'data: {"choices":[{"index":0,"delta":{"content":%s}}]}\n\n' % json.dumps(text).encode()


ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
ERROR = b'data: {"error":{"code":"expert_failed","message":"It broke."}}\n\n'
DONE = b"data: [DONE]\n\n"
DECISION = (
    b"x-modem-domain: math\r\nx-modem-reason: top_score\r\nx-modem-confidence: 0.91\r\nx-request-id: abc\r\n"
)
HEAD = STREAM_HEAD + DECISION + b"\r\n"
WHOLE = [HEAD, chunked(ROLE, delta("a")), chunked(delta("b")), chunked(USAGE, DONE) + END]
ANSWER = json.dumps({"choices": [{"message": {"content": "hi"}}], "usage": {"completion_tokens": 1}}).encode()


class StepClock:
    """A clock that goes on by a second with each part a server sends, once the client has read the last."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.told_s = -1.0

    def __call__(self) -> float:
        self.told_s = self.now_s
        return self.now_s

    def sends(self, *parts: bytes) -> Script:
        """A script: the first part is sent at second 1."""

        def script(sock: socket.socket, _: int) -> None:
            for part in parts:
                self.now_s += 1
                sock.sendall(part)
                while self.told_s < self.now_s:
                    time.sleep(0.001)

        return script


def ask(
    port: int,
    stream: bool = True,
    timeout_s: float = 60,
    keep_text: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Exchange:
    client = Client(Address("http", "127.0.0.1", port), timeout_s, clock=clock)
    return client.ask(b'{"a":1}', stream, "id-1", "what is the meaning of it all", keep_text)


def asked(script: Script, stream: bool = True) -> Exchange:
    with serving(script) as seen:
        return ask(seen.port, stream)


class TestStream:
    def test_a_whole_one(self) -> None:
        with serving(sends(*WHOLE)) as seen:
            found = ask(seen.port, keep_text=True)
        assert (found.outcome, found.status, found.message, found.text) == ("ok", 200, None, "ab")
        assert found.headers["x-modem-domain"] == "math"
        assert found.headers["x-request-id"] == "abc"
        assert found.usage is not None
        assert found.usage.completion_tokens == 2
        assert len(found.content_s) == 2

    def test_the_request_is_what_was_given(self) -> None:
        with serving(sends(*WHOLE)) as seen:
            ask(seen.port)
        head, _, body = seen.requests[0].partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /v1/chat/completions HTTP/1.1"
        assert {b"x-request-id: id-1", b"content-length: 7", b"content-type: application/json"} <= set(lines)
        assert f"host: 127.0.0.1:{seen.port}".encode() in lines
        assert body == b'{"a":1}'

    def test_a_prefix_and_a_key_are_sent(self) -> None:
        with serving(sends(*WHOLE)) as seen:
            Client(Address("http", "127.0.0.1", seen.port, "/front"), 60, "secret").ask(b"{}", True, "x")
        assert seen.requests[0].startswith(b"POST /front/v1/chat/completions ")
        assert b"authorization: Bearer secret\r\n" in seen.requests[0]

    @pytest.mark.parametrize("size", [1, 2, 7, 64])
    def test_cut_anywhere(self, size: int) -> None:
        whole = b"".join(WHOLE)
        found = asked(sends(*(whole[at : at + size] for at in range(0, len(whole), size))))
        assert (found.outcome, len(found.content_s)) == ("ok", 2)

    def test_all_in_one_packet(self) -> None:
        found = asked(sends(b"".join(WHOLE)))
        assert found.outcome == "ok"
        assert found.content_s[0] == found.content_s[1]

    def test_times_are_those_of_the_reads(self) -> None:
        clock = StepClock()
        with serving(clock.sends(*WHOLE)) as seen:
            found = ask(seen.port, clock=clock)
        assert (found.sent_s, found.first_byte_s, found.first_token_s) == (0, 1, 2)
        assert (list(found.content_s), found.end_s) == ([2, 3], 4)

    def test_heartbeats_are_no_tokens(self) -> None:
        found = asked(sends(HEAD, chunked(b": waiting\n\n"), chunked(b": waiting\n\n"), *WHOLE[1:]))
        assert (found.outcome, len(found.content_s)) == ("ok", 2)

    def test_an_interim_reply_is_passed_over(self) -> None:
        assert asked(sends(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", *WHOLE)).outcome == "ok"


class TestBroken:
    @pytest.mark.parametrize(
        ("parts", "message"),
        [
            ([HEAD, chunked(ROLE, delta("a"))], "broke off|not whole HTTP"),
            ([HEAD, chunked(ROLE, delta("a")) + END], r"without \[DONE\]"),
            ([HEAD], "broke off|not whole HTTP"),
            ([HEAD, chunked(ROLE), chunked(ERROR) + END], "error event: expert_failed: It broke."),
            ([HEAD, b"no chunk\r\n"], "not whole HTTP"),
        ],
    )  # fmt: skip
    def test_a_stream_that_ends_early(self, parts: list[bytes], message: str) -> None:
        found = asked(sends(*parts, then_close=True))
        assert found.outcome == "broken_stream"
        assert found.status == 200
        assert found.headers["x-modem-domain"] == "math"
        assert re.search(message, found.message or "")

    def test_what_came_before_the_break_is_kept(self) -> None:
        found = asked(sends(HEAD, chunked(ROLE, delta("a")), then_close=True))
        assert len(found.content_s) == 1
        assert found.first_token_s is not None

    @pytest.mark.parametrize(
        ("parts", "outcome"),
        [
            ([b"<html>hello</html>"], "bad_answer"),
            ([b"HTTP/1.1 200 OK\r\ncontent-t"], "no_connection"),
            ([reply("200 OK", b"<html>", "text/html")], "bad_answer"),
            ([reply("200 OK", ANSWER)], "bad_answer"),
            ([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"], "bad_answer"),
        ],
    )
    def test_what_is_no_stream(self, parts: list[bytes], outcome: str) -> None:
        assert asked(sends(*parts, then_close=True)).outcome == outcome

    def test_no_server(self) -> None:
        found = ask(free_ports(1))
        assert (found.outcome, found.status, found.message) == ("no_connection", None, "Connection refused")

    def test_a_connection_that_is_closed_at_once(self) -> None:
        found = asked(sends(then_close=True))
        assert (found.outcome, found.message) == ("no_connection", "closed before an answer began")

    @pytest.mark.parametrize("parts", [[], [HEAD], [HEAD, chunked(ROLE, delta("a"))]])
    def test_silence_is_a_timeout_and_no_latency(self, parts: list[bytes]) -> None:
        with serving(sends(*parts)) as seen:
            found = ask(seen.port, timeout_s=0.2)
        assert (found.outcome, found.message) == ("timeout", "no end within 0.2 s")

    def test_a_cancelled_one_is_aborted(self) -> None:
        clock = StepClock()
        with serving(clock.sends(HEAD, chunked(ROLE, delta("a")))) as seen:
            asking = gevent.spawn(ask, seen.port, clock=clock)
            while clock.told_s < 2:
                gevent.sleep(0.001)
            asking.kill()
        assert asking.value.outcome == "aborted"
        assert len(asking.value.content_s) == 1


class TestStatus:
    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize(
        ("status", "outcome"),
        [
            ("429 Too Many Requests", "rate_limited"),
            ("503 Service Unavailable", "unavailable"),
            ("400 Bad Request", "client_error"),
            ("404 Not Found", "client_error"),
            ("500 Internal Server Error", "server_error"),
            ("502 Bad Gateway", "server_error"),
            ("504 Gateway Timeout", "server_error"),
            ("302 Found", "bad_answer"),
        ],
    )
    def test_each_has_its_class(self, status: str, outcome: str, stream: bool) -> None:
        body = b'{"error": {"message": "No.", "code": "why"}}'
        found = asked(sends(reply(status, body, "application/json", "x-modem-domain: math")), stream)
        assert (found.outcome, found.status, found.message) == (outcome, int(status[:3]), "why: No.")
        assert found.headers["x-modem-domain"] == "math"

    def test_a_proxy_that_answers_in_html(self) -> None:
        found = asked(sends(reply("503 Service Unavailable", b"<html>No server</html>", "text/html")))
        assert (found.outcome, found.message) == ("unavailable", "the body is text/html, not JSON")

    def test_a_message_that_quotes_the_prompt_is_left_out(self) -> None:
        body = b'{"error": {"message": "bad: what is the meaning of it all"}}'
        assert asked(sends(reply("400 Bad Request", body))).message == "the message quotes the prompt"


class TestWhole:
    def test_an_answer_that_is_not_streamed(self) -> None:
        found = asked(
            sends(reply("200 OK", ANSWER, "application/json", "x-modem-domain: math")), stream=False
        )
        assert (found.outcome, found.text, found.first_token_s) == ("ok", "hi", None)
        assert found.usage is not None
        assert found.usage.completion_tokens == 1
        assert found.first_byte_s is not None

    @pytest.mark.parametrize(
        ("body", "kind"), [(b"<html>", "text/html"), (b"{}", "application/json"), (b"", "text/plain")]
    )
    def test_one_that_is_none(self, body: bytes, kind: str) -> None:
        found = asked(sends(reply("200 OK", body, kind)), stream=False)
        assert found.outcome == "bad_answer"
        assert kind in (found.message or "")

    def test_one_that_breaks_off(self) -> None:
        found = asked(sends(reply("200 OK", ANSWER)[:-5], then_close=True), stream=False)
        assert found.outcome == "broken_stream"


class TestConnections:
    @pytest.fixture
    def client(self) -> Iterator[Client]:
        with serving(sends(*WHOLE)) as seen:
            self.seen = seen
            yield Client(Address("http", "127.0.0.1", seen.port), 60)

    def test_one_after_another_use_one(self, client: Client) -> None:
        assert [client.ask(b"{}", True, "x").outcome for _ in range(5)] == ["ok"] * 5
        assert self.seen.num_connections == 1

    def test_those_at_once_have_one_each(self, client: Client) -> None:
        asking = [gevent.spawn(client.ask, b"{}", True, "x") for _ in range(5)]
        gevent.joinall(asking)
        assert [each.value.outcome for each in asking] == ["ok"] * 5
        assert 1 <= self.seen.num_connections <= 5

    def test_one_that_the_server_closes_when_it_is_used_again_is_made_anew(self) -> None:
        again = in_turn([sends(*WHOLE), sends(then_close=True)])
        with serving(again) as seen:
            client = Client(Address("http", "127.0.0.1", seen.port), 60)
            assert [client.ask(b"{}", True, "x").outcome for _ in range(2)] == ["ok", "ok"]
        assert seen.num_connections == 2

    def test_one_that_broke_is_not_used_again(self) -> None:
        with serving(sends(HEAD, chunked(b"data: {}\n\n") + END)) as seen:
            client = Client(Address("http", "127.0.0.1", seen.port), 60)
            assert client.ask(b"{}", True, "x").outcome == "broken_stream"  # no [DONE], but whole HTTP
            client.ask(b"{}", True, "x")
        assert seen.num_connections == 1
        with serving(sends(HEAD, chunked(ROLE))) as seen:
            client = Client(Address("http", "127.0.0.1", seen.port), 0.2)
            assert [client.ask(b"{}", True, "x").outcome for _ in range(2)] == ["timeout", "timeout"]
            while seen.num_connections < 2:  # its thread may come to it late
                time.sleep(0.001)
        assert seen.num_connections == 2


class TestGet:
    def test_status_type_and_body(self) -> None:
        with serving(sends(reply("200 OK", b"[1]"))) as seen:
            client = Client(Address("http", "127.0.0.1", seen.port, "/p"), 60)
            assert client.get("/v1/models", 5) == (200, "application/json", b"[1]")
        assert seen.requests[0].startswith(b"GET /p/v1/models HTTP/1.1\r\n")

    def test_no_server_and_no_answer_are_errors(self) -> None:
        with pytest.raises(OSError, match="refused"):
            Client(Address("http", "127.0.0.1", free_ports(1)), 5).get("/", 5)
        with serving(sends()) as seen, pytest.raises(TimeoutError, match=r"no answer within 0\.2 s"):
            Client(Address("http", "127.0.0.1", seen.port), 60).get("/", 0.2)


def test_an_unknown_name_is_an_error_at_once() -> None:
    with pytest.raises(OSError, match=r".+"):
        Client(Address("http", "no-such-host.invalid", 80), 5)
