"""From times to the figures of a profile: pure arithmetic on what a client measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import numpy as np

from modem.profiling.client import Answer
from modem.simulation.profile import Decode, Prefill

SIDE_BY_SIDE_BELOW = 2.0
"""Four prompts at once, one after the other, take four times as long as one; side by side, as long as one."""
_NOISE = 2.0
_MAD_TO_SIGMA = 1.4826
_LEAST_RISE = 0.1


@dataclass(frozen=True, slots=True)
class Line:
    """``y = intercept + slope * x``.

    Attributes:
        slope: Change of y by one of x.
        intercept: y at 0.
        r2: Share of the variance that the line explains; 1 where there is none to explain.
    """

    slope: float
    intercept: float
    r2: float


@dataclass(frozen=True, slots=True)
class Step:
    """Decoding with so many requests at once.

    Attributes:
        asked: Requests that were sent at once.
        together: Of these, how many were written at the same time; fewer where the engine was full.
        step_s: Seconds from token to token while they were.
    """

    asked: int
    together: int
    step_s: float


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line:
    """Fit a line by the median of all pairwise slopes, which a few late samples do not move.

    Source: Theil (1950), Sen (1968, doi:10.1080/01621459.1968.10480934).

    Args:
        x: At least two different values.
        y: As many.

    Raises:
        ValueError: All x are the same.
    """
    slopes = [(y[j] - y[i]) / (x[j] - x[i]) for i, j in combinations(range(len(x)), 2) if x[i] != x[j]]
    if not slopes:
        raise ValueError("a line needs two different x")
    slope = median(slopes)
    intercept = median(b - slope * a for a, b in zip(x, y, strict=True))
    residual = np.asarray(y) - intercept - slope * np.asarray(x)
    total = float(np.sum((np.asarray(y) - np.mean(y)) ** 2))
    r2 = 1.0 if total == 0 else 1 - float(np.sum(residual**2)) / total
    return Line(float(slope), float(intercept), r2)


def fit_prefill(alone: Sequence[Answer], at_once: Sequence[Sequence[Answer]]) -> tuple[Prefill, Line]:
    """Return how prompts are read, and the line through the times to first token.

    Where the time hardly grows with the length, not beyond what the samples scatter or by less than a
    tenth, length is said not to matter: a speed made of noise would mislead.

    Args:
        alone: Answers to prompts of at least two lengths, one at a time.
        at_once: Answers to four prompts of the greatest length sent together, for each round.
    """
    lengths = [answer.prompt_tokens for answer in alone]
    times = [answer.ttft_s for answer in alone]
    line = fit_line(lengths, times)
    scatter = _MAD_TO_SIGMA * median(
        abs(t - line.intercept - line.slope * n) for n, t in zip(lengths, times, strict=True)
    )
    rise = line.slope * (max(lengths) - min(lengths))
    grows = rise > max(_NOISE * scatter, _LEAST_RISE * median(times))
    longest = median(t for n, t in zip(lengths, times, strict=True) if n == max(lengths))
    slowest = median(max(answer.ttft_s for answer in together) for together in at_once)
    prefill = Prefill(
        tokens_per_s=_rounded(1 / line.slope) if grows else None,
        overhead_s=_rounded(max(line.intercept, 0.0) if grows else median(times)),
        parallel=slowest < SIDE_BY_SIDE_BELOW * longest,
    )
    return prefill, line


def decode_step(answers: Sequence[Answer]) -> Step:
    """Return the time from token to token of answers that were asked for at once.

    Only the stretch counts in which all of them were being written: from the last first token to the first
    last one. Answers that had to wait for a place begin after that, and are left out.

    Args:
        answers: At least one; of at least two tokens each.
    """
    first_end = min(answer.chunk_s[-1] for answer in answers)
    together = [answer for answer in answers if answer.chunk_s[0] < first_end] or list(answers[:1])
    begin = max(answer.chunk_s[0] for answer in together)
    steps = [step for answer in together if (step := _mean_step(answer, begin, first_end)) is not None]
    if not steps:  # too short a stretch: each answer as a whole
        steps = [step for answer in together if (step := _mean_step(answer, 0, float("inf"))) is not None]
    return Step(len(answers), len(together), median(steps) if steps else 0.0)


def _mean_step(answer: Answer, begin_s: float, end_s: float) -> float | None:
    """Return the mean seconds a token within a stretch; a chunk may hold several tokens."""
    inside = [at for at in answer.chunk_s if begin_s <= at <= end_s]
    if len(inside) < 2:
        return None
    tokens_per_chunk = answer.num_tokens / len(answer.chunk_s)
    return (inside[-1] - inside[0]) / (len(inside) - 1) / max(tokens_per_chunk, 1.0)


def fit_decode(steps: Sequence[Step]) -> Decode:
    """Return the decode step against the number of requests: the median at each number.

    Args:
        steps: At least one.
    """
    numbers = sorted({step.together for step in steps})
    times = [_rounded(median(step.step_s for step in steps if step.together == n)) for n in numbers]
    return Decode(batch=tuple(numbers), step_s=tuple(times))


def places(steps: Sequence[Step]) -> int | None:
    """Return how many requests the engine computes at once; None if it never was full."""
    full = [step.together for step in steps if step.together < step.asked]
    return int(median(full)) if full else None


def _rounded(value: float) -> float:
    """Return a figure with as many digits as a measurement has, and more."""
    return float(f"{value:.4g}")
