import json
from pathlib import Path

import numpy as np
import pytest

from modem.errors import ConfigError
from modem.evaluation.compare import (
    Outcome,
    Prompts,
    SharedRouter,
    Strategy,
    compare,
    prompts_from,
    remembered,
    standard_strategies,
    tables,
)
from modem.evaluation.sets import EvaluationSet, prompt_case
from modem.routing.base import Router
from modem.routing.strategies.catalogue import WHEN
from modem.routing.strategies.embedded import Encoder
from tests.builders import DOMAINS
from tests.routers import KeywordRouter
from tests.unit.evaluation.cases import keyword_set
from tests.unit.routing.strategies.words import embed
from tests.unit.training.prompts import write

PROMPTS = Prompts(
    tuple(f"{domain} number {i} please" for domain in DOMAINS for i in range(12)),
    tuple(domain for domain in DOMAINS for _ in range(12)),
)
SETS = [keyword_set("theirs", 2), keyword_set("gate", 3)]


@pytest.fixture(scope="module")
def compared() -> tuple[list[Outcome], dict[str, Router]]:
    encoder, embeddings = remembered(Encoder(embed, "0" * 64))
    shared = SharedRouter(KeywordRouter())
    made: dict[str, Router] = {}

    def done(outcome: Outcome, router: Router) -> None:
        made[outcome.name] = router

    strategies = standard_strategies(encoder, shared)
    return compare(strategies, PROMPTS, SETS, [embeddings, shared.memory], done), made


def test_every_strategy_is_fitted_and_measured_on_every_set(
    compared: tuple[list[Outcome], dict[str, Router]],
) -> None:
    outcomes, made = compared
    names = ["majority", "tfidf-linear", "knn", "ridge", "compact", "ensemble"]
    assert [outcome.name for outcome in outcomes] == names == list(made)
    accuracy = {o.name: [found.scores.accuracy for found in o.sets] for o in outcomes}
    assert accuracy["majority"] == [pytest.approx(0.2)] * 2
    for name in names[1:]:
        assert accuracy[name] == [1.0, 1.0], name
    assert all(set(router.domains) == set(DOMAINS) for router in made.values())


def test_only_what_is_fitted_has_a_time_for_it(compared: tuple[list[Outcome], dict[str, Router]]) -> None:
    times = {outcome.name: outcome.fit_s for outcome in compared[0]}
    assert times.pop("compact") is None
    assert all(fit_s is not None and fit_s > 0 for fit_s in times.values())


def test_costs_are_those_without_a_memory() -> None:
    asked: list[int] = []

    def counting(texts):  # type: ignore[no-untyped-def]
        asked.append(len(texts))
        return embed(texts)

    encoder, memory = remembered(Encoder(counting, "0" * 64))
    knn = next(
        one for one in standard_strategies(encoder, SharedRouter(KeywordRouter())) if one.name == "knn"
    )
    (outcome,) = compare([knn], PROMPTS, SETS[:1], [memory])
    assert outcome.cost.num_decisions == 10
    assert asked[-10:] == [1] * 10


def test_what_a_memory_saved_counts_as_time_to_fit() -> None:
    import time

    def slow(texts):  # type: ignore[no-untyped-def]
        time.sleep(0.002 * len(texts))
        return embed(texts)

    encoder, memory = remembered(Encoder(slow, "0" * 64))
    wanted = ("knn", "ridge")
    found = [s for s in standard_strategies(encoder, SharedRouter(KeywordRouter())) if s.name in wanted]
    for outcome in compare(found, PROMPTS, SETS[:1], [memory]):
        assert outcome.fit_s is not None
        assert outcome.fit_s > 0.002 * len(PROMPTS.texts)


def test_the_tables_tell_own_sets_from_others_and_what_to_pick(
    compared: tuple[list[Outcome], dict[str, Router]],
) -> None:
    overview, own, picks = tables(compared[0])
    assert overview.header == ("strategy", "fit s", "CPU ms", "ECE", "theirs", "own sets")
    assert own.header == ("strategy", "gate")
    assert {len(row) for row in overview.rows} == {6}
    assert overview.rows[4][1] == "-"
    assert overview.rows[4][4:] == ("100.0 %", "100.0 %")
    assert ("knn", WHEN["knn"]) in picks.rows


def test_a_router_of_another_name_is_for_who_has_a_gpu() -> None:
    router = KeywordRouter()
    outcomes = compare([Strategy("deberta", lambda prompts: router, fitted=False)], PROMPTS, SETS[:1])
    assert tables(outcomes)[-1].rows == (("deberta", WHEN["encoder"]),)
    assert len(tables(outcomes)) == 2


def test_a_shared_router_says_what_the_router_says() -> None:
    shared = SharedRouter(KeywordRouter())
    texts = ["some math", "some health", "some math"]
    assert shared.score(texts) == KeywordRouter().score(texts)
    assert (shared.identity, shared.domains) == (KeywordRouter.identity, KeywordRouter.domains)


def test_a_remembering_encoder_embeds_alike() -> None:
    encoder, _ = remembered(Encoder(embed, "0" * 64))
    texts = ["a b", "c", "a b"]
    np.testing.assert_array_equal(encoder.embed(texts), embed(texts))


def test_prompts_to_fit_are_neither_held_out_nor_in_a_set(tmp_path: Path) -> None:
    from modem.training.data import read_prompts, split

    lines = [f"Tell me fact {i} about the long river number {i * i}" for i in range(120)]
    content = [(text, "math" if i % 2 else "other", "s") for i, text in enumerate(lines)]
    file = write(tmp_path / "a.jsonl", content)
    training, _ = split(read_prompts(file))
    measured = EvaluationSet("set", tuple(prompt_case(p.text.upper(), p.domain) for p in training[:20]))
    found = prompts_from([tmp_path], [measured], per_domain=40, per_source=40, seed=0)
    assert set(found.texts) <= {p.text for p in training[20:]}
    assert len(found.texts) == len(found.labels) > 40
    assert max(found.labels.count(domain) for domain in ("math", "other")) <= 40
    assert found == prompts_from([tmp_path], [measured], per_domain=40, per_source=40, seed=0)


def test_nothing_to_fit_to_is_an_error(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [("only this one prompt", "math", "s")])
    measured = EvaluationSet("set", (prompt_case(json.loads(file.read_text())["prompt"], "math"),))
    with pytest.raises(ConfigError, match="no prompts are left"):
        prompts_from([tmp_path], [measured], 10, 10, 0)
