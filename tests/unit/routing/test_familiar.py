from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from modem.routing.cache import Cached
from modem.routing.compact import CompactRouter
from modem.routing.familiar import Familiar
from modem.types import DomainScores
from tests.compact import write_compact_router
from tests.routers import KeywordRouter


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("What is the derivative of x squared?", ""),
        ("some math", ""),
        ("", "empty"),
        (" \n", "empty"),
        ("?!?!?!", "characters"),
        ("Bitte erklären Sie mir, warum der Himmel am Abend rot wird.", "language"),
    ],
)
def test_the_scores_say_what_the_router_was_not_made_for(text: str, why: str) -> None:
    (found,) = Familiar(KeywordRouter()).score([text])
    assert found.unfamiliar == why
    assert found.scores == KeywordRouter().score([text])[0].scores


def test_each_text_has_its_own_reason() -> None:
    found = Familiar(KeywordRouter()).score(["some math", "", "some health"])
    assert [(one.top()[0], one.unfamiliar) for one in (found[0], found[2])] == [("math", ""), ("health", "")]
    assert found[1].unfamiliar == "empty"


def test_what_the_router_says_itself_stays() -> None:
    class Choosy(KeywordRouter):
        def score(self, texts: Sequence[str]) -> list[DomainScores]:
            return [DomainScores(one.scores, "language") for one in super().score(texts)]

    assert Familiar(Choosy()).score(["What is the derivative of x squared?"])[0].unfamiliar == "language"


def test_it_is_the_router_within() -> None:
    familiar = Familiar(KeywordRouter())
    assert familiar.identity == KeywordRouter.identity
    assert familiar.domains == KeywordRouter.domains
    assert not hasattr(familiar, "embed"), "the one within cannot"


def test_wrapped_twice_it_still_embeds(tmp_path: Path) -> None:
    router = CompactRouter(write_compact_router(tmp_path))
    wrapped = Cached(Familiar(router), 4)
    np.testing.assert_array_equal(wrapped.embed(["a text"]), router.embed(["a text"]))  # type: ignore[attr-defined]
    assert wrapped.background() is router.background()  # type: ignore[attr-defined]
