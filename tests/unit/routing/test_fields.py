import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.routing.fields import by_fields

ASKED = 'Why does "iron" rust faster in salt water?\nAnd what stops it?'


@pytest.mark.parametrize(
    "name", ["query", "user_input", "question", "message", "text", "content", "userPrompt", "raw_query"]
)
def test_the_users_field_is_told_by_its_name(name: str) -> None:
    record = {
        "id": "a-71",
        "locale": "en",
        name: ASKED,
        "note": "sent from the kiosk in the main hall",
        "n": 3,
    }
    assert by_fields(json.dumps(record)).question == ASKED


def test_tags_and_fences_around_it_are_nothing() -> None:
    body = json.dumps({"query": ASKED}, indent=2)
    assert by_fields(f'<request version="2">\n{body}\n</request>').question == ASKED
    assert by_fields(f"```json\n{body}\n```").question == ASKED


def test_of_messages_the_users_last_is_taken() -> None:
    messages = [
        {"role": "system", "content": "You are polite."},
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Hello, what can I do for you?"},
        {"role": "user", "content": ASKED},
    ]
    assert by_fields(json.dumps({"model": "m", "messages": messages})).question == ASKED


def test_without_a_known_name_the_longest_text_is_taken() -> None:
    assert by_fields(json.dumps({"zz": ASKED, "yy": "web", "xx": ["a", "b"]})).question == ASKED


def test_a_field_deep_inside_is_found() -> None:
    assert by_fields(json.dumps({"meta": {"v": 1}, "data": [{"event": {"query": ASKED}}]})).question == ASKED


def test_quotes_that_somebody_forgot_to_escape() -> None:
    assert (
        by_fields('{"id": 4, "query": "why is "rust" red", "stream": false}').question == 'why is "rust" red'
    )


def test_json_that_is_asked_about_is_left_alone() -> None:
    text = (
        'My parser fails with an unexpected token on this file, where is the mistake? {"query": "x", "n": 3,}'
    )
    assert by_fields(text).question == text
    text = (
        'Convert this record into a table with one row per key and explain each field: {"query": "x", "n": 3}'
    )
    assert by_fields(text).question == text


@pytest.mark.parametrize(
    "text", ["", "{}", '{"a": 1}', "{ not json", "set {a, b}", "{'a': {'b': [", "[1, 2]"]
)
def test_what_is_no_such_object_is_left_alone(text: str) -> None:
    assert by_fields(text).question == text


def test_many_braces_take_no_time() -> None:
    text = '{"a": ' * 20_000
    assert by_fields(text).question == text


@given(st.text(max_size=200))
def test_any_text_gives_some_question(text: str) -> None:
    assert bool(by_fields(text).question) == bool(text)


@given(st.text(min_size=1, max_size=200).filter(str.strip))
def test_what_was_put_in_comes_out(text: str) -> None:
    assert by_fields(json.dumps({"v": 1, "question": text})).question == text.strip()
