"""An HTTP client that stamps what it reads, on gevent.

Of geventhttpclient it uses the connection pool and the parser (llhttp in C). The reading loop is its own:
the library's waits until a block is full, and does not tell when the bytes came.
"""

import time
from collections.abc import Callable

import gevent
import gevent.socket
from geventhttpclient.response import HTTPParseError, HTTPResponse

from loadtest.connections import Connections
from loadtest.exchange import Exchange
from modem.load.address import Address
from modem.load.answer import StreamedAnswer, error_message, whole_answer
from modem.load.outcome import outcome_of_status

READ_BYTES = 65536
CONNECT_TIMEOUT_S = 30.0
_HEADERS = ("x-modem-domain", "x-modem-reason", "x-modem-confidence", "x-request-id")
_LONGEST_ERROR_BYTES = 65536
_ROUTE = "/v1/chat/completions"


class Client:
    """Sends chat requests to one server, over as many connections as there are requests in flight.

    Args:
        address: The server.
        timeout_s: Longest time from sending to the end of an answer.
        api_key: Sent as a bearer token; None for none.
        clock: Monotonic seconds.

    Raises:
        OSError: The server's name is unknown.
    """

    def __init__(
        self,
        address: Address,
        timeout_s: float,
        api_key: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._clock = clock
        self._connections = Connections(address, min(timeout_s, CONNECT_TIMEOUT_S))
        authorization = f"authorization: Bearer {api_key}\r\n" if api_key else ""
        self._common = f"host: {address.authority}\r\nuser-agent: modem-load\r\n{authorization}"

    def ask(
        self, body: bytes, stream: bool, request_id: str, prompt: str = "", keep_text: bool = False
    ) -> Exchange:
        """Send one chat request and read its answer to the end.

        What server and network do never raises: the outcome tells.

        Args:
            body: JSON.
            stream: Whether it asks for a stream.
            request_id: Sent as ``x-request-id``, so that the server's logs can be joined with the records.
            prompt: What it asks; only used to keep it out of messages.
            keep_text: Whether the answer's text is needed.
        """
        request = self._head("POST", _ROUTE, len(body), request_id) + body
        exchange = Exchange(sent_s=self._clock())
        try:
            with gevent.Timeout(self._timeout_s):
                self._exchange(exchange, request, StreamedAnswer(keep_text) if stream else None, prompt)
        except gevent.Timeout:
            exchange.fail("timeout", f"no end within {self._timeout_s:g} s")
        except gevent.GreenletExit:
            exchange.fail("aborted", "cancelled when the run was over")
        exchange.end_s = self._clock()
        return exchange

    def get(self, route: str, timeout_s: float) -> tuple[int, str, bytes]:
        """Return status, content type and body of a GET.

        Raises:
            OSError: There is no server, or it does not answer in time.
            HTTPParseError: It does not speak HTTP.
        """
        with gevent.Timeout(timeout_s, TimeoutError(f"no answer within {timeout_s:g} s")):
            sock, reply, data = self._open(self._head("GET", route, 0), "GET")
            try:
                reply.feed(data)
                while not reply.message_complete:
                    reply.feed(sock.recv(READ_BYTES))
            finally:
                self._give_back(sock, reply)
        return reply.status_code, reply.header("content-type") or "", b"".join(reply.pieces)

    def close(self) -> None:
        """Close idle connections."""
        self._connections.close()

    def _head(self, method: str, route: str, num_bytes: int, request_id: str = "") -> bytes:
        content = f"content-type: application/json\r\ncontent-length: {num_bytes}\r\n" if num_bytes else ""
        named = f"x-request-id: {request_id}\r\n" if request_id else ""
        start = f"{method} {self._address.path(route)} HTTP/1.1\r\n"
        return f"{start}{self._common}{named}{content}\r\n".encode("latin-1")

    def _exchange(
        self, exchange: Exchange, request: bytes, answer: StreamedAnswer | None, prompt: str
    ) -> None:
        try:
            sock, reply, data = self._open(request, "POST")
        except OSError as error:
            exchange.fail("no_connection", _reason(error))
            return
        exchange.first_byte_s = self._clock()
        try:
            try:
                self._read_head(sock, reply, data)
            finally:
                if reply.headers_complete:
                    exchange.note_head(reply.status_code, {name: reply.header(name) for name in _HEADERS})
            if answer is not None and reply.status_code == 200:
                self._read_stream(exchange, sock, reply, answer)
            else:
                self._read_whole(exchange, sock, reply, prompt)
        except HTTPParseError:
            exchange.fail("broken_stream" if exchange.status else "bad_answer", "the reply is not whole HTTP")
        except OSError as error:
            began = exchange.status is not None
            exchange.fail("broken_stream" if began else "no_connection", f"broke off: {_reason(error)}")
        finally:
            if answer is not None:
                exchange.note_answer(answer)
            self._give_back(sock, reply)

    def _open(self, request: bytes, method: str) -> tuple[gevent.socket.socket, "_Reply", bytes]:
        """Send a request and wait for the first bytes of the reply.

        A kept connection may be closed by the server just when it is used again. It has processed nothing
        then, so a new connection is tried.
        """
        while True:
            sock, is_new = self._connections.take()
            try:
                sock.sendall(request)
                if data := sock.recv(READ_BYTES):
                    return sock, _Reply(method), data
                raise ConnectionResetError("closed before an answer began")
            except OSError:
                self._connections.drop(sock)
                if is_new:
                    raise
            except BaseException:
                self._connections.drop(sock)
                raise

    def _read_head(self, sock: gevent.socket.socket, reply: "_Reply", data: bytes) -> None:
        reply.feed(data)
        while not reply.headers_complete or reply.status_code < 200:
            if not (data := sock.recv(READ_BYTES)):
                raise ConnectionResetError("closed within the reply's head")
            reply.feed(data)

    def _read_stream(
        self, exchange: Exchange, sock: gevent.socket.socket, reply: "_Reply", answer: StreamedAnswer
    ) -> None:
        kind = reply.header("content-type") or "without a type"
        if "text/event-stream" not in kind:
            exchange.fail("bad_answer", f"the answer is {kind}, no event stream")
            return
        clock, pieces, feed, now_s = self._clock, reply.pieces, answer.feed, self._clock()
        while True:
            for piece in pieces:
                feed(piece, now_s)
            pieces.clear()
            if reply.message_complete:
                break
            data = sock.recv(READ_BYTES)
            now_s = clock()
            reply.feed(data)
        if problem := answer.problem():
            exchange.fail(*problem)
        else:
            exchange.outcome = "ok"

    def _read_whole(
        self, exchange: Exchange, sock: gevent.socket.socket, reply: "_Reply", prompt: str
    ) -> None:
        while not reply.message_complete:
            reply.feed(sock.recv(READ_BYTES))
        body, kind = b"".join(reply.pieces), reply.header("content-type") or ""
        outcome = outcome_of_status(reply.status_code)
        if outcome != "ok":
            exchange.fail(outcome, error_message(body[:_LONGEST_ERROR_BYTES], kind, prompt))
        elif (whole := whole_answer(body)) is None:
            exchange.fail("bad_answer", f"the answer is {kind or 'without a type'}, no chat completion")
        else:
            exchange.text, exchange.usage = whole
            exchange.outcome = "ok"

    def _give_back(self, sock: gevent.socket.socket, reply: "_Reply") -> None:
        if reply.should_close():
            self._connections.drop(sock)
        else:
            self._connections.keep(sock)


class _Reply(HTTPResponse):
    """The parser, which hands on the body piece by piece.

    Attributes:
        pieces: Of the body, as far as it was parsed and not taken away.
    """

    def __init__(self, method: str) -> None:
        super().__init__(method)
        self.pieces: list[bytes] = []

    def header(self, name: str) -> str | None:
        """Return a header; the first if there are several."""
        value = self.get(name)
        return value[0] if isinstance(value, list) else value

    def _on_body(self, buf: bytearray) -> None:
        self.pieces.append(bytes(buf))


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
