"""A router around a router."""

from collections.abc import Sequence

from modem.routing.base import Router
from modem.types import DomainScores, RouterIdentity

_OPTIONAL = ("embed", "background")


class Wrapper:
    """A `modem.routing.base.Router` that can do all that another can; subclasses change its scores.

    Args:
        router: The other one. What it has of ``embed`` and ``background``, this one has.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        for name in _OPTIONAL:
            if hasattr(router, name):
                setattr(self, name, getattr(router, name))

    @property
    def identity(self) -> RouterIdentity:
        """Name and version of the router within."""
        return self._router.identity

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains of the router within."""
        return self._router.domains

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Score each text; see `modem.routing.base.Router`."""
        return self._router.score(texts)
