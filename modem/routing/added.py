"""Domains that the router was not trained on: a linear discriminant on its own embeddings for each.

A few examples, and a description, are told from a background: prompts that the router was trained on. The
router's own probabilities stay what they are among themselves; an added domain takes its share of the
whole, so that all is one distribution.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError
from modem.routing.base import Embedder, Router
from modem.routing.discriminant import Discriminant, fit
from modem.routing.folder import Background
from modem.routing.text import prompt_text
from modem.routing.wrapper import Wrapper
from modem.types import AddedDomain, DomainScores, RouterIdentity

_PRIOR = 0.5
"""Examples' worth of not knowing in which labels a domain lies."""


class Extensible(Router, Embedder, Protocol):
    """A router that domains can be added to."""

    def background(self) -> Background | None:
        """Return embeddings of prompts it was trained on; None if it has none."""
        ...


def with_added(router: Router, added: Sequence[AddedDomain]) -> Router:
    """Return a router that knows further domains; without any, the router itself.

    Takes a second at most: it embeds the examples.

    Args:
        router: With ``embed`` and ``background``, as the compact one has them.
        added: Domains with examples, in any order.

    Raises:
        ConfigError: The router has no embeddings or no background, or knows one of the domains already.
    """
    if not added:
        return router
    known = [domain.name for domain in added if domain.name in router.domains]
    if known:
        raise ConfigError(
            f"domains.{known[0]}: the router was trained on {known[0]!r}, so it takes no examples; "
            "remove them, or give the domain another id"
        )
    extensible, background = _extensible(router)
    fitted = [_fit(extensible, domain, background) for domain in added]
    return WithAdded(extensible, fitted, _digest(added))


class WithAdded(Wrapper):
    """A router and domains added to it; use `with_added`.

    Args:
        router: What it was.
        fitted: The added domains.
        digest: Of what they were made from; part of the version.
    """

    def __init__(self, router: Extensible, fitted: Sequence[Discriminant], digest: str) -> None:
        super().__init__(router)
        self._extensible = router
        self.fitted = tuple(fitted)
        self._digest = digest

    @property
    def identity(self) -> RouterIdentity:
        """Name and version of the router, the latter with the added domains."""
        found = self._router.identity
        names = "+".join(sorted(domain.name for domain in self.fitted))
        return RouterIdentity(found.name, f"{found.version}+{names}.{self._digest}")

    @property
    def domains(self) -> tuple[str, ...]:
        """The router's own domains, then the added ones."""
        return (*self._router.domains, *(domain.name for domain in self.fitted))

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Score each text; a text of white space belongs to no added domain."""
        return self._score(texts, {})

    def score_left_out(self, name: str, examples: Sequence[str]) -> list[DomainScores]:
        """Score the examples of an added domain as if each of them had not been learnt.

        Args:
            name: Of the domain.
            examples: All of its examples, in their order, as they are routed.
        """
        left_out = next(np.array(domain.left_out) for domain in self.fitted if domain.name == name)
        return self._score(examples, {name: left_out})

    def _score(self, texts: Sequence[str], instead: Mapping[str, NDArray[np.float64]]) -> list[DomainScores]:
        found = self._extensible.score(texts)
        embeddings = self._extensible.embed(texts)  # after the scores, which it may have kept them from
        alike = {domain.name: domain.alike(embeddings) for domain in self.fitted} | dict(instead)
        return [
            mix(scores, {d.name: d.log_odds(alike[d.name][i], scores) for d in self.fitted})
            if texts[i].strip()
            else mix(scores, {d.name: -math.inf for d in self.fitted})
            for i, scores in enumerate(found)
        ]


def mix(scores: DomainScores, log_odds: Mapping[str, float]) -> DomainScores:
    """Put added domains into a distribution.

    Each gets a share in proportion to its odds against all that the router knows, whose probabilities
    are scaled by what is left: their ratios stay. The order of the domains makes no difference.

    Args:
        scores: The router's own.
        log_odds: Of each added domain against the router's own together; minus infinity for none.
    """
    if not log_odds:
        return scores
    shares = {name: math.exp(odds) for name, odds in log_odds.items()}
    whole = math.fsum([1.0, *shares.values()])
    old = {name: score / whole for name, score in scores.scores.items()}
    return DomainScores({**old, **{name: share / whole for name, share in shares.items()}}, scores.unfamiliar)


def _fit(router: Extensible, domain: AddedDomain, background: Background) -> Discriminant:
    """Fit one domain.

    Args:
        router: Embeds the examples.
        domain: What to fit.
        background: The router's.
    """
    examples = routed_examples(domain)
    # The description says what a dozen examples leave out; in three forms it counts as three of them.
    described = [
        domain.description,
        f"a question about {domain.name}",
        f"{domain.name}: {domain.description}",
    ]
    texts = [*examples, *described]
    scores = router.score(texts)[: len(examples)]
    kinship = _kinship(scores, router.domains)
    return fit(domain.name, router.embed(texts), len(examples), background, kinship)


def routed_examples(domain: AddedDomain) -> list[str]:
    """Return the examples as the router gets prompts in service."""
    return [prompt_text(example) for example in domain.examples]


def _kinship(found: Sequence[DomainScores], domains: Sequence[str]) -> dict[str, float]:
    """Return each label's share of the examples against the greatest."""
    shares = {
        domain: _PRIOR / len(domains) + math.fsum(scores.scores[domain] for scores in found)
        for domain in domains
    }
    return {domain: share / max(shares.values()) for domain, share in shares.items()}


def _extensible(router: Router) -> tuple[Extensible, Background]:
    """Return a router as what it is, with its background.

    Raises:
        ConfigError: It has none, or no embeddings at all.
    """
    name, found = router.identity.name, cast(Extensible, router)
    if not hasattr(router, "embed"):
        raise ConfigError(f"domains.*.examples: the router {name} gives no embeddings; use kind: compact")
    background = found.background() if hasattr(router, "background") else None
    if background is None or not len(background.labels):
        raise ConfigError(
            f"domains.*.examples: the router {name} comes with no background.safetensors; "
            "use one that `modem router train` wrote, with kind: compact"
        )
    return found, background


def _digest(added: Sequence[AddedDomain]) -> str:
    """Return what changes with the domains' words, whatever their order."""
    words = sorted((domain.name, domain.description, domain.examples) for domain in added)
    return hashlib.sha256(repr(words).encode("utf-8", errors="replace")).hexdigest()[:8]
