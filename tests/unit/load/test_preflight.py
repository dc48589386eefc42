"""Whether there is something to test."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from modem.errors import ConfigError
from modem.laptop.environment import free_ports
from modem.load.address import Address
from modem.load.preflight import check_server
from modem.load.scenario import Scenario
from tests.unit.loadtest.scripted import reply, sends, serving

ROUTED = Scenario(duration_s=1, rate=1.0)


def cards(*names: str) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": name} for name in names]}).encode()


@contextmanager
def answering(answer: bytes) -> Iterator[Address]:
    with serving(sends(answer, then_close=True)) as seen:
        yield Address("http", "127.0.0.1", seen.port)


def pinned(mix: str | None) -> Scenario:
    return Scenario(duration_s=1, rate=1.0, pinned=True, mix=mix)


@pytest.mark.parametrize(
    ("names", "scenario"),
    [
        (("auto", "math"), ROUTED),
        (("math", "other"), pinned("math=1,other=2")),
        (("math",), pinned("math=1")),
        (("anything",), pinned(None)),
    ],
)
def test_a_server_that_has_what_is_asked_for(names: tuple[str, ...], scenario: Scenario) -> None:
    with answering(reply("200 OK", cards(*names))) as address:
        check_server(address, scenario)


HTML = b"<html>hi</html>"


@pytest.mark.parametrize(
    ("answer", "scenario", "message"),
    [
        (reply("200 OK", HTML, "text/html"), ROUTED, "is no list of models (200, text/html); is it modem?"),
        (reply("404 Not Found", HTML, "text/html"), ROUTED, "is no list of models (404, text/html)"),
        (reply("200 OK", b"{}"), ROUTED, "is no list of models (200, application/json)"),
        (reply("500 Oh", b""), ROUTED, "is no list of models (500"),
        (reply("200 OK", cards("gpt")), ROUTED, "no model 'auto' but gpt; for a server without a router"),
        (reply("200 OK", cards()), ROUTED, "serves no model 'auto' but none"),
        (reply("200 OK", cards("math")), pinned("math=1,law=1"), "no model 'law' but math; choose a mix"),
        (b"what?", ROUTED, "no HTTP server at"),
        (b"", ROUTED, "no HTTP server at"),
    ],
)
def test_what_cannot_be_tested_is_said_in_a_line(answer: bytes, scenario: Scenario, message: str) -> None:
    with answering(answer) as address, pytest.raises(ConfigError) as caught:
        check_server(address, scenario)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_down() -> None:
    address = Address("http", "127.0.0.1", free_ports(1))
    with pytest.raises(
        ConfigError, match=r"no server at http.*: Connection refused; start it with: modem up"
    ):
        check_server(address, ROUTED)


def test_a_server_that_does_not_answer() -> None:
    with serving(sends()) as seen, pytest.raises(ConfigError, match="timed out"):
        check_server(Address("http", "127.0.0.1", seen.port), ROUTED, timeout_s=0.2)


def test_a_proxy_in_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_proxy(**values: Any) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    no_proxy(http_proxy=f"http://127.0.0.1:{free_ports(1)}", no_proxy="")
    with answering(reply("200 OK", cards("auto"))) as address:
        check_server(address, ROUTED)
