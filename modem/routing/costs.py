"""What wrong decisions cost, and the settings of the policy that cost the least: pure, by trying them out."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from modem.config import Config, DomainId, GatewayConfig
from modem.errors import ConfigError
from modem.routing.policy import Heard, decide, served_scores
from modem.types import DomainScores

THRESHOLDS = tuple(step / 20 for step in range(20))
MARGINS = tuple(step / 20 for step in range(11))
SWITCH_MARGINS = tuple(step / 10 for step in range(11))
"""Values that are tried. Finer ones would fit the accidents of a few hundred prompts."""

_DOUBT = ("low_confidence", "out_of_domain")

Step = Callable[[int, int], None]
"""Called with the numbers of settings tried and of all."""


class Costs(Config):
    """What a decision costs, in units of the worst; a right one costs nothing.

    Attributes:
        wrong_specialist: A specialist answers what is not its field: it may be wrong with authority.
        needless_fallback: The fallback answers what a specialist would have: a weaker answer, honestly.
        pairs: Exceptions, as true domain → domain that answered → cost.
    """

    wrong_specialist: float = Field(default=1.0, ge=0)
    needless_fallback: float = Field(default=0.4, ge=0)
    pairs: Mapping[DomainId, Mapping[DomainId, float]] = Field(default_factory=dict)

    def of(self, accepted: Sequence[str], answered: str, fallback: str) -> float:
        """Return the cost of one decision.

        Args:
            accepted: The domains that are right; the first is where the prompt belongs.
            answered: The domain that answered.
            fallback: The generalist.
        """
        if answered in accepted:
            return 0.0
        usual = self.needless_fallback if answered == fallback else self.wrong_specialist
        return self.pairs.get(accepted[0], {}).get(answered, usual)


@dataclass(frozen=True, slots=True)
class Judged:
    """What the router heard of a labelled request.

    Attributes:
        heard: The scores.
        accepted: The configured domains that are right, the request's own first.
    """

    heard: Heard
    accepted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """The numbers of the policy that are chosen; see `modem.config.RoutingPolicyConfig`."""

    threshold: float
    margin: float
    switch_margin: float

    @classmethod
    def of(cls, gateway: GatewayConfig) -> "Settings":
        """Return those of a configuration."""
        routing = gateway.routing
        return cls(routing.threshold, routing.margin, routing.switch_margin)

    def within(self, gateway: GatewayConfig) -> GatewayConfig:
        """Return a configuration with these settings."""
        numbers = {name: getattr(self, name) for name in self.__slots__}
        return gateway.model_copy(update={"routing": gateway.routing.model_copy(update=numbers)})

    def distance(self, other: "Settings") -> float:
        """Return how much would have to be changed to get there."""
        return math.fsum(abs(getattr(self, name) - getattr(other, name)) for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What settings do to labelled requests.

    Attributes:
        settings: The settings.
        cost: Mean cost of a decision.
        accuracy: Share of all requests that a right domain answers, doubt or not.
        wrong_specialist: Share that a specialist answers who should not.
        needless_fallback: Share that the fallback answers although a specialist should.
        doubted: Share that goes to the fallback for doubt.
        answered_accuracy: Share of the others that goes right; None if all were doubted.
    """

    settings: Settings
    cost: float
    accuracy: float
    wrong_specialist: float
    needless_fallback: float
    doubted: float
    answered_accuracy: float | None


@dataclass(frozen=True, slots=True)
class Targets:
    """What settings must reach, whatever it costs; None asks for nothing.

    Attributes:
        accuracy: Least accuracy among the requests that are not doubted.
        cost: Greatest mean cost.
        fallback: Greatest share that goes to the fallback for doubt.
    """

    accuracy: float | None = None
    cost: float | None = None
    fallback: float | None = None

    def missed(self, outcome: Outcome) -> tuple[str, ...]:
        """Return the names of the targets that an outcome misses.

        Where everything is doubted, no answer is wrong, so the accuracy counts as reached.
        """
        accuracy = 1.0 if outcome.answered_accuracy is None else outcome.answered_accuracy
        found = {
            "accuracy": self.accuracy is not None and accuracy < self.accuracy,
            "cost": self.cost is not None and outcome.cost > self.cost,
            "fallback": self.fallback is not None and outcome.doubted > self.fallback,
        }
        return tuple(name for name, missed in found.items() if missed)


def read_costs(path: Path) -> Costs:
    """Read a YAML file with the keys of `Costs`.

    Raises:
        ConfigError: It cannot be read, or a key or value is wrong.
    """
    try:
        return Costs.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        keys = ", ".join(Costs.model_fields)
        raise ConfigError(f"{path}: {error}; a cost file has the keys {keys}") from error


def outcome(judged: Sequence[Judged], gateway: GatewayConfig, costs: Costs) -> Outcome:
    """Decide all requests and count what comes of it.

    Args:
        judged: At least one.
        gateway: With the settings to try.
        costs: Of wrong decisions.
    """
    fallback = gateway.routing.fallback
    decisions = [decide(one.heard, gateway) for one in judged]
    pairs = [(one.accepted, decision.domain) for one, decision in zip(judged, decisions, strict=True)]
    right = [answered in accepted for accepted, answered in pairs]
    sure = [decision.reason not in _DOUBT for decision in decisions]
    sure_right = [hit for hit, was_sure in zip(right, sure, strict=True) if was_sure]
    return Outcome(
        settings=Settings.of(gateway),
        cost=_mean(costs.of(accepted, answered, fallback) for accepted, answered in pairs) or 0.0,
        accuracy=_mean(right) or 0.0,
        wrong_specialist=_mean(a not in ok and a != fallback for ok, a in pairs) or 0.0,
        needless_fallback=_mean(a not in ok and a == fallback for ok, a in pairs) or 0.0,
        doubted=1 - (_mean(sure) or 0.0),
        answered_accuracy=_mean(sure_right),
    )


def choose(
    judged: Sequence[Judged],
    gateway: GatewayConfig,
    costs: Costs,
    targets: Targets = Targets(),
    step: Step = lambda done, total: None,
) -> Outcome:
    """Return the threshold and margin with the least mean cost that reach the targets.

    Of several with the same cost it is the nearest to what is set: a change needs a reason.

    Raises:
        ConfigError: No settings reach the targets; says how far they get.
    """
    now = Settings.of(gateway)
    thresholds, margins = _with(THRESHOLDS, now.threshold), _with(MARGINS, now.margin)
    tried = [Settings(t, m, now.switch_margin) for t in thresholds for m in margins]
    return _best(_outcomes(tried, judged, gateway, costs, step), now, targets)


def switch_margins(
    judged: Sequence[Judged], gateway: GatewayConfig, costs: Costs
) -> tuple[Outcome, tuple[Outcome, ...]]:
    """Try switch margins on the conversations, which alone they matter to.

    Args:
        judged: At least one with a history.
        gateway: With the other settings as chosen.
        costs: Of wrong decisions.

    Returns:
        The best, of equals the nearest to what is set, and all in order.
    """
    now = Settings.of(gateway)
    conversations = [one for one in judged if one.heard.history is not None]
    tried = [Settings(now.threshold, now.margin, s) for s in _with(SWITCH_MARGINS, now.switch_margin)]
    found = _outcomes(tried, conversations, gateway, costs, lambda done, total: None)
    return _best(found, now, Targets()), tuple(found)


def sure_of(
    judged: Sequence[Judged], gateway: GatewayConfig
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return how sure the router is of each request's most probable domain, and whether that is right.

    The last turn alone counts: a history says where a conversation was.
    """
    tops = [_top(one.heard.scores, gateway) for one in judged]
    right = [domain in one.accepted for one, (domain, _) in zip(judged, tops, strict=True)]
    return np.array([score for _, score in tops]), np.array(right, dtype=bool)


def _top(scores: DomainScores | None, gateway: GatewayConfig) -> tuple[str, float]:
    served = served_scores(scores, gateway) if scores is not None else {}
    return DomainScores(served).top() if served else (gateway.routing.fallback, 0.0)


def _outcomes(
    tried: Sequence[Settings], judged: Sequence[Judged], gateway: GatewayConfig, costs: Costs, step: Step
) -> list[Outcome]:
    found = []
    for number, settings in enumerate(tried, 1):
        found.append(outcome(judged, settings.within(gateway), costs))
        step(number, len(tried))
    return found


def _best(found: Sequence[Outcome], now: Settings, targets: Targets) -> Outcome:
    reaching = [one for one in found if not targets.missed(one)]
    if not reaching:
        raise ConfigError(_unreachable(found, targets))
    # Sums in another order differ in the last digits; that is no difference in cost.
    return min(reaching, key=lambda one: (round(one.cost, 9), one.settings.distance(now)))


def _unreachable(found: Sequence[Outcome], targets: Targets) -> str:
    """Say how far each target can be reached, and at what."""
    answering = [one for one in found if one.answered_accuracy is not None]
    accurate = max(answering or found, key=lambda one: one.answered_accuracy or 0.0)
    cheap = min(found, key=lambda one: one.cost)
    bold = min(found, key=lambda one: one.doubted)
    reach = {
        "accuracy": f"accuracy among the answered at most {accurate.answered_accuracy or 0.0:.3f} "
        f"(then {accurate.doubted:.1%} fall back)",
        "cost": f"mean cost at least {cheap.cost:.3f}",
        "fallback": f"share of fallbacks for doubt at least {bold.doubted:.3f} "
        f"(then accuracy {bold.answered_accuracy or 0.0:.3f})",
    }
    asked = [name for name in reach if getattr(targets, name) is not None]
    wanted = ", ".join(f"{name} {getattr(targets, name):g}" for name in asked)
    return (
        f"no threshold and margin reach the target{'s together' if len(asked) > 1 else ''} ({wanted}). "
        f"On these prompts: {'; '.join(reach[name] for name in asked)}. "
        "Ask for less, or train a better router"
    )


def _with(values: Sequence[float], now: float) -> list[float]:
    return sorted({*values, now})


def _mean(values: Iterable[float]) -> float | None:
    """Return the mean; None of nothing."""
    found = list(values)
    return sum(found) / len(found) if found else None
