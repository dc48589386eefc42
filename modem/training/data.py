"""Prompts with a known domain: reading, choosing and splitting them.

Everything is deterministic and independent of the order of files: prompts are drawn by hash.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modem.errors import ConfigError
from modem.jsonl import read_objects
from modem.routing.text import prompt_text
from modem.training.sources import Sources

_FIELDS = "prompt, domain and source"

HELD_OUT_ONE_IN = 10
"""One prompt in so many is kept back for measuring."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One labelled prompt.

    Attributes:
        text: The prompt.
        domain: The domain it belongs to.
        source: The data set it came from.
        where: ``file:line``, for messages.
        choices: The answers it offers, if it is a multiple-choice question; not part of the text.
    """

    text: str
    domain: str
    source: str
    where: str
    choices: tuple[str, ...] = ()

    def routed(self) -> str:
        """Return the text as a router gets it in service when a client sends the prompt."""
        return prompt_text(self.text)


def read_prompts(path: Path) -> list[Prompt]:
    """Read a JSONL file, or every ``*.jsonl`` file right inside a folder.

    Each line is an object with the strings ``prompt``, ``domain`` and ``source``, and perhaps a
    list ``choices`` of strings; further keys are allowed. Empty lines are skipped.

    Raises:
        ConfigError: Nothing is there to read, or a line is wrong; names file and line.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    prompts = [prompt for file in files for prompt in _read_file(file)]
    if not prompts:
        raise ConfigError(f"{path}: holds no prompts; expected JSONL with prompt, domain and source")
    return prompts


def read_apart(path: Path) -> list[Prompt]:
    """Read a JSONL file of prompts that must not be learnt.

    Each line is an object with a string ``prompt``, or with ``messages`` in OpenAI's shape, of which
    every user turn counts as a prompt; further keys are not read.

    Raises:
        ConfigError: A line is wrong; names file and line.
    """
    return [prompt for row, where in read_objects(path, _FIELDS) for prompt in _apart(row, where, path.stem)]


def declared(prompts: Iterable[Prompt], sources: Sources) -> list[Prompt]:
    """Keep the prompts of sources that may be used.

    Raises:
        ConfigError: A prompt's source is not declared, or not for its domain.
    """
    known = sources.by_name()
    kept = []
    for prompt in prompts:
        source = known.get(prompt.source)
        if source is None:
            raise ConfigError(
                f"{prompt.where}: source {prompt.source!r} is not declared; "
                "add it to the sources file with its home and licence"
            )
        if prompt.domain not in source.domains:
            raise ConfigError(
                f"{prompt.where}: {prompt.source} is declared for {', '.join(source.domains)}, "
                f"not for {prompt.domain!r}"
            )
        if source.use:
            kept.append(prompt)
    return kept


def sample(
    prompts: Iterable[Prompt], per_domain: int, per_source: int, seed: int, whole: Collection[str] = ()
) -> list[Prompt]:
    """Draw a balanced sample without repeats.

    Within a domain every source gives the same number as far as it has them, so that a large
    one does not teach the router its own style.

    Args:
        prompts: To draw from. Of prompts that differ only in case and white space the first by
            source and text counts.
        per_domain: Most prompts of a domain, unless the sources taken whole have more.
        per_source: Most prompts of a source within a domain.
        seed: Draws another sample; the same one draws the same.
        whole: Sources of which every prompt is taken: broad ones, which teach topics and not a style.

    Returns:
        The sample, ordered by hash: any prefix of it is mixed.
    """
    by_domain: dict[str, dict[str, list[Prompt]]] = defaultdict(lambda: defaultdict(list))
    for prompt in _unique(prompts):
        by_domain[prompt.domain][prompt.source].append(prompt)
    drawn: list[Prompt] = []
    for by_source in by_domain.values():
        taken = [prompt for source in by_source if source in whole for prompt in by_source[source]]
        drawn += taken
        sizes = {s: min(len(found), per_source) for s, found in by_source.items() if s not in whole}
        for source, share in fair_shares(sizes, max(0, per_domain - len(taken))).items():
            drawn += sorted(by_source[source], key=lambda prompt: _hash(prompt.text, seed))[:share]
    return sorted(drawn, key=lambda prompt: _hash(prompt.text, seed))


def fair_shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Divide a total over sources that have so many each: equal parts, what one lacks to the others.

    Returns:
        A share per name, none above its size, together ``min(total, sum of sizes)``.
    """
    shares: dict[str, int] = {}
    left = total
    # Smallest first: whatever a source cannot give is there for all that follow.
    for index, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: (item[1], item[0]))):
        shares[name] = min(size, left // (len(sizes) - index))
        left -= shares[name]
    return shares


def split(prompts: Iterable[Prompt]) -> tuple[list[Prompt], list[Prompt]]:
    """Split into training and held-out prompts by a hash of the text.

    Whether a prompt is held out depends on its text alone, so it stays out of training in every
    later run, whatever else is added.
    """
    training: list[Prompt] = []
    held_out: list[Prompt] = []
    for prompt in prompts:
        (held_out if _hash(prompt.text, 0) % HELD_OUT_ONE_IN == 0 else training).append(prompt)
    return training, held_out


def counts(prompts: Sequence[Prompt]) -> dict[tuple[str, str], int]:
    """Count the prompts per ``(domain, source)``, sorted."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    for prompt in prompts:
        found[prompt.domain, prompt.source] += 1
    return dict(sorted(found.items()))


def _read_file(path: Path) -> list[Prompt]:
    return [_labelled(row, where) for row, where in read_objects(path, _FIELDS)]


def _labelled(row: Mapping[str, Any], where: str) -> Prompt:
    for key in ("prompt", "domain", "source"):
        value = row.get(key)
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{where}: {key} must be a string that is not empty")
    choices = row.get("choices") or []
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise ConfigError(f"{where}: choices must be a list of strings")
    return Prompt(row["prompt"], row["domain"], row["source"], where, tuple(choices))


def _apart(row: Mapping[str, Any], where: str, name: str) -> Iterator[Prompt]:
    """Yield what a row of a set says to a router."""
    texts = [row.get("prompt")]
    messages = row.get("messages")
    if isinstance(messages, list):
        texts = [m.get("content") for m in messages if isinstance(m, dict) and m.get("role") == "user"]
    found = [text for text in texts if isinstance(text, str)]
    if not found and not isinstance(messages, list):
        raise ConfigError(f"{where}: expected a string prompt, or messages")
    for text in found:
        yield Prompt(text, str(row.get("domain", "")), name, where)


def normal(text: str) -> str:
    """Return the text without what makes no difference between two prompts: case and white space."""
    return " ".join(text.casefold().split())


def _unique(prompts: Iterable[Prompt]) -> list[Prompt]:
    first: dict[str, Prompt] = {}
    for prompt in sorted(prompts, key=lambda prompt: (prompt.source, prompt.text, prompt.domain)):
        first.setdefault(normal(prompt.text), prompt)
    return list(first.values())


def _hash(text: str, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}\n{normal(text)}".encode("utf-8", errors="replace")).digest()
    return int.from_bytes(digest[:8])
