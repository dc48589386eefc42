"""Writing a trained router's folder; `modem.routing.folder` reads it."""

import datetime
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modem.errors import ConfigError
from modem.routing.base import Embedder
from modem.routing.folder import BACKGROUND, MODEL, ROUTER, TOKENIZER
from modem.training.data import Prompt
from modem.training.loading import Loaded
from modem.training.recipe import Recipe

FORMAT = "modem-router-1"

NUM_BACKGROUND = 1500
"""Training prompts whose embeddings go along: what an added domain has to be told from."""

WEIGHTS = {"compact": MODEL, "encoder": "model.safetensors"}


def write_encoder(loaded: Loaded, out: Path) -> Path:
    """Write a Hugging Face checkpoint; returns its weights file."""
    loaded.network.save_pretrained(out)
    loaded.tokenizer.save_pretrained(out)
    return out / WEIGHTS["encoder"]


def write_compact(loaded: Loaded, out: Path) -> Path:
    """Write the ONNX model and its tokenizer; returns the model's file."""
    from modem.training.onnx_file import export

    export(loaded.network.cpu(), loaded.tokenizer, out / MODEL)
    backend = loaded.tokenizer.backend_tokenizer
    # Padding and truncation are the server's business.
    backend.no_padding()
    backend.no_truncation()
    backend.save(str(out / TOKENIZER))
    return out / MODEL


def write_background(out: Path, prompts: Sequence[Prompt], domains: Sequence[str], router: Embedder) -> None:
    """Write the embeddings of some prompts, as many of each domain: negatives for added domains."""
    from safetensors.numpy import save_file

    chosen = balanced(prompts, NUM_BACKGROUND // len(domains))
    embeddings = router.embed([prompt.routed() for prompt in chosen])
    labels = np.array([domains.index(prompt.domain) for prompt in chosen], dtype=np.int64)
    save_file({"embeddings": embeddings.astype(np.float16), "labels": labels}, out / BACKGROUND)


def write_router(
    out: Path, recipe: Recipe, loaded: Loaded, domains: Sequence[str], version: str, today: datetime.date
) -> None:
    """Write what a server has to know beside the weights."""
    write_json(
        out / ROUTER,
        {
            "format": FORMAT,
            "name": recipe.name,
            "version": version,
            "domains": list(domains),
            "temperature": 1.0,
            "max_tokens": recipe.max_tokens,
            "trained_on": today.isoformat(),
            "base": loaded.base,
            "pad_token_id": loaded.tokenizer.pad_token_id,
        },
    )


def add_to_router(out: Path, content: Mapping[str, Any]) -> None:
    """Add to what `write_router` wrote, or replace parts of it."""
    file = out / ROUTER
    write_json(file, {**json.loads(file.read_text(encoding="utf-8")), **content})


def version_of(weights: Path, today: datetime.date) -> str:
    """Return a version that changes whenever the weights do."""
    with weights.open("rb") as file:
        return f"{today:%Y.%m.%d}-{hashlib.file_digest(file, 'sha256').hexdigest()[:8]}"


def balanced(prompts: Sequence[Prompt], per_domain: int) -> list[Prompt]:
    """Return the first so many prompts of each domain."""
    found: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        if len(found[prompt.domain]) < per_domain:
            found[prompt.domain].append(prompt)
    return [prompt for domain in sorted(found) for prompt in found[domain]]


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and programs.

    Raises:
        ConfigError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
