"""A server that answers with scripted bytes, for what no good server does."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Script = Callable[[socket.socket, int], None]
"""Answers one request on a connection; gets the number of the request on it, from 0."""

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"


@dataclass
class Seen:
    """What the server saw.

    Attributes:
        port: Where it listens.
        requests: Whole requests, in order.
        num_connections: So far.
    """

    port: int
    requests: list[bytes] = field(default_factory=list)
    num_connections: int = 0


def reply(status: str, body: bytes, kind: str = "application/json", *headers: str) -> bytes:
    """A reply with its length."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*parts: bytes) -> bytes:
    """Parts in the framing of a chunked body, without its end."""
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


END = b"0\r\n\r\n"


@contextmanager
def serving(script: Script) -> Iterator[Seen]:
    """Serve each connection in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen = Seen(listener.getsockname()[1])
    threads: list[threading.Thread] = []
    open_sockets: list[socket.socket] = []

    def converse(sock: socket.socket) -> None:
        with sock, suppress(OSError):
            number = 0
            while request := _request(sock):
                seen.requests.append(request)
                script(sock, number)
                number += 1

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                seen.num_connections += 1
                open_sockets.append(sock)
                threads.append(threading.Thread(target=converse, args=(sock,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield seen
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for sock in open_sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in [accepting, *threads]:
            thread.join(5)


def sends(*parts: bytes, then_close: bool = False) -> Script:
    """A script that sends these bytes, each in a packet of its own."""

    def script(sock: socket.socket, _: int) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            sock.sendall(part)
        if then_close:
            sock.shutdown(socket.SHUT_RDWR)

    return script


def in_turn(scripts: Sequence[Script]) -> Script:
    """A script that answers the first request of a connection by the first, and so on."""
    return lambda sock, number: scripts[number](sock, number)


def _request(sock: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        if not (part := sock.recv(65536)):
            return b""
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ),
        0,
    )
    while len(body) < length:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body
