"""Small sets whose domain stands in their words, for the keyword router of the test helpers."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modem.evaluation.sets import Case, EvaluationSet, prompt_case
from tests.builders import DOMAINS

_NOUNS = ("cats", "bridges", "songs", "rivers", "boxes", "trees")


def keyword_cases(per_domain: int = 4) -> tuple[Case, ...]:
    """Prompts that the keyword router gets right."""
    return tuple(
        prompt_case(f"Tell me {i + 2} facts on {domain} and {_NOUNS[i % 6]}", domain, "drills", f"x:{i}")
        for domain in DOMAINS
        for i in range(per_domain)
    )


def keyword_set(name: str = "drills", per_domain: int = 4) -> EvaluationSet:
    return EvaluationSet(name, keyword_cases(per_domain))


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
