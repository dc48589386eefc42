"""Pydantic's errors become problems that say where, what and how."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from modem.config import Config
from modem.serve_config.problems import Path, Problem, render, suggest, validate


def _even(text: str) -> str:
    if len(text) % 2:
        raise PydanticCustomError("odd", "Of odd length.", {"remedy": "Add a letter."})
    return text


class Leaf(Config):
    number: int = Field(default=1, ge=1, le=9)
    share: float = Field(default=0.5, gt=0, lt=1)
    flag: bool = False
    choice: Literal["red", "green", 3] = "red"
    word: Annotated[str, AfterValidator(_even)] = ""
    code: str = Field(default="a", pattern="^[a-z]+$")


class Bag(Config):
    colour: str


class Tree(Config):
    leaf: Leaf = Leaf()
    leaves: Sequence[Leaf] = ()
    pairs: tuple[int, ...] = ()
    named: Mapping[str, Leaf] = Field(default_factory=dict)
    even_keys: Mapping[Annotated[str, AfterValidator(_even)], Any] = Field(default_factory=dict)
    either: int | Literal["auto"] | None = None
    text_or_bag: str | Bag | None = None
    low: int = 0
    high: int = 10

    @model_validator(mode="after")
    def _ordered(self) -> "Tree":
        if self.low > self.high:
            raise ValueError("low is above high")
        if self.leaf.number == 9:
            raise ValueError("leaf.number must not be nine")
        if self.high == 13:
            raise ValueError("bad luck")
        return self


def problems(raw: object) -> list[Problem]:
    tree, found = validate(Tree, raw, "f.yaml", ("top", 0))
    assert (tree is None) == bool(found)
    return found


def only(raw: object) -> Problem:
    (problem,) = problems(raw)
    assert problem.file == "f.yaml"
    return problem


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "(the whole file)"),
        (("a",), "a"),
        (("a", 0), "a[0]"),
        (("a", 0, "b", "c"), "a[0].b.c"),
        ((0, 1), "[0][1]"),
    ],
)
def test_a_path_reads_as_people_write_it(path: Path, text: str) -> None:
    assert render(path) == text


@pytest.mark.parametrize(
    ("name", "known", "says"),
    [
        ("targt", ["target", "other"], "Did you mean 'target'?"),
        ("zzz", ["a", "b"], "Use one of: a, b."),
        ("zzz", [], "Remove it."),
        ("zzz", [f"key{i}" for i in range(50)], "Remove it, or look up"),
    ],
)
def test_a_name_that_is_not_known_gets_the_nearest_or_the_choice(
    name: str, known: list[str], says: str
) -> None:
    assert suggest(name, known).startswith(says)


def test_what_is_right_is_returned() -> None:
    tree, found = validate(Tree, {"leaf": {"number": 3}, "pairs": [1, 2]}, "f", ())
    assert found == []
    assert tree is not None
    assert tree.leaf.number == 3
    assert tree.pairs == (1, 2)


@pytest.mark.parametrize(
    ("raw", "path", "value", "remedy"),
    [
        ({"leaf": {"number": "3"}}, "leaf.number", "3", "Write a whole number, without quotes."),
        ({"leaf": {"number": 1.5}}, "leaf.number", 1.5, "Write a whole number, without quotes."),
        ({"leaf": {"number": True}}, "leaf.number", True, "Write a whole number, without quotes."),
        ({"leaf": {"number": None}}, "leaf.number", None, "Write a whole number, without quotes."),
        ({"leaf": {"number": 0}}, "leaf.number", 0, "Write a value of at least 1."),
        ({"leaf": {"number": 10}}, "leaf.number", 10, "Write a value of at most 9."),
        ({"leaf": {"share": 0}}, "leaf.share", 0, "Write a value of more than 0.0."),
        ({"leaf": {"share": 1}}, "leaf.share", 1, "Write a value of less than 1.0."),
        ({"leaf": {"share": "x"}}, "leaf.share", "x", "Write a number, without quotes."),
        ({"leaf": {"flag": "yes"}}, "leaf.flag", "yes", "Write true or false."),
        ({"leaf": {"choice": "grean"}}, "leaf.choice", "grean", "Did you mean 'green'?"),
        ({"leaf": {"choice": "x"}}, "leaf.choice", "x", "Use one of: red, green, 3."),
        ({"leaf": {"word": "odd"}}, "leaf.word", "odd", "Add a letter."),
        ({"leaf": {"code": "A"}}, "leaf.code", "A", "Write a text that matches ^[a-z]+$."),
        ({"leaf": {"code": 1}}, "leaf.code", 1, "Write a text; put it in quotes if it looks like a number."),
        ({"leaf": 1}, "leaf", 1, "Write a mapping: lines of 'key: value'."),
        ({"leaves": {}}, "leaves", {}, "Write a list: lines that begin with '- '."),
        ({"pairs": "1"}, "pairs", "1", "Write a list: lines that begin with '- '."),
        ({"named": []}, "named", [], "Write a mapping: lines of 'key: value'."),
        ({"leaves": [{}, {"numbr": 2}]}, "leaves[1].numbr", 2, "Did you mean 'number'?"),
        ({"named": {"a": {"flg": True}}}, "named.a.flg", True, "Did you mean 'flag'?"),
        ({"text_or_bag": {"color": "x"}}, "text_or_bag.color", "x", "Did you mean 'colour'?"),
        ({"even_keys": {"odd": 1}}, "even_keys.odd", 1, "Add a letter."),
        ({"low": 11}, "low", 11, "Change it so that this holds."),
        ({"leaf": {"number": 9}}, "leaf.number", 9, "Change it so that this holds."),
    ],
)
def test_each_kind_of_error_has_its_place_and_remedy(
    raw: object, path: str, value: object, remedy: str
) -> None:
    problem = next(problem for problem in problems(raw) if problem.path == f"top[0].{path}")
    assert problem.value == value
    assert remedy in problem.remedy


def test_a_condition_on_the_whole_that_names_no_key_stands_at_the_whole() -> None:
    problem = only({"high": 13})
    assert (problem.path, problem.message) == ("top[0]", "bad luck")


def test_a_missing_key_is_named_under_its_parent() -> None:
    missing = [problem for problem in problems({"text_or_bag": {}}) if problem.path.endswith("colour")]
    assert [problem.path for problem in missing] == ["top[0].text_or_bag.colour"]
    assert missing[0].value is None
    assert missing[0].remedy == "Add 'colour: ...'."


def test_the_branches_of_a_union_are_one_problem() -> None:
    problem = only({"either": "atuo"})
    assert problem.path == "top[0].either"
    assert " / " in problem.message
    assert problem.remedy == "Write a whole number, without quotes. Or: Did you mean 'auto'?"


@pytest.mark.parametrize("raw", [None, 1, "text", [], True])
def test_what_is_no_mapping_is_said_at_its_own_place(raw: object) -> None:
    problem = only(raw)
    assert problem.path == "top[0]"
    assert problem.remedy == "Write a mapping: lines of 'key: value'."


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "(not set)"), ("a", '"a"'), (1.5, "1.5"), ({"a": [1]}, '{"a": [1]}'), ("é", '"é"')],
)
def test_values_are_shown_as_they_are_written(value: object, shown: str) -> None:
    assert Problem("f", "p", value, "m", "r").shown == shown


def test_long_values_are_cut() -> None:
    assert len(Problem("f", "p", "x" * 500, "m", "r").shown) == 80
