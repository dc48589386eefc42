"""What requests ask of a replica at least, by its profile."""

import numpy as np
from numpy.typing import NDArray

from modem.simulation.profile import Profile


def prefill_s(profile: Profile, prompt_tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the seconds of reading that prompts take one after the other; 0 where they are read at once."""
    if profile.prefill.parallel:
        return np.zeros(len(prompt_tokens))
    return least_first_token_s(profile, prompt_tokens)


def least_first_token_s(profile: Profile, prompt_tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the seconds in which prompts are read by an idle replica."""
    speed = profile.prefill.tokens_per_s
    token_s = 1 / speed if speed else 0.0
    return np.asarray(profile.prefill.overhead_s + prompt_tokens * token_s, dtype=np.float64)


def decode_tokens_per_s(profile: Profile) -> float:
    """Return the most tokens that one replica writes in a second, at the best batch."""
    return max(batch / max(profile.decode.at(batch), 1e-9) for batch in range(1, profile.max_num_seqs + 1))
