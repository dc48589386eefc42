"""The regression gate: the shipped router on 300 prompts of our own, against the accuracy of its release."""

import json
from pathlib import Path

import pytest

from modem.config import RouterConfig
from modem.errors import ConfigError
from modem.evaluation.evaluate import SetFigures, evaluate, set_figures
from modem.evaluation.floor import GATE, SLACK, Floor, floor_of, read_floor, write_floor
from modem.evaluation.measure import serving_all
from modem.evaluation.sets import committed
from modem.evaluation.tables import percent
from modem.routing.load import SHIPPED_ROUTER, load_router
from tests.builders import DOMAINS
from tests.routers import KeywordRouter
from tests.unit.evaluation.cases import keyword_set


@pytest.fixture(scope="module")
def measured() -> SetFigures:
    router = load_router(RouterConfig())
    return set_figures(committed(GATE), router, serving_all(router.domains))


def test_the_shipped_router_is_as_good_as_it_was(measured: SetFigures) -> None:
    floor = read_floor()
    assert measured.scores.accuracy >= floor.floor, (
        f"{measured.scores.accuracy:.3f} of the gate is right; the release had {floor.accuracy:.3f}"
    )


def test_no_domain_is_given_up(measured: SetFigures) -> None:
    assert {figures.domain for figures in measured.scores.domains} == set(DOMAINS)
    assert min(figures.recall or 0 for figures in measured.scores.domains) > 0.6


@pytest.mark.skipif(RouterConfig().kind != "compact", reason="the shipped router has no card of this kind")
def test_the_card_of_the_shipped_router_says_what_is_measured(measured: SetFigures) -> None:
    card = (SHIPPED_ROUTER / "README.md").read_text(encoding="utf-8")
    scores = measured.scores
    assert f"| {GATE} | {scores.num_prompts} | {percent(scores.accuracy)} |" in card
    for figures in measured.scores.domains:
        row = (figures.domain, str(figures.num_prompts), percent(figures.recall), percent(figures.precision))
        assert "| " + " | ".join(row) + " |" in card


def test_the_floor_is_what_a_release_measured_less_the_slack() -> None:
    floor = read_floor()
    assert floor.floor == pytest.approx(floor.accuracy - SLACK)
    assert floor.floor > 0.6


def test_an_evaluation_gives_the_floor_of_the_next_release(tmp_path: Path) -> None:
    report = evaluate(KeywordRouter(), serving_all(DOMAINS), [keyword_set(GATE)])
    assert floor_of(report) == Floor("keyword 1", 1.0, 0.98)
    write_floor(floor_of(report), tmp_path / "floor.json")
    assert read_floor(tmp_path / "floor.json") == floor_of(report)
    assert json.loads((tmp_path / "floor.json").read_text())["router"] == "keyword 1"


def test_without_the_gate_there_is_no_floor() -> None:
    report = evaluate(KeywordRouter(), serving_all(DOMAINS), [keyword_set("other")])
    with pytest.raises(ConfigError, match="'gate', which was not measured"):
        floor_of(report)


def test_a_floor_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write_floor(Floor("r", 1.0, 0.98), tmp_path)
