"""Where the tested server is, as people write it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from modem.errors import ConfigError

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """A server of the OpenAI API.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name or IP address, an IPv6 one without brackets.
        port: TCP port.
        prefix: Path before ``/v1``; empty or beginning with a slash.
    """

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @property
    def authority(self) -> str:
        """The ``Host`` header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _PORTS[self.scheme] else f"{name}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.prefix}"

    def path(self, route: str) -> str:
        """Return the request path of a route such as ``/v1/models``."""
        return f"{self.prefix}{route}"


def parse_address(text: str) -> Address:
    """Read a base URL.

    Raises:
        ConfigError: It is none; the message says what to write.
    """
    example = "write it like http://127.0.0.1:8000"
    if "://" not in text:
        raise ConfigError(f"--host {text!r}: there is no http:// or https:// before the name; {example}")
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"--host {text!r}: {error}; {example}") from error
    if parts.scheme not in _PORTS:
        raise ConfigError(f"--host {text!r}: the scheme is {parts.scheme!r}, not http or https; {example}")
    if not host or parts.query or parts.fragment or parts.username:
        raise ConfigError(f"--host {text!r}: not a server's base URL; {example}")
    prefix = parts.path.rstrip("/")
    address = Address(parts.scheme, host, port or _PORTS[parts.scheme], prefix)
    for ending in ("/v1/chat/completions", "/v1/models", "/v1"):
        if prefix.endswith(ending):
            bare = Address(address.scheme, host, address.port, prefix.removesuffix(ending))
            raise ConfigError(f"--host {text!r}: leave out {ending!r}, the client adds it: --host {bare}")
    return address
