import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.routing.instructions import without_instructions
from modem.routing.parts import Parts
from modem.routing.passages import take_apart

STARS = "Stars fuse hydrogen in their cores. The Sun does so for ten billion years."
CELLS = "The cell wall is rigid. It holds cellulose."
ASKED = "Who signed the treaty of Versailles for France?"

WRAPPED = {
    "tags": f"<context>{STARS}</context>\n{ASKED}",
    "tags of several documents": f"<doc id='1'>{STARS}</doc><doc id='2'>{CELLS}</doc> {ASKED}",
    "both in tags": f"Use this.\n<documents>{STARS}</documents>\n<question>{ASKED}</question>",
    "labels": f"Context: {STARS}\n\nQuestion: {ASKED}\nAnswer:",
    "headings": f"### Context\n{STARS}\n\n### Question\n{ASKED}\n\n### Answer",
    "bold labels": f"**Documents:**\n{STARS}\n\n**User question:** {ASKED}",
    "numbered": f"[1] {STARS}\n[2] {CELLS}\n\nQuestion: {ASKED}",
    "numbered, no label": f"[1] {STARS}\n[2] {CELLS}\n\n{ASKED}",
    "label of the passage alone": f"Background:\n{STARS}\n\n{ASKED}",
    "question first": f"Question: {ASKED}\n\nSource 1: {STARS}\nSource 2: {CELLS}",
}


@pytest.mark.parametrize("prompt", WRAPPED.values(), ids=WRAPPED)
def test_a_question_is_told_from_the_passages_around_it(prompt: str) -> None:
    parts = take_apart(prompt)
    assert parts.question == ASKED
    assert "Stars fuse hydrogen" in parts.passages


@pytest.mark.parametrize(
    "instruction",
    [
        "Think step by step.",
        "Answer the following multiple-choice question.\n",
        "You are a helpful assistant. ",
        "Please read the question carefully and give the final answer in a single letter.\n\n",
        "Solve the following problem step by step, explaining each step clearly: ",
        "Let's think about this step by step. ",
    ],
)
def test_sentences_that_only_say_how_to_answer_are_dropped(instruction: str) -> None:
    assert take_apart(f"{instruction} {ASKED}").question == ASKED
    assert take_apart(f"{ASKED} {instruction}").question.strip() == ASKED


def test_an_instruction_with_a_topic_of_its_own_stays() -> None:
    prompt = "You are an expert in group theory. Is it abelian?"
    assert take_apart(prompt).question == prompt


@pytest.mark.parametrize(
    "role",
    [
        "You are Ada, a patient assistant who talks with people everywhere. ",
        "You represent a company that offers a general assistant.\n",
        "Act as a friendly chatbot. ",
    ],
)
def test_sentences_on_who_answers_are_dropped(role: str) -> None:
    assert take_apart(role + ASKED).question == ASKED


@pytest.mark.parametrize("label", ["Request", "Question", "### Task", "User"])
def test_of_several_questions_under_one_label_the_last_is_asked(label: str) -> None:
    shot = f"{label}: {{}}\nReply: Something.\n\n"
    prompt = shot.format("What is the integral of x?") + shot.format(STARS) + f"{label}: {ASKED}\nReply:"
    assert take_apart(prompt).question == ASKED


def test_an_instruction_and_its_input_are_both_asked() -> None:
    prompt = "### Instruction:\nTranslate into French.\n\n### Input:\nThe cat sleeps.\n\n### Response:"
    assert take_apart(prompt).question == "Translate into French.\nThe cat sleeps."


def test_instructions_alone_are_the_question() -> None:
    assert take_apart("Please think step by step.") == Parts("Please think step by step.")


def test_answer_options_stay_with_their_question() -> None:
    prompt = "Which gas do plants take up?\nA. Oxygen\nB. Carbon dioxide\nC. Nitrogen"
    assert take_apart(prompt).question == prompt


def test_an_instruction_template_is_about_its_instruction() -> None:
    prompt = "### Instruction:\nReverse a linked list in C.\n\n### Response:"
    assert take_apart(prompt).question == "Reverse a linked list in C."


def test_a_word_at_the_start_of_a_line_is_no_label() -> None:
    prompt = "text\nmining of\nsources\nin R"
    assert take_apart(prompt) == Parts(prompt)


def test_code_with_tags_and_colons_stays_whole() -> None:
    prompt = "Why does this fail?\n<div class='x'>\nfor i in y:\n    print(i)\n</div>"
    assert take_apart(prompt) == Parts(prompt)


class TestLongPrompts:
    NOISE = "The harbour was busy in those years. Ships came and went. " * 40

    @pytest.mark.parametrize("place", ["{q}\n\n{n}", "{n}\n\n{q}", "{n}\n\n{q}\n\n{n}"])
    def test_the_block_that_asks_is_found_wherever_it_is(self, place: str) -> None:
        question = "What dose of paracetamol can a child of six years take per day?"
        parts = take_apart(place.format(q=question, n=self.NOISE.strip()))
        assert parts.question == question
        assert "harbour" in parts.passages

    def test_its_options_come_with_it(self) -> None:
        question = "Which of these is prime?\n\nA. 21\n\nB. 23\n\nC. 25"
        parts = take_apart(f"{self.NOISE}\n\n{question}")
        assert parts.question.split() == question.split()

    def test_without_any_question_the_text_stays_whole(self) -> None:
        story = "\n\n".join(["The harbour was busy in those years, and ships came and went."] * 40)
        assert take_apart(story) == Parts(story)

    def test_short_prompts_of_several_paragraphs_stay_whole(self) -> None:
        prompt = "I have a rash.\n\nIt itches at night.\n\nWhat can I do?"
        assert take_apart(prompt) == Parts(prompt)


@given(st.text(max_size=2000))
def test_whatever_comes_a_question_remains_and_nothing_is_invented(prompt: str) -> None:
    parts = take_apart(prompt)
    assert bool(parts.question) == bool(prompt.strip())
    assert set(parts.question + parts.passages) <= {*prompt, "\n"}


@given(
    st.lists(
        st.sampled_from(
            [
                "Context:",
                "### Question",
                "<context>",
                "</context>",
                "[1]",
                "Answer:",
                "What is it?",
                "\n",
                "a b.",
            ]
        ),
        max_size=20,
    )
)
def test_no_mix_of_marks_loses_the_question(pieces: list[str]) -> None:
    prompt = "\n".join(pieces)
    assert bool(take_apart(prompt).question) == bool(prompt.strip())


@given(st.text(max_size=500))
def test_dropping_instructions_twice_changes_nothing_more(text: str) -> None:
    once = without_instructions(text)
    assert without_instructions(once).strip() == once.strip()
