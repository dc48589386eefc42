from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.routing.text import routing_text


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def text_part(text: Any) -> dict[str, Any]:
    return {"type": "text", "text": text}


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def test_a_single_user_message_is_its_text() -> None:
    assert routing_text([user("What is 2 + 2?")]) == "What is 2 + 2?"


def test_the_last_user_message_wins_over_everything_around_it() -> None:
    messages = [
        {"role": "system", "content": "You are kind."},
        user("first"),
        {"role": "assistant", "content": "answer"},
        user("second"),
        {"role": "assistant", "content": "a prefix to continue"},
    ]
    assert routing_text(messages) == "second"


def test_text_parts_are_joined_and_other_parts_ignored() -> None:
    content = [text_part("Look at this."), IMAGE, text_part("What is it?")]
    assert routing_text([user(content)]) == "Look at this.\nWhat is it?"


def test_a_user_message_of_images_alone_yields_to_the_user_message_before() -> None:
    assert routing_text([user("Describe it."), user([IMAGE])]) == "Describe it."


def test_without_a_user_message_the_last_one_with_text_counts() -> None:
    messages = [{"role": "system", "content": "one"}, {"role": "assistant", "content": "two"}]
    assert routing_text([*messages, {"role": "tool", "content": None}]) == "two"


def test_an_earlier_user_message_beats_a_later_system_message() -> None:
    assert routing_text([user("question"), {"role": "system", "content": "note"}]) == "question"


def test_white_space_around_is_dropped_and_kept_within() -> None:
    assert routing_text([user("  def f():\n    pass \n")]) == "def f():\n    pass"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{}],
        [user(None)],
        [user(7)],
        [user("   ")],
        [user([])],
        [user([None, 3, "bare string", {"type": "text"}, {"text": "no type"}])],
        [user([text_part(None), text_part(5)])],
        [user(b"bytes")],
        [user({"type": "text", "text": "a mapping, not a list"})],
    ],
)
def test_odd_shapes_have_no_text(messages: list[dict[str, Any]]) -> None:
    assert routing_text(messages) == ""


def test_a_message_without_a_role_is_only_a_last_resort() -> None:
    assert routing_text([user("asked"), {"content": "stray"}]) == "asked"
    assert routing_text([{"content": "stray"}]) == "stray"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text"]) | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=4))
def test_no_json_makes_it_raise(messages: list[Any]) -> None:
    result = routing_text(messages)
    assert result == result.strip()


@given(st.text(), st.lists(st.text(), max_size=3))
def test_what_was_said_before_a_user_message_with_text_never_matters(last: str, before: list[str]) -> None:
    alone = routing_text([user(last)])
    if alone:
        assert routing_text([*map(user, before), user(last)]) == alone
