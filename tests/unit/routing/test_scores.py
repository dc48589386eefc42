import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from modem.routing.scores import MAX_CHARS_PER_TOKEN, readable, to_scores

ABC = ("a", "b", "c")
LOGITS = arrays.arrays(np.float32, (2, 3), elements=st.floats(-1e4, 1e4, width=32))


@given(LOGITS, st.floats(0.05, 20))
def test_any_logits_make_a_distribution_in_the_domains_order(logits: np.ndarray, temperature: float) -> None:
    for row, scores in zip(logits, to_scores(logits, temperature, ABC, ["x", "y"]), strict=True):
        assert tuple(scores.scores) == ABC
        assert sum(scores.scores.values()) == pytest.approx(1)
        assert scores.scores[ABC[int(row.argmax())]] == max(scores.scores.values())


def test_the_temperature_divides_the_logits() -> None:
    logits = np.array([[2.0, 0.0, 0.0]], dtype=np.float32)
    plain, cool, hot = (to_scores(logits, t, ABC, ["x"])[0].scores["a"] for t in (1.0, 0.5, 2.0))
    assert plain == pytest.approx(np.exp(2) / (np.exp(2) + 2))
    assert cool == pytest.approx(np.exp(4) / (np.exp(4) + 2))
    assert hot == pytest.approx(np.exp(1) / (np.exp(1) + 2))


@pytest.mark.parametrize("blank", ["", " ", "\n\t\u00a0"])
def test_a_blank_text_says_nothing_and_leaves_its_neighbour_alone(blank: str) -> None:
    logits = np.array([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]], dtype=np.float32)
    nothing, something = to_scores(logits, 1.0, ABC, [blank, "words"])
    assert list(nothing.scores.values()) == pytest.approx([1 / 3] * 3)
    assert something.top()[0] == "b"


def test_short_unicode_is_read_as_it_is() -> None:
    assert readable("π ≈ 3.14, 数学 🎲", 8) == "π ≈ 3.14, 数学 🎲"


@given(st.text(st.characters()), st.integers(1, 8))
def test_whatever_json_carries_is_readable(text: str, max_tokens: int) -> None:
    found = readable(text, max_tokens)
    assert len(found) == min(len(text), max_tokens * MAX_CHARS_PER_TOKEN)
    found.encode("utf-8")


def test_a_lone_surrogate_is_replaced() -> None:
    assert readable("a\ud800b", 8) == "a?b"
