"""Labelled prompts to measure on: one JSONL file is one set."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modem.errors import ConfigError
from modem.jsonl import read_objects
from modem.routing.text import RoutingText, routing_text

_FIELDS = "prompt (or messages) and domain"

COMMITTED = Path(__file__).parent / "sets"
"""The project's own sets. They are in the package, so that anybody can repeat a measurement."""

ADDED_DOMAIN_SET = "add_domain_law"
"""Half of it belongs to a domain that no router here was trained on; see `modem.evaluation.added`."""

VALIDATION = "validation"
"""Folder inside a data folder with sets of other origin."""

BORDERLINE_SUBJECTS = frozenset(
    {"electrical_engineering", "virology", "human_sexuality", "econometrics", "formal_logic"}
)
"""Subjects of MMLU that another labeller would give to another domain; reported apart."""


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled request.

    Attributes:
        messages: In OpenAI's shape; a prompt is one user message.
        domain: Where it belongs.
        also: Further domains that are right for it.
        source: The data set it came from; empty if unknown.
        subject: Its field within the data set, such as MMLU's subject; empty if there are none.
        kind: What it tests within its set, such as ``follow_up``; empty if the set has one kind.
        group: Cases of one group say the same in other words; empty if there are no groups.
        where: ``file:line``, for messages.
    """

    messages: tuple[Mapping[str, Any], ...]
    domain: str
    also: tuple[str, ...] = ()
    source: str = ""
    subject: str = ""
    kind: str = ""
    group: str = ""
    where: str = ""

    @property
    def accepted(self) -> tuple[str, ...]:
        """All domains that are right, the case's own first."""
        return (self.domain, *self.also)

    @property
    def prompt(self) -> str:
        """What the last message says."""
        content = self.messages[-1].get("content")
        return content if isinstance(content, str) else ""

    def routed(self) -> RoutingText:
        """Return what a router reads of it in service."""
        return routing_text(self.messages)

    def said(self, change: Callable[[str], str]) -> "Case":
        """Return the case with its last message said otherwise."""
        last = {**self.messages[-1], "content": change(self.prompt)}
        return replace(self, messages=(*self.messages[:-1], last))


def prompt_case(prompt: str, domain: str, source: str = "", where: str = "") -> Case:
    """Return the case of a single prompt."""
    return Case(({"role": "user", "content": prompt},), domain, source=source, where=where)


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Cases that are measured together.

    Attributes:
        name: The name of its file, without the ending.
        cases: At least one.
    """

    name: str
    cases: tuple[Case, ...]


def committed(name: str) -> EvaluationSet:
    """Return one of the project's own sets."""
    return read_set(COMMITTED / f"{name}.jsonl")


def committed_sets() -> list[EvaluationSet]:
    """Return the project's own sets, by name, but for the one that needs a further domain."""
    return [read_set(file) for file in sorted(COMMITTED.glob("*.jsonl")) if file.stem != ADDED_DOMAIN_SET]


def read_sets(path: Path) -> list[EvaluationSet]:
    """Read a JSONL file, or every one in a folder and in its ``validation`` folder.

    Raises:
        ConfigError: Nothing is there to read, or a line is wrong; names file and line.
    """
    if not path.is_dir():
        return [read_set(path)]
    files = [*sorted(path.glob("*.jsonl")), *sorted((path / VALIDATION).glob("*.jsonl"))]
    if not files:
        raise ConfigError(f"{path}: holds no .jsonl files to measure on")
    return [read_set(file) for file in files]


def read_held_out(folders: Sequence[Path]) -> list[EvaluationSet]:
    """Read the part of training folders that no training has learnt.

    That is the held-out share of the prompts right in the folders, as one set, and each set of their
    ``validation`` folders.

    Raises:
        ConfigError: Nothing is there to read, or a line is wrong; names file and line.
    """
    from modem.training.data import read_prompts, split

    _, held_out = split(prompt for folder in folders for prompt in read_prompts(folder))
    cases = tuple(prompt_case(p.text, p.domain, p.source, p.where) for p in held_out)
    rest = [read_set(file) for folder in folders for file in sorted((folder / VALIDATION).glob("*.jsonl"))]
    return [EvaluationSet("held_out", cases), *rest] if cases else rest


def read_set(file: Path) -> EvaluationSet:
    """Read one set.

    Each line is an object with ``prompt`` (a string) or ``messages`` (a list) and ``domain``; the other
    fields of `Case` may be there; further keys are not read. Empty lines are skipped.

    Raises:
        ConfigError: The file is missing or empty, or a line is wrong; names file and line.
    """
    cases = tuple(_case(row, where) for row, where in read_objects(file, _FIELDS))
    if not cases:
        raise ConfigError(f"{file}: holds no cases; expected JSONL with prompt (or messages) and domain")
    return EvaluationSet(file.stem, cases)


def limited(found: EvaluationSet, most: int | None) -> EvaluationSet:
    """Return at most so many cases of a set, the same ones each time, in their order.

    Cases of one group are drawn together.
    """
    if most is None or len(found.cases) <= most:
        return found
    drawn = sorted(range(len(found.cases)), key=lambda index: _hash(found.cases[index]))[:most]
    return replace(found, cases=tuple(found.cases[index] for index in sorted(drawn)))


def _case(row: Mapping[str, Any], where: str) -> Case:
    if not isinstance(row.get("domain"), str):
        raise ConfigError(f"{where}: expected an object with {_FIELDS}")
    also = row.get("also") or []
    if not isinstance(also, list) or not all(isinstance(domain, str) for domain in also):
        raise ConfigError(f"{where}: also must be a list of domains")
    return Case(
        messages=_messages(row, where),
        domain=row["domain"],
        also=tuple(also),
        where=where,
        **{key: _text(row.get(key)) for key in ("source", "subject", "kind", "group")},
    )


def _messages(row: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], ...]:
    messages = row.get("messages")
    if isinstance(messages, list) and messages and all(isinstance(message, dict) for message in messages):
        return tuple(messages)
    if isinstance(row.get("prompt"), str):
        return ({"role": "user", "content": row["prompt"]},)
    raise ConfigError(f"{where}: needs prompt (a string) or messages (a list of objects)")


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _hash(case: Case) -> bytes:
    return hashlib.sha256((case.group or case.prompt).encode("utf-8", errors="replace")).digest()


def by_name(sets: Sequence[EvaluationSet]) -> dict[str, EvaluationSet]:
    """Return sets under their names.

    Raises:
        ConfigError: Two sets have the same name.
    """
    found: dict[str, EvaluationSet] = {}
    for one in sets:
        if one.name in found:
            raise ConfigError(
                f"two sets are called {one.name!r} ({found[one.name].cases[0].where}, {one.cases[0].where}); "
                "rename one of the files"
            )
        found[one.name] = one
    return found
