"""Routers for tests, loaded by ``kind: custom``."""

import time
from collections.abc import Sequence

from modem.types import DomainScores, RouterIdentity
from tests.builders import DOMAINS

SLOW_S = 6.0
"""Much longer than the deadline of a router in these tests."""


class KeywordRouter:
    """Scores 0.9 for the first domain whose name is a word of the text; without one, is in doubt.

    The word ``brokenrouter`` makes it raise, ``slowrouter`` makes it take `SLOW_S`.
    """

    identity = RouterIdentity("keyword", "1")
    domains = DOMAINS

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        return [self._one(text.lower().split()) for text in texts]

    def _one(self, words: Sequence[str]) -> DomainScores:
        if "brokenrouter" in words:
            raise RuntimeError("asked to fail")
        if "slowrouter" in words:
            time.sleep(SLOW_S)
        named = next((domain for domain in DOMAINS if domain in words), None)
        if named is None:
            return DomainScores(dict.fromkeys(DOMAINS, 1 / len(DOMAINS)))
        rest = 0.1 / (len(DOMAINS) - 1)
        return DomainScores({domain: 0.9 if domain == named else rest for domain in DOMAINS})


def keyword() -> KeywordRouter:
    """Build a keyword router."""
    return KeywordRouter()
