from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.routing.text import HISTORY_CHARS, MAX_CHARS, RoutingText, plain_routing_text, routing_text


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def text_part(text: Any) -> dict[str, Any]:
    return {"type": "text", "text": text}


def chat(*turns: str) -> RoutingText:
    """A conversation of these user turns, each but the last with an answer."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        messages += [user(turn), assistant("The aorta, the mitral valve and a for loop.")]
    return routing_text(messages[:-1])


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
JAVA = "How do I reverse a list in Java?"
LONG = "The harbour was busy in those years, and ships came and went with the tide. " * 150


class TestOneTurn:
    def test_a_single_user_message_is_its_text(self) -> None:
        assert routing_text([user("What is 2 + 2?")]) == RoutingText("What is 2 + 2?")

    def test_a_prompt_is_a_chat_of_one_turn(self) -> None:
        assert plain_routing_text("Is water wet?") == routing_text([user("Is water wet?")])

    def test_text_parts_are_joined_and_other_parts_ignored(self) -> None:
        content = [text_part("Look at this rash."), IMAGE, text_part("Is it measles?")]
        assert routing_text([user(content)]).text == "Look at this rash.\nIs it measles?"

    def test_white_space_around_is_dropped_and_kept_within(self) -> None:
        assert routing_text([user("  def f():\n    pass \n")]).text == "def f():\n    pass"

    def test_boilerplate_and_passages_are_not_classified(self) -> None:
        prompt = f"Use the context. Think step by step.\n\nContext: {JAVA}\n\nQuestion: What causes gout?"
        assert plain_routing_text(prompt).text == "What causes gout?"

    def test_a_question_that_says_little_is_read_with_its_passage(self) -> None:
        text = plain_routing_text("Summarise this.\n\nText: The kidney filters the blood.").text
        assert text == "Summarise this.\nThe kidney filters the blood."

    @pytest.mark.parametrize("place", ["{q}\n\n{n}", "{n}\n\n{q}", "{n}\n\n{q}\n\n{n}"])
    def test_a_question_is_found_in_pages_of_context(self, place: str) -> None:
        question = "What dose of paracetamol can a child of six years take per day?"
        assert plain_routing_text(place.format(q=question, n=LONG)).text == question


class TestConversation:
    def test_the_last_user_message_wins_over_everything_around_it(self) -> None:
        messages = [
            {"role": "system", "content": "You are a kind cardiologist."},
            user("What is a stroke volume?"),
            assistant("An answer about the heart."),
            user("Who painted the Mona Lisa?"),
            assistant("a prefix to continue"),
        ]
        assert routing_text(messages) == RoutingText("Who painted the Mona Lisa?", "What is a stroke volume?")

    @pytest.mark.parametrize("turn", ["continue", "go on", "why?", "thanks, next step please", "Shorter!"])
    def test_a_turn_that_says_nothing_is_known_as_such(self, turn: str) -> None:
        found = chat(JAVA, turn)
        assert found.says_nothing
        assert found.history == JAVA

    def test_the_first_turn_says_nothing_to_no_history(self) -> None:
        assert chat("ok") == RoutingText("ok", "", says_nothing=True)

    @pytest.mark.parametrize("turn", ["and in Python?", "what about arrays?", "does that sort it?"])
    def test_a_turn_that_points_back_is_read_with_the_turn_before(self, turn: str) -> None:
        found = chat(JAVA, turn)
        assert found.text == f"{turn}\n{JAVA}"
        assert not found.says_nothing

    def test_a_whole_question_stands_alone(self) -> None:
        assert chat(JAVA, "What is the capital of France?").text == "What is the capital of France?"

    def test_the_history_is_newest_first_and_leaves_out_what_says_nothing(self) -> None:
        found = chat("What is a monoid?", "thanks", JAVA, "go on", "continue")
        assert found.history == f"{JAVA}\nWhat is a monoid?"

    def test_a_long_history_keeps_its_newest_turns(self) -> None:
        found = chat(*[f"Question {n} about harbours: {LONG[:300]}" for n in range(9)], "continue")
        assert "Question 8" in found.history
        assert "Question 0" not in found.history

    def test_tool_calls_and_results_are_not_read(self) -> None:
        messages = [
            user("What is the weather in Oslo?"),
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
            {"role": "tool", "tool_call_id": "1", "content": '{"error": "NullPointerException at line 3"}'},
        ]
        assert routing_text(messages) == RoutingText("What is the weather in Oslo?")

    def test_a_user_message_of_images_alone_yields_to_the_user_message_before(self) -> None:
        assert routing_text([user("Describe the tumour."), user([IMAGE])]).text == "Describe the tumour."

    def test_without_a_user_message_the_last_one_with_text_counts(self) -> None:
        messages = [{"role": "system", "content": "one thing"}, assistant("two things")]
        assert routing_text([*messages, {"role": "tool", "content": None}]).text == "two things"


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
    assert routing_text(messages).text == ""


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
    found = routing_text(messages)
    assert found.text == found.text.strip()


@given(st.lists(st.text(max_size=3000), min_size=1, max_size=5))
def test_it_stays_within_the_encoder_s_window(turns: list[str]) -> None:
    found = chat(*turns)
    assert len(found.text) <= MAX_CHARS + 1
    assert len(found.history) <= HISTORY_CHARS


@given(st.text(max_size=200), st.lists(st.text(max_size=200), max_size=3))
def test_a_turn_that_is_a_whole_question_is_read_alone(last: str, before: list[str]) -> None:
    question = f"{last} photosynthesis chlorophyll sunlight glucose"
    assert chat(*before, question).text == chat(question).text


@pytest.mark.parametrize(
    "piece",
    ["<doc>", "</doc>", "Context:\n", "[1] \n", "A. b\n\n", "alpha beta? ", "a. ", "\n", "### Question "],
)
def test_megabytes_of_anything_are_read_like_their_two_ends(piece: str) -> None:
    text = plain_routing_text(piece * (2_000_000 // len(piece)) + "\n\nWhat causes gout in elderly men?").text
    assert "What causes gout in elderly men?" in text
