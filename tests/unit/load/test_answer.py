"""What a streamed answer is made of, and when it is none."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.load.answer import StreamedAnswer, error_message, whole_answer


def event(payload: Any) -> bytes:
    return b"data: " + (payload if isinstance(payload, bytes) else json.dumps(payload).encode()) + b"\n\n"


def delta(**fields: Any) -> bytes:
    return event({"id": "x", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]})


USAGE = event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}})
DONE = event(b"[DONE]")
ROLE = delta(role="assistant", content="")
WHOLE = [ROLE, delta(content="two"), delta(content=" words"), delta(), USAGE, DONE]


def fed(*chunks: bytes, keep_text: bool = False) -> StreamedAnswer:
    """Chunk number n is read at second n."""
    answer = StreamedAnswer(keep_text)
    for second, chunk in enumerate(chunks):
        answer.feed(chunk, float(second))
    return answer


def test_first_token_and_first_content_are_told_apart() -> None:
    answer = fed(b": waiting for the math expert\n\n", *WHOLE)
    assert (answer.first_token_s, list(answer.content_s)) == (1.0, [2.0, 3.0])
    assert answer.problem() is None
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 2)


@given(cuts=st.lists(st.integers(0, 600), max_size=10))
def test_wherever_it_is_cut_the_answer_is_the_same(cuts: list[int]) -> None:
    stream = b"".join(WHOLE)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    answer = fed(*(stream[a:b] for a, b in pairwise(places)), keep_text=True)
    assert (answer.text, len(answer.content_s), answer.problem()) == ("two words", 2, None)


def test_pieces_that_are_read_at_once_have_one_time() -> None:
    assert list(fed(b"", b"".join(WHOLE)).content_s) == [1.0, 1.0]


def test_text_is_kept_only_where_it_is_needed() -> None:
    assert fed(*WHOLE).text == ""
    assert fed(*WHOLE, keep_text=True).text == "two words"


@pytest.mark.parametrize(
    ("fields", "is_content"),
    [
        ({"content": "a"}, True),
        ({"content": " "}, True),
        ({"reasoning_content": "hm"}, True),
        ({"reasoning": "hm"}, True),
        ({"tool_calls": [{"index": 0, "function": {"name": "f"}}]}, True),
        ({"content": ""}, False),
        ({"content": None}, False),
        ({"tool_calls": []}, False),
        ({"tool_calls": None}, False),
        ({}, False),
    ],
)
def test_content_is_text_reasoning_or_a_call(fields: dict[str, Any], is_content: bool) -> None:
    answer = fed(delta(**fields))
    assert (answer.first_token_s, len(answer.content_s)) == (0.0, int(is_content))


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([ROLE, delta(content="a")], "the stream ended without [DONE]"),
        ([], "the stream ended without [DONE]"),
        ([ROLE, b'data: {"choi'], "the stream ended within an event"),
        ([ROLE, event(b"{no json"), DONE], "an event of the stream is no chat completion chunk"),
        ([event({"choices": "none"}), DONE], "an event of the stream is no chat completion chunk"),
        (
            [ROLE, event({"error": {"message": "The expert broke off.", "code": "expert_failed"}})],
            "error event: expert_failed: The expert broke off.",
        ),
        ([event({"error": "odd"}), DONE], "error event: odd"),
        ([event({"error": {"type": "server_error", "message": None}}), DONE], "error event: server_error"),
    ],
)
def test_a_stream_that_is_not_whole_is_broken(chunks: list[bytes], message: str) -> None:
    assert fed(*chunks).problem() == ("broken_stream", message)


def test_what_comes_after_the_first_problem_changes_nothing() -> None:
    answer = fed(
        ROLE, event({"error": {"message": "first"}}), delta(content="a"), event({"error": "second"}), DONE
    )
    assert answer.problem() == ("broken_stream", "error event: first")
    assert len(answer.content_s) == 0


def test_nothing_counts_after_done() -> None:
    assert len(fed(*WHOLE, delta(content="late")).content_s) == 2


class TestWhole:
    def test_text_and_usage(self) -> None:
        body = {"choices": [{"message": {"content": "hi"}}], "usage": {"completion_tokens": 1}}
        found = whole_answer(json.dumps(body).encode())
        assert found is not None
        assert (found[0], found[1] and found[1].completion_tokens) == ("hi", 1)

    def test_usage_may_lack(self) -> None:
        assert whole_answer(b'{"choices": [{"message": {"content": null}}]}') == ("", None)

    @pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'{"choices": []}', b'{"choices": [{}]}', b""])
    def test_anything_else_is_none(self, body: bytes) -> None:
        assert whole_answer(body) is None


class TestErrorMessage:
    def test_is_code_and_text_in_one_line(self) -> None:
        body = b'{"error": {"message": "Too many\\n wait.", "type": "rate_limit_error", "code": "full"}}'
        assert error_message(body, "application/json", "hello") == "full: Too many wait."

    def test_of_html_says_so(self) -> None:
        assert error_message(b"<html>", "text/html", "") == "the body is text/html, not JSON"

    def test_of_broken_json_says_so(self) -> None:
        assert error_message(b"{", "application/json", "") == "the body is not JSON"

    def test_of_another_shape_is_shown(self) -> None:
        assert error_message(b'{"detail": "Not Found"}', "application/json", "") == "Not Found"

    def test_is_short(self) -> None:
        body = json.dumps({"error": {"message": "x " * 500}}).encode()
        assert len(error_message(body, "application/json", "")) == 160

    @given(
        prompt=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=40, max_size=90),
        before=st.text(st.characters(codec="ascii", categories=["L"]), max_size=20),
    )
    def test_never_quotes_a_prompt(self, prompt: str, before: str) -> None:
        body = json.dumps({"error": {"message": f"{before} {prompt} is no good"}}).encode()
        assert error_message(body, "application/json", prompt) == "the message quotes the prompt"
