from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from modem.evaluation.added import added_figures, can_grow, num_measured_added, read_law, serving_too
from modem.evaluation.evaluate import evaluate
from modem.evaluation.measure import measure, serving_all
from modem.evaluation.report import overview
from modem.evaluation.sets import ADDED_DOMAIN_SET, committed
from modem.routing.added import with_added
from modem.routing.folder import Background
from modem.routing.strategies import knn
from modem.types import AddedDomain, DomainScores
from tests.builders import DOMAINS
from tests.routers import KeywordRouter
from tests.unit.evaluation.cases import keyword_set
from tests.unit.routing.strategies.words import ENCODER

CHAT = committed("chat").cases
LAW = read_law()


class Words:
    """Neighbours among the chat prompts, by their words; domains can be added to it."""

    def __init__(self) -> None:
        self._texts = [case.prompt for case in CHAT]
        self._labels = [case.domain for case in CHAT]
        self._router = knn.fit(self._texts, self._labels, ENCODER)
        self.identity, self.domains = self._router.identity, self._router.domains

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        return self._router.score(texts)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return ENCODER.embed(texts)

    def background(self) -> Background:
        columns = [self.domains.index(label) for label in self._labels]
        return Background(ENCODER.embed(self._texts), np.array(columns))


ROUTER = Words()
GATEWAY = serving_all(ROUTER.domains)


def test_law_is_a_sentence_and_a_dozen_examples() -> None:
    assert (LAW.name, len(LAW.examples)) == ("law", 12)
    assert LAW.description.endswith(".")


def test_only_a_router_with_embeddings_and_background_can_grow() -> None:
    assert can_grow(ROUTER, LAW)
    assert not can_grow(KeywordRouter(), LAW)
    assert not can_grow(with_added(ROUTER, [LAW]), LAW)


def test_a_grown_configuration_serves_one_domain_more() -> None:
    larger = serving_too(GATEWAY, LAW)
    assert set(larger.domains) == {*DOMAINS, "law"}
    assert larger.added_domains() == (LAW,)
    assert larger.routing == GATEWAY.routing


def test_figures_are_those_of_measuring_before_and_after() -> None:
    seen: list[int] = []
    found = added_figures(ROUTER, GATEWAY, LAW, seen.append)
    assert sum(seen) == num_measured_added() == 80 + 600
    assert (found.name, found.num_examples) == ("law", 12)
    assert (found.num_prompts, found.num_near, found.num_others) == (40, 40, 300)
    others = committed("gate").cases
    before = measure(ROUTER, others, GATEWAY).decided
    after = measure(with_added(ROUTER, [LAW]), others, serving_too(GATEWAY, LAW)).decided
    moved = [one != other for one, other in zip(before, after, strict=True)]
    assert found.moved == pytest.approx(sum(moved) / 300)
    special = [one for one, domain in zip(moved, before, strict=True) if domain != "other"]
    assert found.moved_specialists == pytest.approx(sum(special) / len(special))


def test_a_domain_is_told_from_what_looks_like_it() -> None:
    own = [case.prompt for case in committed(ADDED_DOMAIN_SET).cases if case.domain == "law"]
    found = added_figures(ROUTER, GATEWAY, AddedDomain("law", LAW.description, tuple(own)))
    assert found.recall >= found.decided_recall
    assert found.decided_recall > 2 * found.taken
    assert found.moved_specialists < 0.05


def test_a_report_has_the_added_domain_if_it_is_asked_for() -> None:
    report = evaluate(ROUTER, GATEWAY, [keyword_set()], add_domain=True)
    assert report.added is not None
    assert "The domain law, added by 12 examples" in [table.title for table in overview(report)]
    without = evaluate(ROUTER, GATEWAY, [keyword_set()])
    assert without.added is None
    assert replace(report, added=None, cost=without.cost) == without
