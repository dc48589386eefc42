"""Small folders of labelled prompts."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

DOMAINS = ("coding", "math", "other")
_NOUNS = ("cats", "numbers", "words", "users", "dates", "prices", "cities", "songs", "trees", "boxes")
_WAYS = {
    "math": ("solve 3x + {n} = 12 for the {noun}", "what is {n} percent of 80 {noun}?"),
    "coding": ("write a Python function that sorts {n} {noun}", "my Java loop over {n} {noun} crashes"),
    "other": ("tell me a story about {n} {noun}", "plan a holiday with {n} {noun}"),
}

SOURCES = """
sources:
  - {name: drills, domains: [coding, math, other], home: here, licence: MIT, use: true}
  - {name: closed, domains: [other], home: there, licence: CC BY-NC 4.0, use: false, note: "not a|b"}
"""

Row = tuple[str, str, str]
"""Prompt, domain, source."""


def rows(per_domain: int = 40, source: str = "drills", first: int = 0) -> list[Row]:
    """Distinct prompts that even a small head tells apart."""
    return [
        (_WAYS[domain][i % 2].format(n=i + 2, noun=_NOUNS[i % len(_NOUNS)]), domain, source)
        for domain in DOMAINS
        for i in range(first, first + per_domain)
    ]


def write(path: Path, content: Iterable[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"prompt": p, "domain": d, "source": s}) for p, d, s in content]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def corpus(folder: Path, content: Sequence[Row] | None = None, sources: str = SOURCES) -> tuple[Path, Path]:
    """A data folder and a declaration that fits it."""
    write(folder / "prompts" / "drills.jsonl", rows() if content is None else content)
    declaration = folder / "sources.yaml"
    declaration.write_text(sources, encoding="utf-8")
    return folder / "prompts", declaration
