"""From a recipe to a network with its tokenizer, ready to learn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modem.errors import ConfigError
from modem.routing.encoder import locate
from modem.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is trained.

    Attributes:
        base: Name of the encoder it starts from.
        tokenizer: Of transformers, a fast one.
        network: `modem.training.network.CompactNetwork`, or a transformers model for sequence
            classification; in training mode only while it is trained.
    """

    base: str
    tokenizer: Any
    network: Any


def load(recipe: Recipe, domains: Sequence[str]) -> Loaded:
    """Load the base of a recipe with a fresh head.

    Code in a model's repository is never run, and weights are only read from safetensors.

    Raises:
        ConfigError: transformers is missing or cannot load the base.
    """
    import torch

    name, found = locate(recipe.base)
    location, options = str(found), {"local_files_only": isinstance(found, Path), "trust_remote_code": False}
    torch.manual_seed(recipe.seed)  # a fresh head is random
    try:
        from transformers import AutoConfig, AutoTokenizer

        config = AutoConfig.from_pretrained(location, **options)
        _set_dropout(config, recipe.dropout)
        tokenizer = AutoTokenizer.from_pretrained(location, **options)
        network = _network(recipe, domains, location, config, options)
    except (ImportError, OSError, ValueError) as error:
        raise ConfigError(f"base: transformers cannot load {recipe.base!r}: {error}") from error
    _freeze(network, recipe)
    return Loaded(name, tokenizer, network.eval().to("cuda" if torch.cuda.is_available() else "cpu"))


def _network(recipe: Recipe, domains: Sequence[str], location: str, config: Any, options: Any) -> Any:
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification

    from modem.training.network import CompactNetwork

    shared = {"config": config, "use_safetensors": True, "dtype": torch.float32, **options}
    if recipe.kind == "compact":
        return CompactNetwork(AutoModel.from_pretrained(location, **shared), len(domains))
    config.num_labels = len(domains)
    config.id2label = dict(enumerate(domains))
    config.label2id = {domain: index for index, domain in enumerate(domains)}
    return AutoModelForSequenceClassification.from_pretrained(location, **shared)


def _set_dropout(config: Any, dropout: float | None) -> None:
    """Set all dropouts of an encoder's configuration, whatever it calls them."""
    if dropout is None:
        return
    for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
        if isinstance(getattr(config, key, None), float | int):
            setattr(config, key, dropout)


def _freeze(network: Any, recipe: Recipe) -> None:
    """Stop the layers that a recipe wants to keep from learning."""
    from modem.training.optimizer import depth

    for name, parameter in network.named_parameters():
        layer = depth(name)
        if (layer == 0 and recipe.freeze_embeddings) or (layer and layer <= recipe.frozen_layers):
            parameter.requires_grad = False
