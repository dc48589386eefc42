"""A fine-tuned Hugging Face encoder as router, such as DeBERTa-v3-large: on a GPU, or on a patient CPU.

transformers and torch take seconds to import, so they are imported where one is built.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError

from modem.config import Config
from modem.errors import ConfigError
from modem.routing.batching import batches
from modem.routing.encoder import without_progress_bars
from modem.routing.folder import ROUTER, Background, Name, read_background
from modem.routing.network_router import NetworkRouter, Outputs
from modem.routing.scores import readable
from modem.types import RouterIdentity

MAX_TOKENS = 512
"""Tokens of a text that are read, unless the checkpoint says otherwise or its encoder takes fewer."""

WEIGHTS = "model.safetensors"

REMEDY = "train one with: modem router train --config training/deberta-v3-large.yaml --data DIR --out FOLDER"


Rows = NDArray[np.float32]


class CheckpointFile(Config):
    """What an optional ``router.json`` beside a checkpoint says. Other keys are not for this reader.

    Attributes:
        name: Reported with every decision; the folder's name by default.
        version: The same; by default the start of the weights' SHA-256.
        temperature: Logits are divided by it.
        max_tokens: Tokens of a text that are read, special tokens included.
    """

    model_config = ConfigDict(extra="ignore")

    name: Name | None = None
    version: Name | None = None
    temperature: float = Field(default=1.0, gt=0)
    max_tokens: int = Field(default=MAX_TOKENS, ge=3)


class EncoderRouter(NetworkRouter):
    """A `modem.routing.base.Router` and `Embedder` on PyTorch: bfloat16 on a GPU, float32 on the CPU.

    Attention is what transformers has for the architecture: SDPA where it can, written out for DeBERTa.
    Only safetensors are read, and code in the checkpoint is never run.

    Args:
        checkpoint: Folder of an ``AutoModelForSequenceClassification`` and its tokenizer, whose labels
            are the domains; ``modem router train`` with a recipe of kind ``encoder`` writes one.
        max_batch_tokens: Rows times padded length in one forward pass.
        num_threads: Of PyTorch on the CPU; None leaves its own choice.

    Raises:
        ConfigError: The folder is missing, foreign or incomplete.
    """

    def __init__(
        self, checkpoint: Path, max_batch_tokens: int = 4096, num_threads: int | None = None
    ) -> None:
        if not (checkpoint / "config.json").is_file():
            raise ConfigError(f"router.model: {str(checkpoint)!r} is no folder with a checkpoint; {REMEDY}")
        about = _about(checkpoint)
        self._tokenizer, self._model = _load(checkpoint, num_threads)
        config = self._model.config
        domains = _domains(checkpoint, config.id2label)
        super().__init__(_identity(about, checkpoint), domains, about.temperature)
        self._max_batch_tokens = max_batch_tokens
        self._max_tokens = min(about.max_tokens, _longest(config))
        self._background = read_background(checkpoint, config.hidden_size, len(domains))

    def background(self) -> Background | None:
        """Return embeddings of prompts it was trained on, if its folder has any."""
        return self._background

    def _run(self, texts: Sequence[str]) -> Outputs:
        logits = np.zeros((len(texts), len(self.domains)), dtype=np.float32)
        embeddings = np.zeros((len(texts), self._model.config.hidden_size), dtype=np.float32)
        if not texts:
            return Outputs(logits, embeddings)
        clean = [readable(text, self._max_tokens) for text in texts]
        tokens = self._tokenizer(clean, truncation=True, max_length=self._max_tokens)
        for batch in batches([len(ids) for ids in tokens["input_ids"]], self._max_batch_tokens):
            found = self._forward({key: [tokens[key][index] for index in batch] for key in tokens})
            logits[batch], embeddings[batch] = found
        return Outputs(logits, embeddings)

    def _forward(self, tokens: Mapping[str, list[list[int]]]) -> tuple[Rows, Rows]:
        """Return logits and the mean of the last hidden states, at length 1, of one batch."""
        import torch

        inputs = self._tokenizer.pad(dict(tokens), return_tensors="pt").to(self._model.device)
        with torch.inference_mode(), _last_states(self._model) as states:
            logits = self._model(**inputs).logits
            mask = inputs["attention_mask"].unsqueeze(-1)
            mean = (states[0].float() * mask).sum(dim=1) / mask.sum(dim=1)
            unit = torch.nn.functional.normalize(mean, dim=1)
            return logits.float().cpu().numpy(), unit.cpu().numpy()


@contextmanager
def _last_states(model: Any) -> Iterator[list[Any]]:
    """Catch what the encoder hands to the head: asked for states, a model returns those of all layers."""
    states: list[Any] = []
    hook = model.base_model.register_forward_hook(lambda *call: states.append(call[-1][0]))
    try:
        yield states
    finally:
        hook.remove()


def _about(checkpoint: Path) -> CheckpointFile:
    file = checkpoint / ROUTER
    if not file.is_file():
        return CheckpointFile()
    try:
        return CheckpointFile.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(f"router.model: {file} is not usable: {error}") from error


def _load(checkpoint: Path, num_threads: int | None) -> tuple[Any, Any]:
    """Load tokenizer and model, ready to be asked."""
    try:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise ConfigError(f"router: {error}; run: pip install 'modem[router]'") from error
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    # Ray hides the GPUs from an actor that asks for none.
    device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        with without_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(str(checkpoint), **options)
            model, loading = AutoModelForSequenceClassification.from_pretrained(
                str(checkpoint), use_safetensors=True, dtype=dtype, output_loading_info=True, **options
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ConfigError(
            f"router.model: transformers cannot load {checkpoint}: {error}; {REMEDY}"
        ) from error
    if missing := sorted(loading["missing_keys"]):
        # transformers would fill them in at random.
        raise ConfigError(f"router.model: {checkpoint} is not trained: it lacks {missing[0]}; {REMEDY}")
    return tokenizer, model.eval().to(device)


def _identity(about: CheckpointFile, checkpoint: Path) -> RouterIdentity:
    version = about.version or _digest(checkpoint / WEIGHTS)[:12]
    return RouterIdentity(about.name or checkpoint.resolve().name, version)


def _longest(config: Any) -> int:
    """Return the most tokens that an encoder has positions for."""
    positions = getattr(config, "max_position_embeddings", None) or MAX_TOKENS
    # RoBERTa's kind counts positions from behind the padding token's.
    return int(positions) - (2 if config.model_type in ("roberta", "xlm-roberta", "camembert") else 0)


def _domains(checkpoint: Path, labels: Mapping[int, str]) -> tuple[str, ...]:
    """Return a checkpoint's labels in the order of its logits."""
    domains = tuple(labels[index] for index in range(len(labels)))
    if len(set(domains)) != len(domains) or any(domain.startswith("LABEL_") for domain in domains):
        raise ConfigError(
            f"router.model: the labels of {checkpoint} are {', '.join(domains)}, not domains; "
            f"write them as id2label into its config.json, or {REMEDY}"
        )
    return domains


def _digest(weights: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights, as hex."""
    if not weights.is_file():
        raise ConfigError(f"router.model: {weights.parent} keeps its weights in no single {WEIGHTS}")
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
