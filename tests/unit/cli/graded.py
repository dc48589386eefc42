"""A router whose certainty is written in the prompt, loaded by ``kind: custom``."""

import re
from collections.abc import Sequence

from modem.types import DomainScores, RouterIdentity

DOMAINS = ("math", "health", "other")
_GRADE = re.compile(r"\b(math|health|other) (\d+)\b")


class GradedRouter:
    """Gives ``math 70`` 0.7 for math and the rest, in equal parts, to the others."""

    identity = RouterIdentity("graded", "1")
    domains = DOMAINS

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> DomainScores:
        found = _GRADE.search(text)
        domain, sure = (found[1], int(found[2]) / 100) if found else ("other", 1 / 3)
        return DomainScores({one: sure if one == domain else (1 - sure) / 2 for one in DOMAINS})


def graded() -> GradedRouter:
    """Build one."""
    return GradedRouter()
