"""Scores that say whether the router was made for the text."""

from collections.abc import Sequence
from dataclasses import replace

from modem.routing.unfamiliar import unfamiliar
from modem.routing.wrapper import Wrapper
from modem.types import DomainScores


class Familiar(Wrapper):
    """A router of English prompts whose scores carry `modem.types.DomainScores.unfamiliar`."""

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Score each text, and say of each why it is none for this router, if so."""
        found = super().score(texts)
        return [
            scores if scores.unfamiliar else replace(scores, unfamiliar=unfamiliar(text) or "")
            for text, scores in zip(texts, found, strict=True)
        ]
