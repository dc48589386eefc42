"""Base URLs as people write them."""

import pytest

from modem.errors import ConfigError
from modem.load.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address", "authority"),
    [
        ("http://127.0.0.1:8000", Address("http", "127.0.0.1", 8000), "127.0.0.1:8000"),
        ("http://127.0.0.1:8000/", Address("http", "127.0.0.1", 8000), "127.0.0.1:8000"),
        (" http://host ", Address("http", "host", 80), "host"),
        ("https://host", Address("https", "host", 443), "host"),
        ("https://host:80/a/b/", Address("https", "host", 80, "/a/b"), "host:80"),
        ("http://[::1]:8000", Address("http", "::1", 8000), "[::1]:8000"),
        ("HTTP://Host:81", Address("http", "host", 81), "host:81"),
    ],
)
def test_a_good_one(text: str, address: Address, authority: str) -> None:
    assert parse_address(text) == address
    assert address.authority == authority
    assert parse_address(str(address)) == address


def test_routes_come_after_the_prefix() -> None:
    assert parse_address("http://host/front").path("/v1/models") == "/front/v1/models"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("127.0.0.1:8000", "no http:// or https:// before the name"),
        ("localhost", "no http:// or https:// before the name"),
        ("ftp://host", "the scheme is 'ftp'"),
        ("http://", "not a server's base URL"),
        ("http://host?a=1", "not a server's base URL"),
        ("http://me:secret@host", "not a server's base URL"),
        ("http://host:port", "write it like http://127.0.0.1:8000"),
        ("http://host:99999", "write it like http://127.0.0.1:8000"),
        ("http://host:8000/v1", "leave out '/v1', the client adds it: --host http://host:8000"),
        ("http://host/a/v1/", "leave out '/v1', the client adds it: --host http://host/a"),
        ("http://host/v1/chat/completions", "leave out '/v1/chat/completions'"),
    ],
)
def test_a_bad_one_is_refused_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
