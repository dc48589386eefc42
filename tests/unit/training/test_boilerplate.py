import json
from pathlib import Path

import pytest

from modem.errors import ConfigError
from modem.routing.boilerplate import read_lexicon
from modem.training.boilerplate import (
    COMMON,
    CONTEXT,
    PROMPT,
    Template,
    content_sentences,
    fit,
    prose,
    read_templates,
    write_lexicon,
)

OURS = Path(__file__).parents[3] / "training" / "boilerplate"

HOW = [
    f"Please {verb} the {thing} {manner}."
    for verb in ("answer", "read", "check")
    for thing in ("question", "text")
    for manner in ("carefully", "in short", "step by step", "politely", "twice", "first", "now")
]
WHAT = [
    f"Why does the {noun}{i} {doing}?"
    for i, noun in enumerate(("gear", "cell", "prince", "loop") * 10)
    for doing in ("turn in the valley", "fail in the winter")
]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_templates_are_read(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", {"kind": "chat", "text": f"Hi! {PROMPT}"})
    write(tmp_path / "a.jsonl", {"kind": "rag", "text": f"{CONTEXT}\n{PROMPT}"})
    assert [one.kind for one in read_templates(tmp_path)] == ["rag", "chat"]
    assert read_templates(tmp_path / "b.jsonl") == [Template("chat", f"Hi! {PROMPT}")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"kind": "chat", "text": "no place"}, "must hold {prompt} once"),
        ({"kind": "chat", "text": PROMPT * 2}, "must hold {prompt} once"),
        ({"kind": "chat", "text": PROMPT + CONTEXT * 2}, "and {context} once at most"),
        ({"kind": "chat"}, "must be strings"),
        ({"kind": 1, "text": PROMPT}, "must be strings"),
    ],
)
def test_a_wrong_template_is_named_with_its_line(tmp_path: Path, row: object, message: str) -> None:
    file = write(tmp_path / "t.jsonl", {"kind": "chat", "text": PROMPT}, row)
    with pytest.raises(ConfigError, match=r"t\.jsonl:2: ") as caught:
        read_templates(file)
    assert message in str(caught.value)


def test_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no templates"):
        read_templates(tmp_path)


def test_our_own_are_many_and_some_are_kept_back() -> None:
    templates = read_templates(OURS)
    assert len(templates) > 600
    assert len({one.text for one in templates}) == len(templates)
    kept_back = [one for one in templates if one.held_out]
    assert 60 < len(kept_back) < 140
    assert COMMON not in {one.kind for one in kept_back}
    assert {one.kind for one in templates} >= {
        "chat",
        "data",
        "exam",
        "persona",
        "reasoning",
        "retrieval",
        "rules",
    }


def test_only_prose_is_learnt_from() -> None:
    hello = Template(COMMON, f"Hello to you all. {PROMPT}")
    record = Template("data", f"here is one record {PROMPT}")
    assert prose([hello, record]) == ["Hello to you all."]


def test_sentences_have_three_words_and_no_placeholder() -> None:
    template = Template("chat", f"Hello there, friend! Well: {PROMPT}\n\nThank you very much.\n{CONTEXT}")
    assert template.sentences() == ["Hello there, friend!", "Thank you very much."]
    assert content_sentences("One. Two words. Now three words!") == ["Now three words!"]


def test_a_lexicon_tells_both_kinds_apart(tmp_path: Path) -> None:
    fitted = fit(HOW, WHAT)
    assert fitted.found > 0.8
    assert fitted.false <= 0.1
    assert fitted.lexicon.is_boilerplate("Please check the text carefully.")
    assert not fitted.lexicon.is_boilerplate("Why does the zebra sleep in the meadow?")
    write_lexicon(fitted.lexicon, tmp_path / "lexicon.json")
    assert read_lexicon(tmp_path / "lexicon.json") == fitted.lexicon


def test_the_same_sentences_give_the_same_lexicon() -> None:
    assert fit(HOW, WHAT).lexicon == fit(HOW, WHAT).lexicon


def test_too_few_sentences_are_refused() -> None:
    with pytest.raises(ConfigError, match="more templates and prompts"):
        fit(HOW[:5], WHAT)
