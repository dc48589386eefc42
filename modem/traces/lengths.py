"""How long prompts and answers are, for traces that are generated."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError


class Lengths(Protocol):
    """Draws lengths."""

    def draw(
        self, t_s: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return prompt and answer tokens, each at least 1, of requests that arrive at ``t_s``."""
        ...


@dataclass(frozen=True, slots=True)
class LognormalLengths:
    """Log-normal lengths, which chat traffic roughly has.

    Attributes:
        prompt_median_tokens: Half of the prompts are shorter.
        output_median_tokens: Half of the answers are shorter.
        sigma: Standard deviation of the logarithm; 0 for one fixed length.
        max_tokens: Longer ones are cut.
    """

    prompt_median_tokens: float = 512
    output_median_tokens: float = 128
    sigma: float = 0.8
    max_tokens: int = 16384

    def __post_init__(self) -> None:
        if not (self.prompt_median_tokens >= 1 and self.output_median_tokens >= 1 and self.sigma >= 0):
            raise ConfigError(f"lengths: medians of at least 1 token and sigma of at least 0, not {self}")

    def draw(
        self, t_s: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw independent lengths, whatever the time."""
        number = len(t_s)
        return (
            self._draw(self.prompt_median_tokens, number, rng),
            self._draw(self.output_median_tokens, number, rng),
        )

    def _draw(self, median: float, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
        drawn = median * np.exp(self.sigma * rng.standard_normal(number))
        return np.clip(np.rint(drawn), 1, self.max_tokens).astype(np.int64)
