"""The compact router as a torch module. Imports torch: import it where a network is built."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class CompactNetwork(nn.Module):  # type: ignore[misc] # torch is not typed under strict
    """Encoder, mean pooling, unit length, linear head: ``logits = head(embedding)``.

    The embedding is that of `modem.routing.encoder.SentenceEncoder`, so a logistic regression on
    such embeddings is a head of this network.

    Args:
        encoder: A transformers model with ``last_hidden_state``; its pooler is dropped.
        num_domains: Rows of the head.
    """

    def __init__(self, encoder: Any, num_domains: int) -> None:
        super().__init__()
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, num_domains)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Classify a batch.

        Args:
            input_ids: Shape ``[n, t]``.
            attention_mask: The same; 1 for tokens, 0 for padding.
            token_type_ids: The same, for encoders that have segments.

        Returns:
            ``logits`` of shape ``[n, k]`` and ``embedding`` of shape ``[n, d]``, rows of length 1.
        """
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        hidden = self.encoder(**inputs).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return self._classify((hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1))

    def alone(self, input_ids: Tensor) -> dict[str, Tensor]:
        """Classify texts of one length, which need no mask: shape ``[n, t]``; returns the same."""
        return self._classify(self.encoder(input_ids=input_ids).last_hidden_state.mean(dim=1))

    def _classify(self, mean: Tensor) -> dict[str, Tensor]:
        embedding = nn.functional.normalize(mean, dim=1)
        return {"logits": self.head(embedding), "embedding": embedding}

    def gradient_checkpointing_enable(self, **options: Any) -> None:
        """Pass the Trainer's wish on to the encoder."""
        self.encoder.gradient_checkpointing_enable(**options)

    def set_head(self, weights: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Start the head from a fitted regression: weights of shape ``[k, d]``, bias ``[k]``."""
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weights))
            self.head.bias.copy_(torch.from_numpy(bias))

    def shift_bias(self, shift: NDArray[np.float32]) -> None:
        """Add to the head's bias, shape ``[k]``."""
        with torch.no_grad():
            self.head.bias.add_(torch.from_numpy(shift).to(self.head.bias))


def snapshot(network: Any) -> dict[str, Tensor]:
    """Copy a network's weights, to come back to."""
    return {name: tensor.detach().clone().cpu() for name, tensor in network.state_dict().items()}


def interpolate(before: Mapping[str, Tensor], after: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Return ``(1 - alpha) * before + alpha * after``; what is not a float is taken from after."""
    return {
        name: torch.lerp(before[name], tensor, alpha) if tensor.is_floating_point() else tensor
        for name, tensor in after.items()
    }
