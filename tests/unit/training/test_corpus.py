import json
from pathlib import Path
from typing import Any

import pytest

from modem.errors import ConfigError
from modem.evaluation.sets import COMMITTED
from modem.training.corpus import OTHER, Corpus, gather
from modem.training.recipe import Recipe
from tests.unit.training.prompts import SOURCES, Row, corpus, rows, write

OWN = SOURCES + "  - {name: ours, domains: [math, other], home: h, licence: MIT, use: true, path: own}\n"


def gathered(
    folder: Path, content: list[Row] | None = None, sources: str = SOURCES, **changes: Any
) -> Corpus:
    data, declaration = corpus(folder, content, sources)
    settings = {"name": "tiny", "sources": declaration.name, **changes}
    return gather(Recipe.model_validate(settings), folder, data)


def texts(found: Corpus) -> set[str]:
    return {prompt.text for prompt in (*found.training, *found.held_out)}


def test_prompts_are_split_and_nothing_is_lost(tmp_path: Path) -> None:
    found = gathered(tmp_path)
    assert found.domains() == ("coding", "math", "other")
    assert found.held_out
    assert len(found.training) > 5 * len(found.held_out)
    assert texts(found) <= {text for text, _, _ in rows()}
    assert len(texts(found)) + len(found.deduplicated.dropped) == len(rows())


def test_caps_hold(tmp_path: Path) -> None:
    found = gathered(tmp_path, sample={"per_domain": 10, "per_source": 10})
    assert len(texts(found)) == 30


def test_each_network_of_a_soup_has_its_own_draw(tmp_path: Path) -> None:
    found = gathered(
        tmp_path, sample={"per_domain": 30, "per_source": 30}, soup=3, linear_probe=True, kind="compact"
    )
    draws = [{prompt.text for prompt in draw} for draw in (found.training, *found.further)]
    assert len(draws) == 3
    assert draws[0] != draws[1] != draws[2]
    assert {prompt.text for prompt in found.learnt()} == draws[0] | draws[1] | draws[2]
    assert len(found.learnt()) == len(draws[0] | draws[1] | draws[2])
    assert not {prompt.text for prompt in found.held_out} & {prompt.text for prompt in found.learnt()}
    alone = gathered(
        tmp_path, sample={"per_domain": 30, "per_source": 30}, soup=1, linear_probe=True, kind="compact"
    )
    assert alone.training == found.training
    assert alone.learnt() == alone.training


def test_own_prompts_come_from_beside_the_declaration_and_win_over_repeats(tmp_path: Path) -> None:
    write(tmp_path / "own" / "chat.jsonl", [("Tell me a story about 2 CATS", "other", "ours")])
    found = gathered(tmp_path, sources=OWN)
    stories = [p for p in (*found.training, *found.held_out) if p.text.casefold().endswith("about 2 cats")]
    assert [p.source for p in stories] == ["ours"]
    assert "own/chat.jsonl:1" in found.deduplicated.dropped[0].because_of


def test_validation_sets_are_read_and_never_learnt(tmp_path: Path) -> None:
    write(tmp_path / "prompts" / "validation" / "exam.jsonl", rows(3, "elsewhere"))
    found = gathered(tmp_path)
    assert {name: len(prompts) for name, prompts in found.validation.items()} == {"exam": 9}
    assert not texts(found) & {text for text, _, _ in rows(3)}
    assert list(found.measured_on()) == ["held_out", "exam"]


def test_a_validation_set_needs_domains(tmp_path: Path) -> None:
    file = tmp_path / "prompts" / "validation" / "exam.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('{"prompt": "hi"}\n')
    with pytest.raises(ConfigError, match=r"exam\.jsonl:1: domain"):
        gathered(tmp_path)


def test_sets_that_the_recipe_names_are_never_learnt(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "a.jsonl", rows(2, "elsewhere"))
    found = gathered(tmp_path, evaluation=("mine", "mine/a.jsonl"))
    assert not texts(found) & {text for text, _, _ in rows(2)}
    assert "exact in a" in {f"{drop.reason} in {drop.of}" for drop in found.deduplicated.dropped}
    with pytest.raises(ConfigError, match=r"evaluation: .*yours.* no such file"):
        gathered(tmp_path, evaluation=("yours",))


def test_the_projects_own_sets_are_never_learnt(tmp_path: Path) -> None:
    files = sorted(COMMITTED.glob("*.jsonl"))
    assert files
    line = json.loads(files[0].read_text(encoding="utf-8").splitlines()[0])
    text = line.get("prompt") or next(m["content"] for m in line["messages"] if m["role"] == "user")
    found = gathered(tmp_path, [*rows(), (text, "other", "drills")])
    assert text not in texts(found)


@pytest.mark.parametrize("text", ["asdkjh qwlekj zxmcn", "Wie berechnet man das Volumen einer Kugel?"])
def test_what_no_expert_is_asked_is_learnt_as_other(tmp_path: Path, text: str) -> None:
    found = gathered(tmp_path, [*rows(), (text, "math", "drills")])
    (prompt,) = (p for p in (*found.training, *found.held_out) if p.text == text)
    assert prompt.domain == OTHER


def test_a_source_without_prompts_is_named(tmp_path: Path) -> None:
    write(tmp_path / "own" / "chat.jsonl", [("hi", "other", "ours")])
    sources = OWN + "  - {name: gone, domains: [math], home: h, licence: MIT, use: true}\n"
    assert gathered(tmp_path, sources=sources).missing == ["gone"]


def test_too_little_to_learn_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"two domains or more; there are \['math'\]"):
        gathered(tmp_path, [row for row in rows() if row[1] == "math"])
    with pytest.raises(ConfigError, match="needs held-out prompts"):
        gathered(tmp_path, [("what is pi?", "math", "drills"), ("tell me a joke", "other", "drills")])


def test_without_a_folder_prompts_come_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for name, content in (("train", rows()), ("exam", rows(2)), ("final", rows(4))):
        write(tmp_path / name / "train.jsonl", content)

    def entry(name: str, folder: str, use: str) -> str:
        place = f"{{id: {tmp_path / folder}, prompt_field: prompt, domain_field: domain, domain_map: *all}}"
        return (
            f"{{name: {name}, domains: [coding, math, other], home: h, licence: MIT, use: {use}, "
            f"hub: {place.replace('*all', '{coding: coding, math: math, other: other}')}}}"
        )

    (tmp_path / "hub.yaml").write_text(
        f"sources: [{entry('drills', 'train', 'true')}]\n"
        f"validation: [{entry('exam', 'exam', 'false')}]\n"
        f"evaluation: [{entry('final', 'final', 'false')}]\n"
    )
    found = gather(Recipe.model_validate({"name": "tiny", "sources": "hub.yaml"}), tmp_path, None)
    assert len(found.validation["exam"]) == 6
    assert not texts(found) & {text for text, _, _ in rows(4)}
    assert {drop.of for drop in found.deduplicated.dropped} >= {"exam", "final"}
    assert found.missing == []
