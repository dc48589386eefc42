"""What a vLLM engine tells of its load, read off vLLM's own books. Imports no vLLM.

Names of vLLM that are not public are read here and nowhere else; checked against 0.32.

- ``output_processor.request_states``: all requests that the engine has not finished. Whether one waits or is
  being read is not known here before its first token, so the counts of those are the scheduler's.
- a stat logger (`LoadLogger`) sees every step: times to first token, times between tokens.
"""

import time
from collections.abc import Callable
from typing import Any

from modem.autoscaling.meter import ReadSpeed, RecentMean
from modem.autoscaling.stats import ReplicaStats


class LoadLogger:
    """A stat logger of vLLM (``vllm.v1.metrics.loggers.AggregateStatLoggerBase``) that keeps the last word.

    Args:
        clock: Seconds since whenever.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[int, int] = {}
        self._ttft, self._itl = RecentMean(), RecentMean()

    def record(
        self,
        scheduler_stats: Any = None,
        iteration_stats: Any = None,
        mm_cache_stats: object = None,
        engine_idx: int = 0,
    ) -> None:
        """Take in one step of an engine; vLLM calls this."""
        if scheduler_stats is not None:
            waiting = scheduler_stats.num_waiting_reqs + scheduler_stats.num_skipped_waiting_reqs
            self._waiting[engine_idx] = waiting
        if iteration_stats is not None:
            now_s = self._clock()
            for mean, seen in (
                (self._ttft, iteration_stats.time_to_first_tokens_iter),
                (self._itl, iteration_stats.inter_token_latencies_iter),
            ):
                if seen:
                    mean.add(now_s, sum(seen), len(seen))

    def log(self) -> None:
        """Nothing: what is kept is asked for."""

    def log_engine_initialized(self) -> None:
        """Nothing."""

    def record_sleep_state(self, is_awake: int, level: int) -> None:
        """Nothing: modem's experts sleep by having no replica."""

    def record_admission_rejection(self, reason: str) -> None:
        """Nothing: a rejected request is no load."""

    @property
    def waiting(self) -> int:
        """Requests that the schedulers had waiting at their last step."""
        return sum(self._waiting.values())

    @property
    def ttft_s(self) -> float:
        """Mean time to first token of late; 0 without any."""
        return self._ttft.at(self._clock())

    @property
    def itl_s(self) -> float:
        """Mean time between two tokens of late; 0 without any."""
        return self._itl.at(self._clock())


class EngineLoad:
    """Reads the load of one engine.

    Args:
        client: vLLM's ``AsyncLLM``.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._logger = LoadLogger()
        self._reads = ReadSpeed()
        self._read: set[str] = set()
        manager = getattr(client, "logger_manager", None)
        if manager is not None:  # None with disable_log_stats: times stay unknown
            manager.stat_loggers.append(self._logger)

    def stats(self, startup_s: float) -> ReplicaStats:
        """Return load and capacity; 0 for what vLLM does not tell.

        ``prefill_tokens`` counts the whole prompt until its first token, also the part of a long one that has
        been read: vLLM does not tell the front of it. ``context_tokens`` counts a prefix that requests share
        once for each. ``decode_step_s`` is the mean time between tokens, so it includes the reading of other
        prompts in between.

        Args:
            startup_s: What the replica took to start.
        """
        processor, config = self._client.output_processor, self._client.vllm_config
        states = processor.request_states
        self._note_reads(states)
        # The scheduler's count is that of its last step; what exceeds the batch waits in any case.
        beyond = len(states) - config.scheduler_config.max_num_seqs
        waiting = min(max(self._logger.waiting, beyond), len(states))
        itl_s = self._logger.itl_s
        return ReplicaStats(
            running_requests=len(states) - waiting,
            waiting_requests=waiting,
            prefill_tokens=sum(state.prompt_len for state in states.values() if state.is_prefilling),
            context_tokens=sum(_held(state) for state in states.values() if not state.is_prefilling),
            kv_capacity_tokens=_kv_capacity_tokens(config),
            max_running_requests=config.scheduler_config.max_num_seqs,
            prefill_tokens_per_s=self._reads.tokens_per_s,
            decode_step_s=itl_s,
            ttft_s=self._logger.ttft_s,
            itl_s=itl_s,
            startup_s=startup_s,
        )

    def _note_reads(self, states: Any) -> None:
        """Note when prompts were read whose first token came since the last call.

        A request that began and ended in between is missed. All but the tokens of cached prefixes were read.
        """
        begun = {
            request_id: state
            for request_id, state in states.items()
            if state.stats is not None and state.stats.first_token_ts > 0
        }
        for request_id in begun.keys() - self._read:
            state = begun[request_id]
            tokens = state.prompt_len - state.num_cached_tokens
            self._reads.add(state.stats.scheduled_ts, state.stats.first_token_ts, tokens)
        self._read = set(begun)


def _held(state: Any) -> int:
    """Return the tokens of a request that has its first: prompt and answer so far."""
    return int(state.prompt_len + (state.stats.num_generation_tokens if state.stats is not None else 0))


def _kv_capacity_tokens(config: Any) -> float:
    cache = config.cache_config
    per_engine = cache.kv_cache_size_tokens or (cache.num_gpu_blocks or 0) * (cache.block_size or 0)
    return float(per_engine * config.parallel_config.data_parallel_size)
