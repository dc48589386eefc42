"""A profile as tables that need no more arithmetic while a simulation runs."""

from dataclasses import dataclass
from math import inf

from modem.simulation.profile import Profile

_LEAST_STEP_S = 1e-9


@dataclass(frozen=True, slots=True)
class Speeds:
    """What an engine can do.

    Attributes:
        step_s: Seconds of a decode step by the number of requests in it.
        token_s: Seconds to read one prompt token.
        overhead_s: Seconds for each prompt on top.
        chunk_s: Seconds to read a whole chunk; None if reading and decoding do not share steps.
        parallel: Prompts are read side by side.
        max_num_seqs: Requests at once.
        kv_tokens: Tokens that the cache holds.
    """

    step_s: tuple[float, ...]
    token_s: float
    overhead_s: float
    chunk_s: float | None
    parallel: bool
    max_num_seqs: int
    kv_tokens: float

    @classmethod
    def of(cls, profile: Profile) -> "Speeds":
        """Tabulate a profile."""
        prefill = profile.prefill
        token_s = 1 / prefill.tokens_per_s if prefill.tokens_per_s else 0.0
        steps = [max(profile.decode.at(batch), _LEAST_STEP_S) for batch in range(profile.max_num_seqs + 1)]
        chunk_s = prefill.chunk_tokens * token_s if prefill.chunk_tokens else None
        return cls(
            tuple(steps),
            token_s,
            prefill.overhead_s,
            chunk_s or None,
            prefill.parallel,
            profile.max_num_seqs,
            profile.kv_capacity_tokens or inf,
        )
