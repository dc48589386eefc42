import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.routing.gist import gist, is_sparse, leans, needs_passages, num_content_words

STORY = " ".join(
    [
        "My grandmother lives in a small village.",
        *["We talked about many things that day."] * 30,
        "Does her swollen ankle come from the new blood pressure tablets?",
        *["The weather was nice and the bus was late."] * 30,
        "Thank you for any advice.",
    ]
)


class TestContentWords:
    @pytest.mark.parametrize(
        "text",
        ["", "continue", "go on", "thanks, next step", "why?", "can you do the second one", "More!", "...?!"],
    )
    def test_the_small_change_of_a_conversation_is_no_content(self, text: str) -> None:
        assert num_content_words(text) == 0

    @pytest.mark.parametrize(
        ("text", "number"), [("photosynthesis", 1), ("derivative of sin x at zero", 4), ("Explain cosets", 1)]
    )
    def test_other_words_are(self, text: str, number: int) -> None:
        assert num_content_words(text) == number

    def test_numbers_count_only_where_there_is_nothing_else(self) -> None:
        assert num_content_words("2 + 2?") == 1
        assert num_content_words("what if it is 3 instead?") == 1
        assert num_content_words("integrate from 0 to 1 by parts, 5 digits") == 3

    @given(st.text())
    def test_it_never_exceeds_the_number_of_words(self, text: str) -> None:
        assert 0 <= num_content_words(text) <= max(len(text), 1)


class TestPassages:
    @pytest.mark.parametrize(
        "text", ["Summarise it.", "What does this drug do?", "Why is its 5% drop in 2019?"]
    )
    def test_what_points_to_a_text_needs_it(self, text: str) -> None:
        assert needs_passages(text)

    @pytest.mark.parametrize("text", ["what's 17% of 240", "2 + 2?", "and 3 * 19", "Do vaccines work?"])
    def test_a_calculation_and_a_whole_question_do_not(self, text: str) -> None:
        assert not needs_passages(text)


class TestLeaning:
    @pytest.mark.parametrize(
        "text",
        [
            "and in Python?",
            "what about gold?",
            "how about for children",
            "What if the sample is small?",
            "why is that symmetric?",
            "now the third integral",
            "continue",
            "Python?",
        ],
    )
    def test_a_turn_that_points_back_leans_on_what_came_before(self, text: str) -> None:
        assert leans(text)

    @pytest.mark.parametrize(
        "text",
        [
            "What is the capital of France?",
            "define mitosis briefly, biology class",
            "And what are the first symptoms of measles in a vaccinated adult?",
            "symptoms of measles",
        ],
    )
    def test_a_whole_question_does_not(self, text: str) -> None:
        assert not leans(text)

    @given(st.text())
    def test_only_sparse_text_leans(self, text: str) -> None:
        assert is_sparse(text) or not leans(text)


class TestGist:
    def test_short_text_stays_as_it_is(self) -> None:
        assert gist("  a  short\ntext ", 100) == "a  short\ntext"

    def test_of_a_long_story_head_tail_and_question_remain(self) -> None:
        short = gist(STORY, 400)
        assert short.startswith("My grandmother lives")
        assert "swollen ankle" in short
        assert short.endswith("Thank you for any advice.")

    def test_the_order_is_the_text_s_own(self) -> None:
        short = gist(STORY, 400)
        assert short.index("grandmother") < short.index("ankle") < short.index("advice")

    def test_a_single_endless_sentence_keeps_both_ends(self) -> None:
        short = gist("start " + "x" * 5000 + " end", 100)
        assert short.startswith("start")
        assert short.endswith("end")
        assert len(short) <= 100

    @given(st.text(max_size=3000), st.integers(min_value=20, max_value=500))
    def test_it_is_never_longer_than_asked_and_empty_only_for_nothing(self, text: str, budget: int) -> None:
        short = gist(text, budget)
        assert len(short) <= budget
        assert bool(short) == bool(text.strip())

    @given(st.text(max_size=3000), st.integers(min_value=20, max_value=500))
    def test_a_gist_is_its_own_gist(self, text: str, budget: int) -> None:
        short = gist(text, budget)
        assert gist(short, budget) == short
