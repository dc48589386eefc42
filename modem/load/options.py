"""What may be changed of a scenario when it is run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modem.errors import ConfigError
from modem.load.scenario import Level, Scenario
from modem.load.scenarios import read_scenario


@dataclass(frozen=True, slots=True)
class Options:
    """Changes; None leaves a scenario as it is.

    Attributes:
        scenario: Name or path.
        duration_s: How long requests are sent.
        rate_scale: Factor on its rate or its users.
        seed: Of all that is drawn.
        prompts: File or folder.
        trace: Of a replay.
        speed: Of a replay.
        sets: ``key=value`` each, for any other key.
    """

    scenario: str
    duration_s: float | None = None
    rate_scale: float | None = None
    seed: int | None = None
    prompts: str | None = None
    trace: str | None = None
    speed: float | None = None
    sets: Sequence[str] = ()

    def read(self) -> Scenario:
        """Return the scenario with the changes.

        Raises:
            ConfigError: The scenario or a change is wrong.
        """
        scenario = read_scenario(self.scenario, self._overrides())
        return scenario if self.rate_scale is None else scaled(scenario, self.rate_scale)

    def _overrides(self) -> Mapping[str, Any]:
        named = {
            "duration_s": self.duration_s,
            "seed": self.seed,
            "prompts": self.prompts,
            "replay.trace": self.trace,
            "replay.speed": self.speed,
        }
        return {key: value for key, value in named.items() if value is not None} | dict(map(_pair, self.sets))


def scaled(scenario: Scenario, factor: float) -> Scenario:
    """Return a scenario with so many times the rate or the users.

    Raises:
        ConfigError: The factor is not above 0, or it is a replay.
    """
    if factor <= 0:
        raise ConfigError(f"--rate-scale {factor:g}: must be more than 0")
    if scenario.replay is not None:
        raise ConfigError("--rate-scale: a replay has the rate of its trace; use --speed")
    changes = {
        name: _times(level, factor)
        for name in ("rate", "users")
        if (level := getattr(scenario, name)) is not None
    }
    return scenario.model_copy(update=changes)


def _times(level: Level, factor: float) -> Level:
    if isinstance(level, tuple):
        return tuple((t_s, value * factor) for t_s, value in level)
    return level * factor


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text!r}: write key=value, such as --set streaming_share=0.5")
    return key.strip(), value.strip()
