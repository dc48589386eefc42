import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem import errors
from modem.errors import (
    ConfigError,
    ExpertFailedError,
    InternalError,
    OverloadedError,
    RequestError,
    ServingError,
)
from modem.openai.errors import from_engine, to_response


def tree(root: type[ServingError]) -> Iterator[type[ServingError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


ALL = sorted(
    (cls for cls in tree(ServingError) if cls.__module__ == errors.__name__), key=lambda c: c.__name__
)
STATUS = {
    "BodyTooLargeError": (413, "invalid_request_error", "request_too_large"),
    "ExpertFailedError": (502, "server_error", "expert_failed"),
    "ExpertTimeoutError": (504, "timeout_error", "expert_timeout"),
    "ExpertUnavailableError": (503, "service_unavailable_error", "expert_unavailable"),
    "InternalError": (500, "server_error", "internal_error"),
    "MethodError": (405, "invalid_request_error", "method_not_allowed"),
    "NotFoundError": (404, "invalid_request_error", "not_found"),
    "OverloadedError": (429, "rate_limit_error", "too_many_waiting_requests"),
    "RequestError": (400, "invalid_request_error", None),
    "ServingError": (500, "server_error", None),
    "UnknownModelError": (404, "invalid_request_error", "model_not_found"),
}


class TestToResponse:
    @pytest.mark.parametrize("cls", ALL)
    def test_every_error_has_its_status_type_and_code(self, cls: type[ServingError]) -> None:
        response = to_response(cls("What to do.", "field"))
        status, kind, code = STATUS[cls.__name__]
        assert response.status == status
        assert response.headers == {"content-type": "application/json"}
        assert json.loads(response.body) == {
            "error": {"message": "What to do.", "type": kind, "param": "field", "code": code}
        }

    @pytest.mark.parametrize("cls", ALL)
    def test_every_error_is_drawn_in_the_tree(self, cls: type[ServingError]) -> None:
        assert errors.__doc__ is not None
        drawn = next(line for line in errors.__doc__.splitlines() if cls.__name__ in line).split()
        if cls not in (ServingError,):
            assert str(cls.status) in drawn

    def test_a_code_of_its_own_wins(self) -> None:
        assert json.loads(to_response(OverloadedError("m", None, "mine")).body)["error"]["code"] == "mine"

    @pytest.mark.parametrize(("seconds", "header"), [(5, "5"), (5.0, "5"), (0.1, "1"), (2.001, "3")])
    def test_retry_after_is_rounded_up(self, seconds: float, header: str) -> None:
        assert to_response(OverloadedError("m", None, None, seconds)).headers["retry-after"] == header

    @pytest.mark.parametrize("error", [ValueError("/etc/secret"), ConfigError("secret"), KeyError("secret")])
    def test_what_is_not_ours_says_nothing(self, error: Exception) -> None:
        response = to_response(error)
        assert response.status == 500
        assert b"secret" not in response.body
        body = json.loads(response.body)["error"]
        assert (body["type"], body["code"]) == ("server_error", "internal_error")
        assert "x-request-id" in body["message"]

    @given(st.text(st.characters(exclude_categories=())))
    def test_any_message_survives(self, message: str) -> None:
        assert json.loads(to_response(RequestError(message)).body)["error"]["message"] == message


class TestPickling:
    @pytest.mark.parametrize("cls", ALL)
    @pytest.mark.parametrize("arguments", [("m",), ("m", "p", "c", 1.5), ("m", None, None, 2.0)])
    def test_an_error_crosses_a_process_boundary_whole(
        self, cls: type[ServingError], arguments: tuple[Any, ...]
    ) -> None:
        before = cls(*arguments)
        after = pickle.loads(pickle.dumps(before))
        assert type(after) is cls
        for name in ("message", "param", "code", "retry_after_s", "status", "type"):
            assert getattr(after, name) == getattr(before, name)
        assert str(after) == "m"

    def test_a_status_of_its_own_crosses_too(self) -> None:
        error = from_engine(404, b'{"error": {"message": "no model"}}', 1)
        assert pickle.loads(pickle.dumps(error)).status == 404


def engine_body(message: str, code: Any = 400, param: str | None = None) -> bytes:
    """A reply in the shape of vLLM: the code is the status, as a number."""
    kind = "BadRequestError"
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}}).encode()


class TestFromEngine:
    def test_a_refusal_keeps_the_message_and_the_field(self) -> None:
        error = from_engine(400, engine_body("temperature must be non-negative", param="temperature"), 5)
        assert type(error) is RequestError
        assert (error.status, error.message) == (400, "temperature must be non-negative")
        assert (error.type, error.param, error.code) == ("invalid_request_error", "temperature", None)

    @pytest.mark.parametrize(
        "message",
        [
            "This model's maximum context length is 2048 tokens. However, your prompt contains at least "
            "2049 input tokens, which exceeds this limit even without any output tokens.",
            "The decoder prompt (length 600) is longer than the maximum model length of 500. Make sure",
            "The decoder prompt (length 500) plus the number of requested output tokens (at least 1) is "
            "longer than the maximum model length of 500.",
            "max_tokens=3000 cannot be greater than max_model_len=2048",
        ],
    )
    def test_a_prompt_beyond_the_context_gets_openais_code(self, message: str) -> None:
        error = from_engine(400, engine_body(message), 5)
        assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "messages")
        assert error.message == message
        assert from_engine(400, engine_body(message, param="prompt"), 5).param == "prompt"
        # vLLM's own names for the prompt are no fields of a request.
        for name in ("input_tokens", "input_text"):
            assert from_engine(400, engine_body(message, param=name), 5).param == "messages"

    @pytest.mark.parametrize("status", [401, 404, 413, 422])
    def test_any_other_refusal_keeps_its_status(self, status: int) -> None:
        error = from_engine(status, engine_body("The model `x` does not exist.", status, "model"), 5)
        assert isinstance(error, RequestError)
        assert (error.status, error.param) == (status, "model")
        assert to_response(error).status == status

    @pytest.mark.parametrize("status", [500, 501, 502, 504])
    def test_a_failure_hides_its_message(self, status: int) -> None:
        error = from_engine(status, engine_body("CUDA error in /secret/path.py", status), 5)
        assert type(error) is ExpertFailedError
        assert error.status == 502
        assert "secret" not in error.message

    @pytest.mark.parametrize("status", [429, 503])
    def test_overload_says_when_to_come_back(self, status: int) -> None:
        error = from_engine(status, b"", 7.5)
        assert type(error) is OverloadedError
        assert to_response(error).headers["retry-after"] == "8"

    @pytest.mark.parametrize(
        "body",
        [b"", b"<html>", b"[]", b"1", b"null", b'{"detail": "Not Found"}', b'{"error": "text"}', b"\xff\xfe",
         b'{"error": {"message": 3}}', b'{"error": null}'],
    )  # fmt: skip
    def test_a_reply_of_another_shape_still_becomes_an_error(self, body: bytes) -> None:
        error = from_engine(400, body, 5)
        assert (error.status, error.message) == (400, "The expert refused the request.")

    def test_of_pydantics_errors_the_client_reads_the_first(self) -> None:
        message = (
            "2 validation errors:\n  {'type': 'float_parsing', 'loc': 'body.temperature', "
            "'msg': 'Input should be a valid number', 'input': 'hot'}\n  {'type': 'int_parsing'}"
        )
        error = from_engine(400, engine_body(message, param="body.temperature"), 5)
        assert error.message == "'temperature': Input should be a valid number."
        assert error.param == "temperature"

    def test_an_error_without_a_wrapper_is_read_too(self) -> None:
        assert from_engine(400, b'{"object": "error", "message": "no"}', 5).message == "no"

    @given(st.integers(400, 599), st.binary() | st.text().map(str.encode))
    def test_any_reply_becomes_a_response(self, status: int, body: bytes) -> None:
        assert to_response(from_engine(status, body, 5)).status >= 400


def test_an_internal_error_is_a_500() -> None:
    assert InternalError("m").status == 500
