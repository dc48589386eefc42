"""Prompts with a known domain: reading, choosing and splitting them.

Everything is deterministic and independent of the order of files: prompts are drawn by hash.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modem.errors import ConfigError
from modem.routing.text import routing_text
from modem.training.sources import Sources

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
    """

    text: str
    domain: str
    source: str
    where: str

    def routed(self) -> str:
        """Return the text as a router gets it in service when a client sends the prompt."""
        return routing_text([{"role": "user", "content": self.text}])


def read_prompts(path: Path) -> list[Prompt]:
    """Read a JSONL file, or every ``*.jsonl`` file right inside a folder.

    Each line is an object with the strings ``prompt``, ``domain`` and ``source``; further keys are
    allowed. Empty lines are skipped.

    Raises:
        ConfigError: Nothing is there to read, or a line is wrong; names file and line.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    prompts = [prompt for file in files for prompt in _read_file(file)]
    if not prompts:
        raise ConfigError(f"{path}: holds no prompts; expected JSONL with prompt, domain and source")
    return prompts


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
        per_domain: Most prompts of a domain.
        per_source: Most prompts of a source within a domain.
        seed: Draws another sample; the same one draws the same.
        whole: Sources without a cap of their own: broad ones, which teach topics and not a style.

    Returns:
        The sample, ordered by hash: any prefix of it is mixed.
    """
    by_domain: dict[str, dict[str, list[Prompt]]] = defaultdict(lambda: defaultdict(list))
    for prompt in _unique(prompts):
        by_domain[prompt.domain][prompt.source].append(prompt)
    drawn: list[Prompt] = []
    for by_source in by_domain.values():
        sizes = {
            source: len(found) if source in whole else min(len(found), per_source)
            for source, found in by_source.items()
        }
        for source, share in fair_shares(sizes, per_domain).items():
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


def without(prompts: Iterable[Prompt], others: Iterable[Prompt]) -> list[Prompt]:
    """Drop the prompts whose text is among the others: what is measured on must not be learnt."""
    known = {_normal(other.text) for other in others}
    return [prompt for prompt in prompts if _normal(prompt.text) not in known]


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
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error}") from error
    return [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]


def _parse(line: str, where: str) -> Prompt:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: expected an object with prompt, domain and source")
    for key in ("prompt", "domain", "source"):
        value = row.get(key)
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{where}: {key} must be a string that is not empty")
    return Prompt(row["prompt"], row["domain"], row["source"], where)


def _normal(text: str) -> str:
    """Return the text without what makes no difference between two prompts."""
    return " ".join(text.casefold().split())


def _unique(prompts: Iterable[Prompt]) -> list[Prompt]:
    first: dict[str, Prompt] = {}
    for prompt in sorted(prompts, key=lambda prompt: (prompt.source, prompt.text, prompt.domain)):
        first.setdefault(_normal(prompt.text), prompt)
    return list(first.values())


def _hash(text: str, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}\n{_normal(text)}".encode("utf-8", errors="replace")).digest()
    return int.from_bytes(digest[:8])
