"""A server that listens and nothing more."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def listening(reuse: bool = False, host: str = "127.0.0.1") -> Iterator[int]:
    """Listen on a free port, with SO_REUSEPORT as Ray's servers if ``reuse``; yield the port."""
    with socket.socket() as server:
        if reuse:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((host, 0))
        server.listen()
        yield server.getsockname()[1]
