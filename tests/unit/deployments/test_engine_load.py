"""What is read off vLLM's books: made by hand here, and held against vLLM's own source."""

import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.engine_load import EngineLoad, LoadLogger
from modem.autoscaling.stats import ReplicaStats


def source(name: str) -> str:
    """The source of a part of vLLM, without importing it."""
    spec = find_spec("vllm")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("v1/engine/async_llm.py", r"self\.logger_manager: StatLoggerManager \| None"),
        ("v1/engine/async_llm.py", r"self\.output_processor = OutputProcessor\("),
        ("v1/engine/async_llm.py", r"self\.vllm_config = vllm_config"),
        ("v1/engine/output_processor.py", r"self\.request_states: dict\[str, RequestState\]"),
        ("v1/engine/output_processor.py", r"self\.prompt_len ="),
        ("v1/engine/output_processor.py", r"self\.is_prefilling = True"),
        ("v1/engine/output_processor.py", r"self\.num_cached_tokens = 0"),
        ("v1/engine/output_processor.py", r"self\.stats = RequestStateStats\(.*\) if log_stats else None"),
        ("v1/metrics/stats.py", r"class RequestStateStats:(.|\n)*num_generation_tokens: int = 0"),
        ("v1/metrics/stats.py", r"scheduled_ts: float = 0\.0\n    first_token_ts: float = 0\.0"),
        (
            "v1/metrics/stats.py",
            r"class SchedulerStats:(.|\n)*num_waiting_reqs: int(.|\n)*num_skipped_waiting_reqs",
        ),
        ("v1/metrics/stats.py", r"class IterationStats:(.|\n)*time_to_first_tokens_iter: list\[float\]"),
        ("v1/metrics/stats.py", r"class IterationStats:(.|\n)*inter_token_latencies_iter: list\[float\]"),
        ("v1/metrics/loggers.py", r"self\.stat_loggers: list\[AggregateStatLoggerBase\]"),
        ("config/cache.py", r"kv_cache_size_tokens: int \| None"),
        ("config/cache.py", r"num_gpu_blocks: int \| None"),
        ("config/scheduler.py", r"max_num_seqs: int"),
        ("config/parallel.py", r"data_parallel_size: int"),
    ],
)
def test_vllm_keeps_its_books_so(file: str, pattern: str) -> None:
    assert re.search(pattern, source(file)), f"{pattern} is not in {file}"


def test_the_logger_has_every_method_that_vllm_calls() -> None:
    loggers = source("v1/metrics/loggers.py")
    manager = loggers[loggers.index("\nclass StatLoggerManager") :]
    called = set(re.findall(r"logger\.(\w+)\(", manager)) - {"isEnabledFor", "warning", "info", "debug"}
    assert {"record", "log"} <= called
    assert called <= set(dir(LoadLogger))


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def iteration(ttfts: list[float], itls: list[float]) -> Any:
    return SimpleNamespace(time_to_first_tokens_iter=ttfts, inter_token_latencies_iter=itls)


def scheduler(waiting: int, skipped: int = 0) -> Any:
    return SimpleNamespace(num_waiting_reqs=waiting, num_skipped_waiting_reqs=skipped)


class TestLogger:
    def test_means_are_of_all_that_was_seen(self) -> None:
        logger = LoadLogger(Clock())
        logger.record(iteration_stats=iteration([0.1, 0.3], []))
        logger.record(iteration_stats=iteration([], [0.02] * 9 + [0.12]))
        assert logger.ttft_s == pytest.approx(0.2)
        assert logger.itl_s == pytest.approx(0.03)

    def test_nothing_seen_is_0(self) -> None:
        logger = LoadLogger(Clock())
        logger.record(scheduler_stats=None, iteration_stats=None)
        assert (logger.ttft_s, logger.itl_s, logger.waiting) == (0, 0, 0)

    def test_what_is_long_ago_is_forgotten(self) -> None:
        clock = Clock()
        logger = LoadLogger(clock)
        logger.record(iteration_stats=iteration([0.1], [0.02]))
        clock.now_s = 200
        assert (logger.ttft_s, logger.itl_s) == (0, 0)

    def test_several_engines_are_added_up(self) -> None:
        logger = LoadLogger(Clock())
        logger.record(scheduler_stats=scheduler(3, 1), engine_idx=0)
        logger.record(scheduler_stats=scheduler(2), engine_idx=1)
        assert logger.waiting == 6
        logger.record(scheduler_stats=scheduler(0), engine_idx=0)
        assert logger.waiting == 2


def state(prompt: int, generated: int = 0, cached: int = 0, read: tuple[float, float] = (0, 0)) -> Any:
    """A request as vLLM's front keeps it; it has its first token if it was read from then to then."""
    stats = SimpleNamespace(
        num_generation_tokens=generated, scheduled_ts=read[0], first_token_ts=read[1], queued_ts=0.0
    )
    return SimpleNamespace(
        prompt_len=prompt, is_prefilling=not read[1], num_cached_tokens=cached, stats=stats
    )


class Engine:
    """vLLM's ``AsyncLLM``, as far as it is read."""

    def __init__(self, **states: Any) -> None:
        self.output_processor = SimpleNamespace(request_states=dict(states))
        self.logger_manager: Any = SimpleNamespace(stat_loggers=[])
        self.vllm_config = SimpleNamespace(
            cache_config=SimpleNamespace(kv_cache_size_tokens=10_000, num_gpu_blocks=500, block_size=16),
            scheduler_config=SimpleNamespace(max_num_seqs=8),
            parallel_config=SimpleNamespace(data_parallel_size=1),
        )

    def logs(self, **stats: Any) -> None:
        for logger in self.logger_manager.stat_loggers:
            logger.record(**stats)


class TestLoad:
    def test_of_an_idle_engine(self) -> None:
        assert EngineLoad(Engine()).stats(61.0) == ReplicaStats(
            kv_capacity_tokens=10_000, max_running_requests=8, startup_s=61.0
        )

    def test_tokens_are_those_of_the_requests_in_it(self) -> None:
        engine = Engine(
            a=state(1000), b=state(500), c=state(300, generated=20, read=(1, 2)), d=state(200, 5, read=(2, 3))
        )
        load = EngineLoad(engine)
        engine.logs(scheduler_stats=scheduler(1))
        found = load.stats(0)
        assert (found.running_requests, found.waiting_requests) == (3, 1)
        assert (found.prefill_tokens, found.context_tokens) == (1500, 525)

    def test_a_count_of_the_past_is_not_believed(self) -> None:
        # Nobody tells the front of steps that do not happen: after the last request was aborted, say.
        engine = Engine(a=state(100))
        load = EngineLoad(engine)
        engine.logs(scheduler_stats=scheduler(5))
        engine.output_processor.request_states.clear()
        assert load.stats(0).waiting_requests == 0
        assert load.stats(0).running_requests == 0

    def test_what_exceeds_the_batch_waits_before_any_step_says_so(self) -> None:
        found = EngineLoad(Engine(**{f"r{i}": state(10) for i in range(11)})).stats(0)
        assert (found.running_requests, found.waiting_requests) == (8, 3)

    def test_times_come_from_the_steps(self) -> None:
        engine = Engine()
        load = EngineLoad(engine)
        engine.logs(iteration_stats=iteration([0.5], [0.04, 0.06]))
        found = load.stats(0)
        assert found.ttft_s == pytest.approx(0.5)
        assert found.itl_s == found.decode_step_s == pytest.approx(0.05)

    def test_the_speed_of_reading_leaves_out_what_was_cached(self) -> None:
        engine = Engine(a=state(1000, 1, cached=400, read=(10.0, 10.5)))
        assert EngineLoad(engine).stats(0).prefill_tokens_per_s == pytest.approx(1200)

    def test_each_prompt_counts_once(self) -> None:
        engine = Engine(a=state(1000, 1, read=(10.0, 11.0)))
        load = EngineLoad(engine)
        for _ in range(3):
            assert load.stats(0).prefill_tokens_per_s == pytest.approx(1000)
        engine.output_processor.request_states["b"] = state(3000, 1, read=(11.0, 12.0))
        assert load.stats(0).prefill_tokens_per_s == pytest.approx(2000)

    def test_the_cache_is_that_of_all_engines(self) -> None:
        engine = Engine()
        engine.vllm_config.parallel_config.data_parallel_size = 2
        assert EngineLoad(engine).stats(0).kv_capacity_tokens == 20_000
        engine.vllm_config.cache_config.kv_cache_size_tokens = None
        assert EngineLoad(engine).stats(0).kv_capacity_tokens == 16_000

    def test_without_vllms_statistics_counts_remain(self) -> None:
        engine = Engine(
            a=SimpleNamespace(prompt_len=70, is_prefilling=False, num_cached_tokens=0, stats=None)
        )
        engine.logger_manager = None
        found = EngineLoad(engine).stats(5)
        assert (found.running_requests, found.context_tokens) == (1, 70)
        assert (found.ttft_s, found.prefill_tokens_per_s) == (0, 0)
