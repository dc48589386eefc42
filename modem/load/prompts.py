"""What is asked: prompts by domain, from JSONL files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError
from modem.jsonl import read_objects
from modem.load.shipped import folder

FIELDS = "prompt (or text) and domain"

Prompts = Mapping[str, tuple[str, ...]]
"""Texts of each domain, at least one."""


def read_prompts(source: str | None) -> Prompts:
    """Read prompts.

    Args:
        source: A file; or a folder of them, in which a line without ``domain`` belongs to the domain that
            its file is named after. None for those that come with the load tester.

    Raises:
        ConfigError: A file cannot be read, a line is wrong, or there is no prompt; with file and line.
    """
    path = folder("prompts") if source is None else Path(source)
    files = {file: file.stem for file in sorted(path.glob("*.jsonl"))} if path.is_dir() else {path: None}
    found: dict[str, list[str]] = {}
    for file, default in files.items():
        for row, where in read_objects(file, FIELDS):
            domain, text = _prompt({"domain": default, **row}, where)
            found.setdefault(domain, []).append(text)
    if not found:
        raise ConfigError(f"{path}: no prompt in it; write lines with {FIELDS}")
    return {domain: tuple(texts) for domain, texts in found.items()}


def _prompt(row: Mapping[str, object], where: str) -> tuple[str, str]:
    text, domain = row.get("prompt", row.get("text")), row["domain"]
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"{where}: no text in prompt; a line has {FIELDS}")
    if not isinstance(domain, str) or not domain:
        raise ConfigError(f"{where}: domain is {domain!r}: write the name of a domain")
    return domain, text


def deal(
    domain_index: NDArray[np.int64], num_texts: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Give each question a text of its domain, like cards: none comes twice before all came once.

    A prompt that comes again finds its way in the router's memory and its beginning in the engine's prefix
    cache; so it comes again as late as can be.

    Args:
        domain_index: Of each question; shape ``[n]``.
        num_texts: Of each domain.
        rng: Shuffles.

    Returns:
        For each question the position of its text among those of its domain; shape ``[n]``.
    """
    dealt = np.zeros(len(domain_index), np.int64)
    for domain, number in enumerate(num_texts):
        asked = np.flatnonzero(domain_index == domain)
        decks = np.tile(np.arange(number), (-(-len(asked) // number), 1))
        dealt[asked] = rng.permuted(decks, axis=1).ravel()[: len(asked)]
    return dealt
