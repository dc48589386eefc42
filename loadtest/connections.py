"""Kept connections to one server."""

import socket

import gevent.socket
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool

from modem.load.address import Address

MAX_CONNECTIONS = 20_000
"""More than a process may have files open: no request ever waits for a place in the pool."""


class Connections:
    """Hands out idle connections, the last used first, or makes new ones.

    Args:
        address: The server. Its name is resolved once, here: a look-up in the middle of a run would delay
            requests by what is none of the server's time.
        connect_timeout_s: Longest wait for a new connection.

    Raises:
        OSError: The name is unknown.
    """

    def __init__(self, address: Address, connect_timeout_s: float) -> None:
        ip = _resolve(address)
        pool = _TlsPool if address.scheme == "https" else _Pool
        self._pool = pool(
            ip,
            address.port,
            address.host,
            address.port,
            size=MAX_CONNECTIONS,
            connection_timeout=connect_timeout_s,
        )

    def take(self) -> tuple[gevent.socket.socket, bool]:
        """Return a connection, and whether it was made for this call.

        Raises:
            OSError: None can be made.
        """
        sock = self._pool.get_socket()
        sock.settimeout(None)  # one timer a request instead of one a read
        is_new = id(sock) in self._pool.made
        self._pool.made.discard(id(sock))
        return sock, is_new

    def keep(self, sock: gevent.socket.socket) -> None:
        """Take back a connection whose reply was read to the end."""
        self._pool.return_socket(sock)

    def drop(self, sock: gevent.socket.socket) -> None:
        """Close a connection."""
        self._pool.release_socket(sock)

    def close(self) -> None:
        """Close all that are idle."""
        self._pool.close()


class _Pool(ConnectionPool):
    """Notes which connections are new."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.made: set[int] = set()

    def after_connect(self, sock: gevent.socket.socket) -> None:
        # Else the last part of a long request waits for the server's delayed acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.made.add(id(sock))


class _TlsPool(_Pool, SSLConnectionPool):
    pass


def _resolve(address: Address) -> str:
    found = gevent.socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    # `localhost` is ::1 first, where many servers do not listen; IPv4 is what both ends surely have.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])
