import json
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.config import DomainConfig, GatewayConfig
from modem.errors import RequestError, ServingError, UnknownModelError
from modem.openai.request import (
    CompletionRequest,
    Endpoint,
    body_for,
    check_messages,
    parse_completion,
    parse_object,
    pinned_domain,
)
from modem.routing.text import RoutingText
from tests.builders import gateway_config

CHAT: Endpoint = "chat/completions"
TEXT: Endpoint = "completions"
CONFIG = GatewayConfig.model_validate(gateway_config())
T = TypeVar("T")
HELLO = [{"role": "user", "content": "Hello"}]


def parse(body: Any, endpoint: Endpoint = CHAT) -> CompletionRequest:
    return parse_completion(json.dumps(body).encode(), endpoint, CONFIG)


def domain(**changes: Any) -> DomainConfig:
    fields = {
        "description": "d",
        "application": "a",
        "base_model": "m",
        "context_length_tokens": 9,
        **changes,
    }
    return DomainConfig.model_validate(fields)


def sent(body: dict[str, Any], endpoint: Endpoint = CHAT, **changes: Any) -> dict[str, Any]:
    """What the expert gets for a client's body."""
    written: dict[str, Any] = json.loads(body_for(parse(body, endpoint), "math", domain(**changes)))
    return written


def outcome(call: Callable[[], T]) -> T | ServingError:
    """What a call returns, or the error of ours that it raises."""
    try:
        return call()
    except ServingError as error:
        return error


class TestParse:
    def test_the_body_is_kept_as_it_came(self) -> None:
        body = {"model": "auto", "messages": HELLO, "logit_bias": {"1": 2}, "unknown": [1, None]}
        assert parse(body) == CompletionRequest(CHAT, body, None, False)

    @pytest.mark.parametrize(
        ("raw", "message", "code"),
        [
            (b"", "not valid JSON at line 1, column 1.", "invalid_json"),
            (b"{", "not valid JSON at line 1, column 2.", "invalid_json"),
            (b'{"a": 1,\n nope}', "not valid JSON at line 2, column 2.", "invalid_json"),
            (b'{"a": "\xff"}', "not valid JSON. Send", "invalid_json"),
            (b"[" * 100_000, "not valid JSON. Send", "invalid_json"),
            (b"9" * 5000, "not valid JSON. Send", "invalid_json"),
            (b"[]", "must be a JSON object, not a list.", "invalid_type"),
            (b'"x"', "must be a JSON object, not a string.", "invalid_type"),
            (b"1", "must be a JSON object, not a number.", "invalid_type"),
            (b"1.5", "must be a JSON object, not a number.", "invalid_type"),
            (b"true", "must be a JSON object, not a boolean.", "invalid_type"),
            (b"null", "must be a JSON object, not null.", "invalid_type"),
        ],
        ids=lambda value: repr(value)[:30],
    )
    def test_a_body_that_is_no_json_object(self, raw: bytes, message: str, code: str) -> None:
        with pytest.raises(RequestError) as caught:
            parse_object(raw)
        assert message in caught.value.message
        assert (caught.value.status, caught.value.param, caught.value.code) == (400, None, code)

    @pytest.mark.parametrize(
        ("body", "message", "param", "code"),
        [
            ({}, "'messages' is missing. Send a list such as", "messages", "missing_field"),
            ({"messages": None}, "'messages' is missing.", "messages", "missing_field"),
            ({"messages": "hi"}, "'messages' must be a list, not a string.", "messages", "invalid_type"),
            ({"messages": {}}, "'messages' must be a list, not an object.", "messages", "invalid_type"),
            ({"messages": []}, "'messages' is empty.", "messages", "empty_array"),
            (
                {"messages": [*HELLO, "hi"]},
                "'messages[1]' must be an object, not a string.",
                "messages[1]",
                "invalid_type",
            ),
            (
                {"messages": [*HELLO, {"content": "hi"}]},
                "'messages[1].role' must be a string such as 'user'.",
                "messages[1].role",
                "invalid_type",
            ),
            (
                {"messages": [{"role": 3}]},
                "'messages[0].role' must be a string such as 'user'.",
                "messages[0].role",
                "invalid_type",
            ),
            (
                {"messages": [{"role": "user", "content": {"text": "hi"}}]},
                "'messages[0].content' must be a string or a list of parts, not an object.",
                "messages[0].content",
                "invalid_type",
            ),
            (
                {"messages": HELLO, "stream": 1},
                "'stream' must be true or false, not a number.",
                "stream",
                "invalid_type",
            ),
            (
                {"messages": HELLO, "stream": "yes"},
                "'stream' must be true or false, not a string.",
                "stream",
                "invalid_type",
            ),
            (
                {"messages": HELLO, "model": ["math"]},
                "'model' must be a string, not a list.",
                "model",
                "invalid_type",
            ),
        ],
    )
    def test_a_chat_that_is_wrong(self, body: Any, message: str, param: str, code: str) -> None:
        with pytest.raises(RequestError) as caught:
            parse(body)
        assert message in caught.value.message
        assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)

    @pytest.mark.parametrize(
        ("prompt", "message", "code"),
        [
            (None, "'prompt' is missing. Send a string.", "missing_field"),
            (3, "'prompt' must be a string or a list, not a number.", "invalid_type"),
            ({}, "'prompt' must be a string or a list, not an object.", "invalid_type"),
            (False, "'prompt' must be a string or a list, not a boolean.", "invalid_type"),
            ("", "'prompt' is empty.", "empty_string"),
            ([], "'prompt' is empty.", "empty_string"),
        ],
    )
    def test_a_prompt_that_is_wrong(self, prompt: Any, message: str, code: str) -> None:
        with pytest.raises(RequestError) as caught:
            parse({"prompt": prompt}, TEXT)
        assert caught.value.message == message
        assert (caught.value.status, caught.value.param, caught.value.code) == (400, "prompt", code)

    @pytest.mark.parametrize(
        "content", [{}, {"content": None}, {"content": ""}, {"content": [{"type": "x"}]}]
    )
    def test_content_may_be_absent_empty_or_of_parts(self, content: dict[str, Any]) -> None:
        assert parse({"messages": [{"role": "assistant", **content}]}).body["messages"][0].keys() >= {"role"}

    def test_a_text_completion_needs_no_messages_and_a_chat_no_prompt(self) -> None:
        assert parse({"prompt": "x"}, TEXT).endpoint == TEXT
        with pytest.raises(RequestError, match="'messages' is missing"):
            parse({"prompt": "x"}, CHAT)
        with pytest.raises(RequestError, match="'prompt' is missing"):
            parse({"messages": HELLO}, TEXT)

    @pytest.mark.parametrize(("stream", "expected"), [(True, True), (False, False), (None, False)])
    def test_stream(self, stream: bool | None, expected: bool) -> None:
        assert parse({"messages": HELLO, "stream": stream}).stream is expected
        assert parse({"messages": HELLO}).stream is False


class TestModel:
    @pytest.mark.parametrize("model", [None, "auto", "modem", "modem/auto"])
    def test_asks_for_routing(self, model: str | None) -> None:
        assert pinned_domain(model, CONFIG) is None

    @pytest.mark.parametrize("model", ["math", "modem/math"])
    def test_pins_a_domain(self, model: str) -> None:
        assert pinned_domain(model, CONFIG) == "math"

    @pytest.mark.parametrize("model", ["", "Math", " math", "modem/", "modem/modem/math", "gpt-4"])
    def test_that_is_not_served(self, model: str) -> None:
        with pytest.raises(UnknownModelError) as caught:
            pinned_domain(model, CONFIG)
        error = caught.value
        assert error.message.startswith(f"The model {model!r} does not exist. Available: auto, other, math, ")
        assert (error.status, error.param, error.code) == (404, "model", "model_not_found")

    def test_that_is_very_long_is_cut_in_the_message(self) -> None:
        with pytest.raises(UnknownModelError) as caught:
            pinned_domain("x" * 10_000, CONFIG)
        assert len(caught.value.message) < 400


class TestBodyFor:
    def test_the_model_becomes_the_domain_whatever_the_client_called_it(self) -> None:
        for model in ({}, {"model": None}, {"model": "auto"}, {"model": "modem/math"}):
            assert sent({"messages": HELLO, **model})["model"] == "math"

    def test_what_modem_does_not_know_passes_through(self) -> None:
        fields = {"tools": [{"type": "function"}], "logit_bias": {"1": -1}, "guided_json": {"a": None}}
        assert sent({"messages": HELLO, **fields}) == {"messages": HELLO, **fields, "model": "math"}

    def test_defaults_fill_only_what_the_client_left_out(self) -> None:
        sampling = {"temperature": 0.2, "top_p": 0.9, "seed": 7, "stop": ["END"], "repetition_penalty": 1.1}
        body = {"messages": HELLO, "temperature": 1.5, "seed": 0}
        found = sent(body, sampling=sampling)
        assert found == {**sampling, **body, "model": "math"}

    def test_an_explicit_null_is_the_clients_choice(self) -> None:
        found = sent({"messages": HELLO, "temperature": None}, sampling={"temperature": 0.2})
        assert found["temperature"] is None

    def test_without_defaults_nothing_is_added(self) -> None:
        assert set(sent({"messages": HELLO})) == {"messages", "model"}

    @pytest.mark.parametrize(
        ("client", "expected"),
        [
            ({}, {"max_tokens": 64}),
            ({"max_tokens": 5}, {"max_tokens": 5}),
            ({"max_completion_tokens": 5}, {"max_completion_tokens": 5}),
            ({"max_completion_tokens": None}, {"max_completion_tokens": None}),
            ({"max_completion_tokens": 5, "max_tokens": 6}, {"max_completion_tokens": 5, "max_tokens": 6}),
        ],
    )
    def test_the_two_names_of_max_tokens(self, client: dict[str, Any], expected: dict[str, Any]) -> None:
        found = sent({"messages": HELLO, **client}, sampling={"max_tokens": 64})
        assert {name: value for name, value in found.items() if name.startswith("max_")} == expected

    def test_a_system_prompt_goes_first(self) -> None:
        found = sent({"messages": HELLO}, system_prompt="Be brief.")
        assert found["messages"] == [{"role": "system", "content": "Be brief."}, *HELLO]

    @pytest.mark.parametrize("role", ["system", "developer"])
    @pytest.mark.parametrize("last", [False, True])
    def test_a_clients_own_system_message_replaces_it(self, role: str, last: bool) -> None:
        own = {"role": role, "content": "Mine."}
        messages = [*HELLO, own] if last else [own, *HELLO]
        assert sent({"messages": messages}, system_prompt="Be brief.")["messages"] == messages

    def test_a_text_completion_gets_the_defaults_but_no_system_prompt(self) -> None:
        found = sent({"prompt": "x"}, TEXT, system_prompt="Be brief.", sampling={"temperature": 0.0})
        assert found == {"temperature": 0.0, "prompt": "x", "model": "math"}

    def test_the_parsed_request_is_not_changed(self) -> None:
        request = parse({"model": "auto", "messages": HELLO})
        body_for(request, "math", domain(system_prompt="Be brief.", sampling={"seed": 1}))
        assert request.body == {"model": "auto", "messages": HELLO}

    def test_text_in_any_script_survives(self) -> None:
        text = 'Größe ∑ 数学 👩‍🔬 \u2028 \x00 \\ "'
        assert sent({"messages": [{"role": "user", "content": text}]})["messages"][0]["content"] == text

    def test_half_a_surrogate_pair_becomes_a_question_mark(self) -> None:
        raw = rb'{"messages": [{"role": "user", "content": "a\ud83d b"}], "user": "\udc00"}'
        request = parse_completion(raw, CHAT, CONFIG)
        body = json.loads(body_for(request, "math", domain()))
        assert body["messages"][0]["content"] == "a? b"
        assert body["user"] == "?"

    @pytest.mark.parametrize("depth", [10, 100, 300])
    def test_a_nested_body_passes_through(self, depth: int) -> None:
        nested: Any = 1
        for _ in range(depth):
            nested = [nested]
        assert sent({"messages": HELLO, "extra": nested})["extra"] == nested

    def test_nesting_near_the_limit_of_the_parser_is_the_clients_error(self) -> None:
        # Writing happens deeper in the stack than reading: some depths can be read and not written.
        refused = 0
        for depth in (*range(800, 1001), 100_000):
            raw = b'{"messages":[{"role":"user"}],"extra":' + b"[" * depth + b"]" * depth + b"}"
            request = outcome(partial(parse_completion, raw, CHAT, CONFIG))
            if isinstance(request, CompletionRequest):
                written = outcome(partial(deeper, 60, partial(body_for, request, "math", domain())))
                refused += isinstance(written, ServingError) and written.code == "invalid_json"
                assert isinstance(written, bytes | RequestError)
            else:
                refused += request.code == "invalid_json"
        assert refused


def deeper(frames: int, call: Callable[[], bytes]) -> bytes:
    """Call something so many frames down the stack."""
    return call() if frames == 0 else deeper(frames - 1, call)


class TestRoutingText:
    def test_of_a_chat_is_the_last_user_message(self) -> None:
        messages = [
            *HELLO,
            {"role": "assistant", "content": "Hi"},
            {"role": "user", "content": "Who was Gauss?"},
        ]
        assert parse({"messages": messages}).routing_text() == RoutingText("Who was Gauss?")

    @pytest.mark.parametrize(
        ("prompt", "text"), [("one", "one"), (["one", "two"], "one\ntwo"), ([1, 2], ""), ([[1], [2]], "")]
    )
    def test_of_a_prompt(self, prompt: Any, text: str) -> None:
        assert parse({"prompt": prompt}, TEXT).routing_text().text == text


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "developer", "assistant"]) | JSON},
        optional={
            "content": JSON
            | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.text() | JSON}), max_size=3)
        },
    ),
    max_size=3,
)
MODELS = st.sampled_from(["auto", "modem", "math", "modem/math"])
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "messages": MESSAGES | JSON,
        "prompt": st.text() | JSON,
        "model": MODELS | JSON,
        "stream": st.booleans() | JSON,
        "max_tokens": JSON,
        "max_completion_tokens": JSON,
        "temperature": JSON,
        "stream_options": JSON,
    },
)
FULL = domain(system_prompt="Be brief.", sampling={"max_tokens": 8, "stop": ["x"]})


@given(JSON | BODIES, st.sampled_from([CHAT, TEXT]))
def test_whatever_a_client_sends_is_refused_as_our_error_or_can_be_routed_and_sent(
    body: Any, endpoint: Endpoint
) -> None:
    request = outcome(partial(parse, body, endpoint))
    if isinstance(request, ServingError):
        assert request.status in (400, 404)
        assert request.message
        return
    assert isinstance(request.routing_text(), RoutingText)
    written = json.loads(body_for(request, "math", FULL))
    assert written["model"] == "math"
    assert set(written) >= set(request.body)


@given(st.binary() | st.text().map(str.encode))
def test_bytes_that_are_no_request_are_refused_as_our_error(raw: bytes) -> None:
    with pytest.raises(ServingError):
        parse_completion(raw, CHAT, CONFIG)


@given(JSON)
def test_messages_of_any_shape_are_refused_or_right(messages: Any) -> None:
    refusal = outcome(partial(check_messages, messages))
    if refusal is not None:
        assert refusal.param is not None
        assert refusal.param.startswith("messages")
        return
    assert messages
    assert all(isinstance(message["role"], str) for message in messages)
