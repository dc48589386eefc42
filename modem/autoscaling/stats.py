"""What each replica of an expert tells the autoscaler besides how many requests it has.

Serve collects it through ``record_autoscaling_stats`` and hands it to a policy as
``ctx.aggregated_metrics[name][replica]``, averaged over the look-back window. Live replicas and simulated
ones publish the same names, so that one policy reads both.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

PREFIX = "modem_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStats:
    """Load and capacity of one replica.

    Attributes:
        running_requests: Requests in the engine's batch.
        waiting_requests: Requests in the engine that wait to get into the batch.
        prefill_tokens: Prompt tokens that are yet to be computed, of waiting and running requests.
        context_tokens: Tokens that running requests hold in the KV cache.
        kv_capacity_tokens: Tokens that the KV cache can hold; 0 if unknown.
        max_running_requests: Requests that fit into the batch (vLLM's ``max_num_seqs``); 0 if unknown.
        prefill_tokens_per_s: Measured speed of reading prompts; 0 if nothing was measured yet.
        decode_step_s: Measured seconds of one decode step at the present batch; 0 if unknown.
        ttft_s: Mean time to first token of the requests that got theirs lately; 0 without any.
        itl_s: Mean time between tokens lately; 0 without any.
        startup_s: Seconds from the replica's creation to readiness.
    """

    running_requests: float = 0.0
    waiting_requests: float = 0.0
    prefill_tokens: float = 0.0
    context_tokens: float = 0.0
    kv_capacity_tokens: float = 0.0
    max_running_requests: float = 0.0
    prefill_tokens_per_s: float = 0.0
    decode_step_s: float = 0.0
    ttft_s: float = 0.0
    itl_s: float = 0.0
    startup_s: float = 0.0

    def to_metrics(self) -> dict[str, float]:
        """Return what ``record_autoscaling_stats`` gives to Serve: flat, prefixed, floats only."""
        return {PREFIX + name: float(value) for name, value in asdict(self).items()}

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, float]) -> "ReplicaStats":
        """Read one replica's metrics; what is missing stays 0, other names are left alone."""
        names = {field.name for field in fields(cls)}
        found = {key.removeprefix(PREFIX): float(value) for key, value in metrics.items()}
        return cls(**{name: value for name, value in found.items() if name in names})
