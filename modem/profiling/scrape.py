"""What an expert's own metrics tell of it: Prometheus text, of vLLM and of modem."""

import re
from dataclasses import dataclass

from modem.autoscaling.stats import PREFIX

_LINE = re.compile(r"^(?P<name>[\w:]+)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Published:
    """What was found; None where nothing was.

    Attributes:
        kv_capacity_tokens: Tokens that the KV cache holds.
        startup_s: Seconds that the replica took to start.
    """

    kv_capacity_tokens: int | None = None
    startup_s: float | None = None


def read_metrics(text: str) -> Published:
    """Read a page of metrics.

    vLLM tells its KV cache by the labels of ``vllm:cache_config_info``: blocks, and tokens of a block.
    """
    kv, startup = None, None
    for found in _LINE.finditer(text):
        labels = dict(_LABEL.findall(found["labels"] or ""))
        if found["name"] == "vllm:cache_config_info":
            kv = _product(labels.get("num_gpu_blocks"), labels.get("block_size")) or kv
        elif found["name"] == f"{PREFIX}startup_s":
            startup = _positive(found["value"]) or startup
    return Published(kv, startup)


def _product(*texts: str | None) -> int | None:
    """Return the product of whole numbers; None if one is none (vLLM writes ``None`` for what it lacks)."""
    result = 1
    for text in texts:
        if text is None or not text.isdecimal():
            return None
        result *= int(text)
    return result or None


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
