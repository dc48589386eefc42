from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.routing.cache import Cached
from modem.types import DomainScores, RouterIdentity


class Lengths:
    """Scores a text by its length, and notes what it was asked for."""

    identity = RouterIdentity("lengths", "1")
    domains = ("short", "long")

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        self.asked.append(list(texts))
        return [
            DomainScores({"short": 1 / (1 + len(text)), "long": 1 - 1 / (1 + len(text))}) for text in texts
        ]


WORDS = st.lists(st.sampled_from(["", "a", "bb", "ccc", "dddd", "eeeee"]), max_size=8)


@given(st.lists(WORDS, max_size=8), st.integers(1, 4))
def test_it_answers_as_the_router_within(calls: list[list[str]], size: int) -> None:
    cached = Cached(Lengths(), size)
    for texts in calls:
        assert cached.score(texts) == Lengths().score(texts)
        assert len(cached._known) <= size


def test_only_what_is_new_is_asked_for_and_once() -> None:
    router = Lengths()
    cached = Cached(router, 8)
    cached.score(["a", "bb", "a"])
    cached.score(["ccc", "a", "bb"])
    cached.score(["bb"])
    assert router.asked == [["a", "bb"], ["ccc"]]


def test_what_was_asked_for_longest_ago_is_forgotten() -> None:
    router = Lengths()
    cached = Cached(router, 2)
    for text in ("a", "bb", "a", "ccc", "a", "bb"):
        cached.score([text])
    assert router.asked == [["a"], ["bb"], ["ccc"], ["bb"]], "bb made room for ccc, a was in use"


def test_a_call_of_more_texts_than_it_holds_is_answered_whole() -> None:
    cached = Cached(Lengths(), 1)
    cached.score(["eeeee"])
    assert cached.score(["eeeee", "a", "bb"]) == Lengths().score(["eeeee", "a", "bb"])


def test_an_error_is_not_remembered() -> None:
    class Once(Lengths):
        def score(self, texts: Sequence[str]) -> list[DomainScores]:
            found = super().score(texts)
            if len(self.asked) == 1:
                raise RuntimeError("the first time")
            return found

    cached = Cached(Once(), 4)
    with pytest.raises(RuntimeError, match="the first time"):
        cached.score(["a"])
    assert cached.score(["a"]) == Lengths().score(["a"])


def test_it_is_the_router_within() -> None:
    cached = Cached(Lengths(), 4)
    assert cached.identity == Lengths.identity
    assert cached.domains == Lengths.domains
    assert not hasattr(cached, "embed")
