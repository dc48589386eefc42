"""What the shipped router has to reach on a small set, so that a loss of accuracy does not go unseen."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from modem.errors import ConfigError
from modem.evaluation.evaluate import Report
from modem.evaluation.sets import COMMITTED

GATE = "gate"
"""Name of the set."""

FLOOR_FILE = COMMITTED / "gate_floor.json"

SLACK = 0.02
"""How far accuracy may fall: a few prompts, as a retrained router changes its mind about some."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The bound, and where it comes from.

    Attributes:
        router: Name and version of the router that was measured.
        accuracy: Its accuracy on the set, by the most probable domain.
        floor: What must be reached.
    """

    router: str
    accuracy: float
    floor: float


def floor_of(report: Report) -> Floor:
    """Return the bound that follows from an evaluation.

    Raises:
        ConfigError: The set was not measured.
    """
    try:
        found = report.of(GATE)
    except KeyError as error:
        raise ConfigError(f"the floor is that of the set {GATE!r}, which was not measured") from error
    accuracy = found.scores.accuracy
    router = f"{report.router.name} {report.router.version}"
    return Floor(router, round(accuracy, 4), round(accuracy - SLACK, 4))


def write_floor(floor: Floor, file: Path) -> None:
    """Write it as JSON.

    Raises:
        ConfigError: The file cannot be written.
    """
    try:
        file.write_text(json.dumps(asdict(floor), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from error


def read_floor(file: Path = FLOOR_FILE) -> Floor:
    """Read what `write_floor` wrote."""
    return Floor(**json.loads(file.read_text(encoding="utf-8")))
