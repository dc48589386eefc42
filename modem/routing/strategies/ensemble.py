"""The weighted mean of several routers' probabilities."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from modem.config import RouterConfig
from modem.errors import ConfigError
from modem.routing.base import Router
from modem.types import DomainScores, RouterIdentity

KIND = "ensemble"


class EnsembleRouter:
    """A `modem.routing.base.Router` made of others.

    Args:
        members: At least one; all know the same domains.
        weights: One for each, above 0; only their proportions count.

    Raises:
        ConfigError: The members do not fit together.
    """

    def __init__(self, members: Sequence[Router], weights: Sequence[float]) -> None:
        if not members or len(members) != len(weights) or not all(weight > 0 for weight in weights):
            raise ConfigError("ensemble: give at least one member, and a weight above 0 for each")
        self.domains = members[0].domains
        other = next((member for member in members if set(member.domains) != set(self.domains)), None)
        if other is not None:
            raise ConfigError(
                f"ensemble: {members[0].identity.name} knows {', '.join(sorted(self.domains))}, "
                f"{other.identity.name} knows {', '.join(sorted(other.domains))}; they must know the same"
            )
        self._members = members
        self._shares = [weight / sum(weights) for weight in weights]

    @property
    def identity(self) -> RouterIdentity:
        """Names the members and their shares."""
        parts = [
            f"{share:.2f}*{member.identity.name}-{member.identity.version}"
            for share, member in zip(self._shares, self._members, strict=True)
        ]
        return RouterIdentity(KIND, "+".join(parts))

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Score each text; see `modem.routing.base.Router`."""
        by_member = [member.score(texts) for member in self._members]
        return [self._mean(scores) for scores in zip(*by_member, strict=True)]

    def _mean(self, scores: Sequence[DomainScores]) -> DomainScores:
        found = {
            domain: sum(share * one.scores[domain] for share, one in zip(self._shares, scores, strict=True))
            for domain in self.domains
        }
        return DomainScores(found, next((one.unfamiliar for one in scores if one.unfamiliar), ""))


def load(members: Sequence[Mapping[str, Any]]) -> EnsembleRouter:
    """Build one from configuration, for ``RouterConfig.import_path``.

    Args:
        members: Each the settings of a router (`modem.config.RouterConfig`), and a ``weight`` (1 by
            default).

    Raises:
        ConfigError: A member is wrong, or they do not fit together.
    """
    from modem.routing.load import load_router

    configs = [_config(number, member) for number, member in enumerate(members)]
    weights = [float(member.get("weight", 1.0)) for member in members]
    return EnsembleRouter([load_router(config) for config in configs], weights)


def _config(number: int, member: Mapping[str, Any]) -> RouterConfig:
    try:
        return RouterConfig.model_validate({key: member[key] for key in member if key != "weight"})
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(str(part) for part in ("members", number, *found["loc"]))
        raise ConfigError(f"ensemble: {where}: {found['msg']}") from error
