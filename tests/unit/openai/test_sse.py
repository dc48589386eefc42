import json

import pytest

from modem.errors import ExpertFailedError, ExpertTimeoutError, OverloadedError, RequestError
from modem.openai.sse import comment, engine_error, error_event


def event(value: object) -> bytes:
    """An event as vLLM writes it: Python's default separators."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def test_a_comment_is_one_ignored_line() -> None:
    assert comment("waiting for the math expert") == b": waiting for the math expert\n\n"


def test_an_error_event_is_one_line_of_data() -> None:
    raw = error_event(ExpertTimeoutError("two\nlines"))
    assert raw.startswith(b'data: {"error"')
    assert raw.endswith(b"\n\n")
    assert raw.count(b"\n") == 2
    assert json.loads(raw.removeprefix(b"data: "))["error"] == {
        "message": "two\nlines",
        "type": "timeout_error",
        "param": None,
        "code": "expert_timeout",
    }


def test_an_error_event_of_anything_else_says_nothing() -> None:
    assert b"secret" not in error_event(RuntimeError("secret"))


@pytest.mark.parametrize(
    "chunk",
    [
        b"",
        b"data: [DONE]\n\n",
        event({"id": "1", "choices": [{"delta": {"content": 'data: {"error": 1}'}}]}),
        b": comment\n\n",
        b'{"error": {}}',
    ],
)
def test_data_is_no_error(chunk: bytes) -> None:
    assert engine_error(chunk, 5) is None


@pytest.mark.parametrize(
    ("error", "expected", "status"),
    [
        ({"message": "too long", "code": 400}, RequestError, 400),
        ({"message": "no", "code": 404}, RequestError, 404),
        ({"message": "full", "code": 503}, OverloadedError, 429),
        ({"message": "boom", "code": 500}, ExpertFailedError, 502),
        ({"message": "boom"}, ExpertFailedError, 502),
        ({"message": "boom", "code": "bad"}, ExpertFailedError, 502),
        ({"message": "boom", "code": None}, ExpertFailedError, 502),
        ({"message": "boom", "code": True}, ExpertFailedError, 502),
        ({"message": "boom", "code": 200}, ExpertFailedError, 502),
        ("boom", ExpertFailedError, 502),
        (None, ExpertFailedError, 502),
    ],
)
def test_an_error_in_place_of_data(error: object, expected: type[Exception], status: int) -> None:
    found = engine_error(event({"error": error}), 5)
    assert type(found) is expected
    assert found.status == status


def test_an_error_followed_by_the_end_in_one_chunk() -> None:
    found = engine_error(event({"error": {"message": "too long", "code": 400}}) + b"data: [DONE]\n\n", 5)
    assert isinstance(found, RequestError)
    assert found.message == "too long"


def test_an_error_cut_in_the_middle_is_an_error_still() -> None:
    assert isinstance(engine_error(b'data: {"error": {"mess', 5), ExpertFailedError)


def test_compact_json_is_recognised() -> None:
    assert engine_error(b'data: {"error":{"code":400,"message":"m"}}\n\n', 5) is not None
