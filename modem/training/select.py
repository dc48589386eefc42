"""How far to go from the weights before training to those after it: WiSE-FT, arXiv 2109.01903."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from modem.routing.calibration import softmax
from modem.training.data import Prompt
from modem.training.loading import Loaded
from modem.training.metrics import Evaluation, evaluate

MAX_PROMPTS = 1000
"""Prompts of a set that choose; the sets are ordered by hash, so any prefix is mixed."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One mixture of the weights before and after training.

    Attributes:
        alpha: Share of those after.
        figures: On each set that chooses, by name.
    """

    alpha: float
    figures: Mapping[str, Evaluation]

    @property
    def log_loss(self) -> float:
        """Mean over the sets, so that a large one counts no more than a small one."""
        return fmean(found.log_loss for found in self.figures.values())


def select(
    loaded: Loaded,
    before: Mapping[str, Any],
    alphas: Sequence[float],
    sets: Mapping[str, Sequence[Prompt]],
    domains: Sequence[str],
    max_tokens: int,
    step: Callable[[int], None],
) -> tuple[Candidate, ...]:
    """Measure a trained network's mixtures with what it was, and leave the best in it.

    Args:
        loaded: The trained network.
        before: Its weights before training.
        alphas: Shares of the trained weights to try.
        sets: Prompts that choose; never a test set.
        domains: In the order of the head's rows.
        max_tokens: Of a text.
        step: Called with numbers of texts done.

    Returns:
        All candidates, the best first.
    """
    from modem.training.network import interpolate, snapshot

    after = snapshot(loaded.network)
    chosen = {name: prompts[:MAX_PROMPTS] for name, prompts in sets.items()}
    candidates = []
    for alpha in alphas:
        loaded.network.load_state_dict(interpolate(before, after, alpha))
        figures = {
            name: measure(loaded, prompts, domains, max_tokens, step) for name, prompts in chosen.items()
        }
        candidates.append(Candidate(alpha, figures))
    candidates.sort(key=lambda candidate: candidate.log_loss)
    loaded.network.load_state_dict(interpolate(before, after, candidates[0].alpha))
    return tuple(candidates)


def measure(
    loaded: Loaded,
    prompts: Sequence[Prompt],
    domains: Sequence[str],
    max_tokens: int,
    step: Callable[[int], None],
) -> Evaluation:
    """Measure a network on prompts as they stand."""
    from modem.training.trainer import predict

    texts = [prompt.routed() for prompt in prompts]
    logits = predict(loaded.network, loaded.tokenizer, texts, max_tokens, step)["logits"]
    return evaluate(softmax(logits), [prompt.domain for prompt in prompts], domains)
