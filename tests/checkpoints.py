"""Hugging Face checkpoints of random weights for routers of kind ``encoder``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.builders import DOMAINS
from tests.compact import tokenizer

POSITIONS = 64


def bert(**common: Any) -> Any:
    """Settings of a tiny BERT."""
    from transformers import BertConfig

    return BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, **common
    )


def deberta(**common: Any) -> Any:
    """Settings of a tiny DeBERTa-v3: relative positions, shared keys, a convolution."""
    from transformers import DebertaV2Config

    return DebertaV2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        pooler_hidden_size=32,
        **DEBERTA_V3,
        **common,
    )


def deberta_v3_large(**common: Any) -> Any:
    """Settings of microsoft/deberta-v3-large: 435 million weights."""
    from transformers import DebertaV2Config

    size = {"vocab_size": 128_100, "max_position_embeddings": 512, "initializer_range": 0.02}
    return DebertaV2Config(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        pooler_hidden_size=1024,
        **DEBERTA_V3,
        **{**common, **size},
    )


DEBERTA_V3: dict[str, Any] = {
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "max_relative_positions": -1,
    "position_biased_input": False,
    "type_vocab_size": 0,
    "layer_norm_eps": 1e-7,
}
"""What tells microsoft/deberta-v3-large's architecture from others of its family."""


def write_checkpoint(
    folder: Path,
    config: Callable[..., Any] = bert,
    domains: Sequence[str] = DOMAINS,
    dtype: str = "float32",
) -> Path:
    """Write a checkpoint with its tokenizer; the same weights at every call."""
    import torch
    from transformers import AutoModelForSequenceClassification

    settings = config(
        vocab_size=len(tokenizer()),
        max_position_embeddings=POSITIONS,
        initializer_range=0.3,
        id2label=dict(enumerate(domains)),
        label2id={domain: index for index, domain in enumerate(domains)},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(settings, dtype=getattr(torch, dtype))
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
