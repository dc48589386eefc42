"""Scores of texts that come again."""

from collections import OrderedDict
from collections.abc import Sequence

from modem.routing.base import Router
from modem.routing.wrapper import Wrapper
from modem.types import DomainScores


class Cached(Wrapper):
    """A router that remembers what it said of the texts it was asked for last.

    Args:
        router: Is asked for the others, for each text once.
        size: Texts to remember; those not asked for longest are forgotten.
    """

    def __init__(self, router: Router, size: int) -> None:
        super().__init__(router)
        self._size = size
        self._known: OrderedDict[str, DomainScores] = OrderedDict()

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Score each text; see `modem.routing.base.Router`."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        # Beside the memory, which may hold less than one call asks for.
        found = {text: self._known[text] for text in texts if text in self._known}
        found |= zip(new, super().score(new), strict=True) if new else ()
        self._remember(found)
        return [found[text] for text in texts]

    def _remember(self, found: dict[str, DomainScores]) -> None:
        for text, scores in found.items():
            self._known[text] = scores
            self._known.move_to_end(text)
        while len(self._known) > self._size:
            self._known.popitem(last=False)
