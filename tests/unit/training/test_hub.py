import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from modem.errors import ConfigError
from modem.training.data import Prompt
from modem.training.hub import load
from modem.training.sources import Source

pytest.importorskip("datasets")


def source(hub: Mapping[str, Any] | None) -> Source:
    return Source.model_validate(
        {"name": "exam", "domains": ["math"], "home": "h", "licence": "MIT", "use": True, "hub": hub}
    )


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of a hub id: `datasets` loads both."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "exam"
    folder.mkdir()
    return folder


def rows(folder: Path, content: Sequence[Mapping[str, Any]], split: str = "train") -> str:
    lines = "\n".join(json.dumps(row) for row in content)
    (folder / f"{split}.jsonl").write_text(lines + "\n", encoding="utf-8")
    return str(folder)


def test_rows_become_prompts(dataset: Path) -> None:
    where = rows(dataset, [{"q": "2 + 2?", "extra": 1}, {"q": " ", "extra": 2}, {"q": "3 + 3?", "extra": 3}])
    found = load(source({"id": where, "prompt_field": "q", "domain": "math"}))
    assert found == [
        Prompt("2 + 2?", "math", "exam", f"{where}:train:0"),
        Prompt("3 + 3?", "math", "exam", f"{where}:train:2"),
    ]


def test_a_prompt_may_be_made_of_several_fields(dataset: Path) -> None:
    where = rows(dataset, [{"a": "Tom has 3 figs. ", "b": "How many?"}, {"a": None, "b": "Why?"}])
    hub = {"id": where, "prompt_field": ("a", "b"), "prefix": "Answer: ", "domain": "math"}
    assert [p.text for p in load(source(hub))] == ["Answer: Tom has 3 figs. How many?", "Answer: Why?"]


def test_the_domain_may_be_told_by_a_field(dataset: Path) -> None:
    where = rows(dataset, [{"q": str(i), "s": s} for i, s in enumerate(["algebra", "law", "virology"])])
    hub = {"id": where, "prompt_field": "q", "domain_field": "s", "domain_map": {"algebra": "math"}}
    assert [(p.text, p.domain) for p in load(source(hub))] == [("0", "math")]
    assert [p.domain for p in load(source({**hub, "domain": "other"}))] == ["math", "other", "other"]


def test_rows_may_be_left_out_by_a_field(dataset: Path) -> None:
    where = rows(dataset, [{"q": "a", "src": "theirs-1"}, {"q": "b", "src": "ours"}])
    hub = {"id": where, "prompt_field": "q", "domain": "math", "skip_field": "src", "skip_prefix": "theirs"}
    assert [p.text for p in load(source(hub))] == ["b"]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"o": ["x", "y"]}, "o"),
        ({"o": {"text": ["x", "y"], "label": ["A", "B"]}}, "o"),
        ({"a": "x", "b": "y"}, ("a", "b")),
    ],
)
def test_answers_come_in_three_shapes(dataset: Path, row: dict[str, Any], field: Any) -> None:
    where = rows(dataset, [{"q": "which?", **row}])
    hub = {"id": where, "prompt_field": "q", "domain": "math", "choices_field": field}
    assert load(source(hub))[0].choices == ("x", "y")


def test_a_split_can_be_chosen(dataset: Path) -> None:
    rows(dataset, [{"q": "a"}])
    where = rows(dataset, [{"q": "b"}], "test")
    hub = {"id": where, "prompt_field": "q", "domain": "math", "split": "test"}
    assert [p.text for p in load(source(hub))] == ["b"]


def test_a_field_that_is_not_there_is_named(dataset: Path) -> None:
    where = rows(dataset, [{"q": "a"}])
    with pytest.raises(ConfigError, match=r"exam: .* has no field 'question'"):
        load(source({"id": where, "prompt_field": "question", "domain": "math"}))


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exam: cannot be loaded from"):
        load(source({"id": str(tmp_path / "none"), "prompt_field": "q", "domain": "math"}))


def test_a_source_that_is_not_on_the_hub_is_refused() -> None:
    with pytest.raises(ConfigError, match="exam: is declared without a place on the hub"):
        load(source(None))


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"pip install 'modem\[train\]', or give a folder with --data"):
        load(source({"id": "o/n", "prompt_field": "q", "domain": "math"}))
