"""Reading the folder of a load test: what was to be sent, what became of it, and what was seen meanwhile."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from modem.errors import ConfigError
from modem.load.columns import Columns, columns
from modem.load.folder import CLIENT, CLUSTER, REQUESTS, RUN
from modem.load.record import Record
from modem.load.samples import ClientSample, ExpertSample

CLOSED_NOTE = "closed loop: hides overload"
"""Stands at every figure of a run whose users waited for their answers."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stairs:
    """How a saturation run rises; see `modem.load.scenario.Saturation`."""

    step_s: float
    growth: float


@dataclass(frozen=True, slots=True)
class Settings:
    """What reports need of a scenario; see `modem.load.scenario.Scenario`."""

    name: str = "scenario"
    description: str = ""
    loop: str = "open"
    targets: str = "ttft_p99<2s"
    duration_s: float | None = None
    rate: Any = None
    users: Any = None
    arrivals: str = "poisson"
    cv: float = 1.0
    mix: str | None = None
    seed: int = 0
    saturation: Stairs | None = None

    @property
    def is_closed(self) -> bool:
        """Whether users waited for their answers before they asked again."""
        return self.loop == "closed"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What ``run.json`` says.

    Attributes:
        scenario: What was to be sent.
        host: To whom.
        started_at: When, by the wall clock, in ISO 8601.
        num_planned: Requests or sessions of the plan; None if not told. A cap in a closed loop.
        num_workers: Load generators.
        versions: Of the programs.
        command: What was typed.
        ended: ``done``, ``interrupted`` or ``stopped: ...`` with a reason; None if the client died.
        ended_s: When.
    """

    scenario: Settings
    host: str = ""
    started_at: str = ""
    num_planned: int | None = None
    num_workers: int = 1
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    ended: str | None = None
    ended_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A load test that was recorded.

    Attributes:
        folder: Where.
        info: What was to be sent, and how it ended.
        records: What became of each request.
        cluster: What the cluster said meanwhile; empty if nobody asked.
        client: What the load generators said of themselves.
        notes: What a reader has to know of the files.
    """

    folder: Path
    info: RunInfo
    records: Columns
    cluster: tuple[ExpertSample, ...]
    client: tuple[ClientSample, ...]
    notes: tuple[str, ...]

    @property
    def settings(self) -> Settings:
        """The scenario's."""
        return self.info.scenario

    @property
    def span_s(self) -> float:
        """How long requests were sent: to the scenario's end, or as far as a run came that was cut short.

        Later turns of sessions may come after the scenario's end and belong to it too.
        """
        last_s = float(self.records.intended_s.max())
        whole = self.info.ended == "done" and self.settings.duration_s is not None
        if whole:
            return max(last_s, self.settings.duration_s or 0.0)
        return last_s or float(self.records.end_s.max()) or 1.0

    @property
    def elapsed_s(self) -> float:
        """Until the last answer came in, and not less than requests were sent."""
        return max(float(self.records.end_s.max()), self.span_s)


def read_run(folder: Path) -> Run:
    """Read what a load test recorded.

    A last line without an end is left out: it was being written when the client died.

    Raises:
        ConfigError: It is no such folder, nothing was recorded, or a line is damaged; with file and line.
    """
    info = _info(folder)
    records, cut = _lines(folder / REQUESTS, Record.from_json)
    if not records:
        where = folder / REQUESTS
        raise ConfigError(f"{where}: no request is recorded; is {info.host or 'the server'} up? Run again")
    cluster, cluster_cut = _lines(folder / CLUSTER, _decoder(ExpertSample))
    client, client_cut = _lines(folder / CLIENT, _decoder(ClientSample))
    notes = [*cut, *cluster_cut, *client_cut, *_ending(info)]
    return Run(folder, info, columns(records), tuple(cluster), tuple(client), tuple(notes))


def _info(folder: Path) -> RunInfo:
    path = folder / RUN
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; give one that 'modem load run' wrote")
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunInfo)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: missing; give a folder that 'modem load run' wrote") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not as 'modem load run' writes it: {error}; run again") from error


def _decoder(kind: type[T]) -> Callable[[bytes], T]:
    return msgspec.json.Decoder(kind).decode


def _lines(path: Path, decode: Callable[[bytes], T]) -> tuple[list[T], list[str]]:
    """Return the lines, and a note if the last one was cut."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    found: list[T] = []
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                found.append(decode(line))
        except ValueError as error:
            # A line that has its end is whole: what is wrong in it was written so, or changed later.
            if number == len(lines):
                return found, [f"{path.name}: the last line was cut off and is left out"]
            raise ConfigError(f"{path}:{number}: damaged: {error}; delete the line, or run again") from error
    return found, []


def _ending(info: RunInfo) -> list[str]:
    if info.ended is None:
        return ["the client did not come to its end; this is what was recorded until then"]
    return [] if info.ended == "done" else [f"the run was cut short ({info.ended})"]
