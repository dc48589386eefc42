"""AdamW with a learning rate per layer."""

import re
from collections import defaultdict
from typing import Any

from modem.training.recipe import Recipe

_LAYER = re.compile(r"(?:^|\.)(?:layer|layers|h)\.(\d+)\.")


def depth(parameter: str) -> int | None:
    """Return how high in the encoder a parameter lies: 0 for embeddings, i + 1 for layer i.

    Returns:
        None for what lies above all layers: head, pooler, final norms.
    """
    found = _LAYER.search(parameter)
    if found:
        return int(found.group(1)) + 1
    return 0 if "embedding" in parameter else None


def make_optimizer(network: Any, recipe: Recipe) -> Any:
    """Build AdamW over what learns; vectors (biases, norms) do not decay."""
    import torch

    learning = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    top = 1 + max((depth(name) or 0 for name, _ in network.named_parameters()), default=0)
    groups: dict[tuple[float, float], list[Any]] = defaultdict(list)
    for name, parameter in learning:
        layer = depth(name)
        below = max(0, top - 1 - layer) if layer is not None else 0
        rate = recipe.learning_rate * recipe.layer_decay**below
        groups[rate, recipe.weight_decay if parameter.ndim > 1 else 0.0].append(parameter)
    return torch.optim.AdamW(
        [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in groups.items()],
        lr=recipe.learning_rate,
    )
