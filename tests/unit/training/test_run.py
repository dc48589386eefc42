import datetime
from pathlib import Path

import numpy as np
import pytest

from modem.errors import ConfigError
from modem.routing.linear import LinearHead, LinearRouter
from modem.training.card import percent, render_card
from modem.training.run import TrainingPlan, TrainingRun, gather, train
from tests.unit.routing.minilm import minilm
from tests.unit.training.prompts import DOMAINS, SOURCES, corpus, rows, write

COMMAND = "modem router train --data prompts/"
OWN = (
    SOURCES
    + "  - {name: ours, domains: [other], home: here, licence: MIT, use: true, path: own, note: by hand}\n"
)


def plan_for(folder: Path, sources: str = SOURCES, **changes: int) -> TrainingPlan:
    data, declaration = corpus(folder, sources=sources)
    settings = {"per_domain": 100, "per_source": 100, "seed": 0, **changes}
    return TrainingPlan(
        data, declaration, "package", name="tiny", today=datetime.date(2026, 1, 2), **settings
    )


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> TrainingPlan:
    found = plan_for(tmp_path_factory.mktemp("run"))
    write(found.data / "validation" / "mmlu_dev.jsonl", rows(5, "elsewhere", first=40))
    write(found.data / "validation" / "chat.jsonl", [("hello", "other", "elsewhere")])
    return found


@pytest.fixture(scope="module")
def run(plan: TrainingPlan) -> TrainingRun:
    return train(plan, gather(plan), lambda done, total: None)


def test_the_head_works_behind_a_router(run: TrainingRun) -> None:
    router = LinearRouter(minilm(), run.head)
    texts = ["write a Python function that adds two lists", "solve 5x + 1 = 11", "tell me a story"]
    assert [scores.top()[0] for scores in router.score(texts)] == ["coding", "math", "other"]


def test_the_head_says_what_it_is(run: TrainingRun) -> None:
    assert run.head.domains == DOMAINS
    assert run.head.name == "tiny"
    assert run.head.version.startswith("2026.01.02-")
    assert run.head.trained_on == "2026-01-02"
    assert run.head.encoder_sha256 == minilm().weights_sha256()


def test_figures_cover_the_held_out_prompts_and_every_validation_set(run: TrainingRun) -> None:
    assert run.held_out.num_prompts == len(run.corpus.held_out) > 0
    assert {name: found.num_prompts for name, found in run.validation.items()} == {"chat": 1, "mmlu_dev": 15}
    assert run.validation["mmlu_dev"].accuracy > 0.8


def test_the_head_on_disk_is_the_head_that_was_measured(run: TrainingRun, tmp_path: Path) -> None:
    run.head.save(tmp_path / "tiny.safetensors")
    loaded = LinearHead.load(tmp_path / "tiny.safetensors")
    np.testing.assert_array_equal(loaded.weights, run.head.weights)


def test_progress_reaches_the_total(plan: TrainingPlan) -> None:
    seen: list[tuple[int, int]] = []
    found = gather(plan)
    train(plan, found, lambda done, total: seen.append((done, total)))
    total = len(found.training) + len(found.held_out) + 16
    assert seen[-1] == (total, total)


def test_the_same_plan_gives_the_same_head(plan: TrainingPlan, run: TrainingRun) -> None:
    again = train(plan, gather(plan), lambda done, total: None)
    assert again.head.version == run.head.version
    np.testing.assert_array_equal(again.head.weights, run.head.weights)


def test_validation_prompts_are_never_trained_on(tmp_path: Path) -> None:
    plan = plan_for(tmp_path)
    measured = rows()[:10]
    write(plan.data / "validation" / "v.jsonl", [(p.upper(), d, "elsewhere") for p, d, _ in measured])
    found = gather(plan)
    texts = {prompt.text for prompt in (*found.training, *found.held_out)}
    assert not texts & {prompt for prompt, _, _ in measured}
    assert len(texts) == len(rows()) - 10


def test_prompts_beside_the_declaration_join_those_of_the_user_uncapped(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, OWN, per_source=4)
    write(tmp_path / "own" / "chat.jsonl", [(f"hello number {i}", "other", "ours") for i in range(9)])
    found = gather(plan)
    sources = [prompt.source for prompt in (*found.training, *found.held_out) if prompt.domain == "other"]
    assert (sources.count("ours"), sources.count("drills")) == (9, 4)


def test_a_source_not_for_use_is_read_but_left_out(tmp_path: Path) -> None:
    plan = plan_for(tmp_path)
    write(plan.data / "closed.jsonl", [("a closed prompt", "other", "closed")])
    found = gather(plan)
    assert "closed" not in {prompt.source for prompt in (*found.training, *found.held_out)}


def test_too_little_data_is_said_plainly(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, per_domain=1)
    with pytest.raises(ConfigError, match="training needs"):
        train(plan, gather(plan), lambda done, total: None)


def test_the_card_tells_data_licences_figures_and_command(run: TrainingRun) -> None:
    card = render_card(run, COMMAND)
    assert COMMAND in card
    assert f"`tiny` {run.head.version}" in card
    assert f"accuracy **{percent(run.held_out.accuracy)}**" in card
    assert "### Outside these sources: `mmlu_dev`" in card
    assert "| chat | 1 |" in card
    assert "| math | drills | here | MIT |" in card
    assert "| closed | CC BY-NC 4.0 | not a\\|b |" in card
    assert run.head.encoder_sha256 in card


def test_the_card_counts_every_prompt(run: TrainingRun) -> None:
    lines = [line for line in render_card(run, COMMAND).splitlines() if "| drills | here |" in line]
    fitted, held_out = (sum(int(line.split("|")[column]) for line in lines) for column in (5, 6))
    assert (fitted, held_out) == (len(run.corpus.training), len(run.corpus.held_out))


def test_the_card_repeats_the_notes_on_used_sources(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, OWN)
    write(tmp_path / "own" / "chat.jsonl", [(f"hello number {i}", "other", "ours") for i in range(9)])
    card = render_card(train(plan, gather(plan), lambda done, total: None), COMMAND)
    assert "- `ours`: by hand" in card
    assert "`drills`:" not in card


def test_a_card_without_validation_sets_says_so(tmp_path: Path) -> None:
    plan = plan_for(tmp_path)
    card = render_card(train(plan, gather(plan), lambda done, total: None), COMMAND)
    assert "was not measured" in card
    assert "### Other sets" not in card


@pytest.mark.parametrize(
    ("share", "text"), [(None, "-"), (0.0, "0.0 %"), (0.9876, "98.8 %"), (1.0, "100.0 %")]
)
def test_shares_for_people(share: float | None, text: str) -> None:
    assert percent(share) == text
