import pytest

from modem.load.planned import Turn, body
from modem.load.scenario import Scenario

PLAIN = Scenario(duration_s=10, rate=1.0)
TURN = Turn("How old is the moon?", 40, stream=True)


def test_a_stream_asks_for_its_usage() -> None:
    assert body(TURN, [], PLAIN, "science") == {
        "model": "auto",
        "messages": [{"role": "user", "content": "How old is the moon?"}],
        "stream": True,
        "max_tokens": 40,
        "stream_options": {"include_usage": True},
    }


def test_a_whole_answer_has_no_stream_options() -> None:
    made = body(Turn("Hi", None, stream=False), [], PLAIN, "other")
    assert made["stream"] is False
    assert "stream_options" not in made
    assert "max_tokens" not in made


def test_what_was_said_before_comes_first_and_is_not_changed() -> None:
    history = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    messages = body(TURN, history, PLAIN, "science")["messages"]
    assert [message["content"] for message in messages] == ["a", "b", "How old is the moon?"]
    assert len(history) == 2


def test_a_pinned_request_names_its_domain() -> None:
    pinned = PLAIN.model_copy(update={"pinned": True})
    assert body(TURN, [], pinned, "science")["model"] == "science"


@pytest.mark.parametrize(("max_tokens", "least"), [(40, 40), (None, None)])
def test_exact_lengths_are_asked_for_in_the_engines_words(max_tokens: int | None, least: int | None) -> None:
    exact = PLAIN.model_copy(update={"exact_output": True})
    made = body(Turn("Hi", max_tokens, stream=False), [], exact, "other")
    assert made.get("min_tokens") == least
    assert made.get("ignore_eos") == (True if least else None)
