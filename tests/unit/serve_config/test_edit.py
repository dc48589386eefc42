import difflib
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.serve_config.check import check_text
from modem.serve_config.edit import set_numbers
from modem.serve_config.problems import Path as KeyPath

ROOT = Path(__file__).parents[3]
FILES = ["serve_config.yaml", "serve_config.cpu.yaml"]
WHY = "chosen by a test"


def shipped(file: str) -> tuple[str, KeyPath]:
    """A shipped file's text, and where its routing stands."""
    text = (ROOT / file).read_bytes().decode()
    doc, problems = check_text(text, file)
    assert doc is not None
    assert problems == []
    return text, (*doc.gateway_path, "routing")


def changed_lines(before: str, after: str) -> list[str]:
    found = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in found if line[0] in "+-"]


@pytest.mark.parametrize("file", FILES)
def test_a_number_that_is_there_changes_one_line_of_a_shipped_file(file: str) -> None:
    text, path = shipped(file)
    changed = set_numbers(text, path, {"threshold": 0.35}, WHY)
    assert changed == text.replace("            threshold: 0.5\n", "            threshold: 0.35\n")
    assert changed != text


@pytest.mark.parametrize("file", FILES)
def test_a_number_that_is_not_gets_a_line_with_its_reason(file: str) -> None:
    text, path = shipped(file)
    without = "".join(
        line for line in text.splitlines(keepends=True) if not line.strip().startswith("switch_margin:")
    )
    changed = set_numbers(without, path, {"threshold": 0.4, "switch_margin": 0.2}, WHY)
    assert changed_lines(without, changed) == [
        f"+             # {WHY}\n",
        "+             switch_margin: 0.2\n",
        "-             threshold: 0.5\n",
        "+             threshold: 0.4\n",
    ]
    doc, problems = check_text(changed, file)
    assert problems == []
    assert doc is not None
    assert doc.gateway is not None
    assert (doc.gateway.routing.threshold, doc.gateway.routing.switch_margin) == (0.4, 0.2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a:\n  b: {x: 1, y: 2}  # why\n", "a:\n  b: {x: 0.25, y: 2}  # why\n"),
        ("a:\n  b: {y: 2}\n", "a:\n  b: {x: 0.25, y: 2}\n"),
        ("a:\n  # first\n  c: 1\n", "a:\n  b:\n    # why\n    x: 0.25\n  # first\n  c: 1\n"),
        ("a: {c: 1}\n", "a: {b: {x: 0.25}, c: 1}\n"),
        ('a:\n  b:\n    "x": 1.50   # kept\n', 'a:\n  b:\n    "x": 0.25   # kept\n'),
        ("a:\n  b:\n    x: 1\r\n    z: 1\r\n", "a:\n  b:\n    x: 0.25\r\n    z: 1\r\n"),
        (
            "a:\r\n  b:  # note\r\n    y: 1\r\n",
            "a:\r\n  b:  # note\r\n    # why\r\n    x: 0.25\r\n    y: 1\r\n",
        ),
        (
            "a:\n  b:\n      # deep\n      y: 1",
            "a:\n  b:\n      # why\n      x: 0.25\n      # deep\n      y: 1",
        ),
        ("é: ü\na:\n  b:\n    x: 1 # ß\n", "é: ü\na:\n  b:\n    x: 0.25 # ß\n"),
    ],
)
def test_what_it_does_to_small_files(before: str, after: str) -> None:
    assert set_numbers(before, ("a", "b"), {"x": 0.25}, "why") == after


def test_a_list_is_gone_through_by_position() -> None:
    changed = set_numbers("- {b: {x: 1}}\n- b: {x: 1}\n", (1, "b"), {"x": 2}, WHY)
    assert changed == "- {b: {x: 1}}\n- b: {x: 2}\n"


def test_a_byte_order_mark_stays() -> None:
    assert set_numbers("\ufeffa:\n  x: 1\n", ("a",), {"x": 2}, WHY) == "\ufeffa:\n  x: 2\n"


@pytest.mark.parametrize(
    "text",
    [
        "n: &n 1\na:\n  b:\n    x: *n\n",  # the value stands elsewhere, for others as well
        "a:\n  b:\n    x: &n 1\n  c: *n\n",  # another takes it over
        "r: &r {x: 1}\na:\n  b: *r\n",
        "r: &r {y: 1}\na:\n  b: *r\n",
        "r: &r\n  y: 1\na:\n  b: *r\n",
        "a:\n  b: {}\n",
        "a:\n  b:\n",
        "a:\n  b: [1]\n",
        "a:\n  b: {x: {y: 1}, x: 2}\n",
        "c: 1\n",
        "a: 1\n",
        "a: [\n",
        "",
    ],
)
def test_what_cannot_be_changed_alone_is_left_to_people(text: str) -> None:
    with pytest.raises(ConfigError, match=r"a\.b cannot be changed in place; write there by hand: x: 0\.25"):
        set_numbers(text, ("a", "b"), {"x": 0.25}, WHY)


def test_a_key_that_a_merge_brings_is_overridden_here_only() -> None:
    text = "r: &r {x: 1}\na:\n  b:\n    <<: *r\n    y: 1\n"
    changed = yaml.safe_load(set_numbers(text, ("a", "b"), {"x": 0.25}, WHY))
    assert changed == {"r": {"x": 1}, "a": {"b": {"x": 0.25, "y": 1}}}


NUMBERS = st.floats(0, 1).map(lambda number: round(number, 3))
KEYS = st.sampled_from(["threshold", "margin", "switch_margin"])


@settings(max_examples=10, deadline=None)  # each reads a long file three times
@given(st.sampled_from(FILES), st.dictionaries(KEYS, NUMBERS, min_size=1))
def test_any_numbers_can_be_set_and_nothing_else_is_touched(file: str, numbers: dict[str, float]) -> None:
    text, path = shipped(file)
    changed = set_numbers(text, path, numbers, WHY)
    old = text.splitlines()
    kept = [line for line in old if line.split(":")[0].strip() not in numbers]
    assert [line for line in changed.splitlines() if line in set(kept)] == kept
    doc, problems = check_text(changed, file)
    assert problems == []
    assert doc is not None
    assert doc.gateway is not None
    for key, number in numbers.items():
        assert getattr(doc.gateway.routing, key) == number
    assert set_numbers(changed, path, numbers, WHY) == changed
