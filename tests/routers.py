"""Routers for tests, loaded by ``kind: custom``."""

import time
from collections.abc import Sequence

from modem.types import DomainScores, RouterIdentity
from tests.builders import DOMAINS


class KeywordRouter:
    """Scores 0.9 for the first domain whose name is a word of the text, and `doubt` else.

    Args:
        delay_s: How long a batch takes.
        fails: Whether every call raises.
    """

    identity = RouterIdentity("keyword", "1")
    domains = DOMAINS

    def __init__(self, delay_s: float = 0.0, fails: bool = False) -> None:
        self._delay_s = delay_s
        self._fails = fails

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        # The warm-up at start-up must pass, or there would be no router to fail.
        if texts[0] != "warm up":
            time.sleep(self._delay_s)
            if self._fails:
                raise RuntimeError("this router is configured to fail")
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> DomainScores:
        named = next((domain for domain in DOMAINS if domain in text.lower().split()), None)
        if named is None:
            return DomainScores(dict.fromkeys(DOMAINS, 1 / len(DOMAINS)))
        rest = 0.1 / (len(DOMAINS) - 1)
        return DomainScores({domain: 0.9 if domain == named else rest for domain in DOMAINS})


def keyword(delay_s: float = 0.0, fails: bool = False) -> KeywordRouter:
    """Build a keyword router."""
    return KeywordRouter(delay_s, fails)
