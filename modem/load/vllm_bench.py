"""A run in the shape of ``vllm bench serve --save-result --save-detailed`` (vLLM 0.32).

Keys and units are those of ``vllm/benchmarks/serve.py``. There latencies count from the actual send, and
what a request waited in the client stands beside them as ``queue_times``; so here the client's lateness
does. A request that failed has a latency of 0. Answers are not recorded, so their texts are empty.
"""

import datetime
from collections.abc import Mapping
from typing import Any

import numpy as np

from modem.load.columns import UNKNOWN, Columns, Floats, Ints
from modem.load.outcome import OUTCOMES
from modem.load.run import Run, Settings
from modem.load.summary import Summary

_PERCENTILES = (50, 90, 99)


def vllm_bench(run: Run, summary: Summary) -> dict[str, Any]:
    """Return the object that is written as JSON."""
    records, total = run.records, summary.total
    ok = records.ok
    duration_s = summary.elapsed_s
    output_lens = np.where(ok, np.where(records.output_tokens == UNKNOWN, 1, records.output_tokens), 0)
    input_lens = np.maximum(records.prompt_tokens, 0)
    total_input, total_output = int(input_lens[ok].sum()), int(output_lens.sum())
    tokens, concurrent = _peaks(records)
    return {
        **_header(run),
        "duration": duration_s,
        "completed": total.num_ok,
        "failed": total.num_failed,
        "total_input_tokens": total_input,
        "total_output_tokens": total_output,
        "request_throughput": total.num_ok / duration_s,
        "request_goodput": total.num_good / duration_s,
        "output_throughput": total_output / duration_s,
        "total_token_throughput": (total_input + total_output) / duration_s,
        "input_lens": input_lens.tolist(),
        "output_lens": output_lens.tolist(),
        "ttfts": _ttfts(records).tolist(),
        "itls": _itls(records),
        "latencies": np.where(ok, records.end_s - records.sent_s, 0.0).tolist(),
        "start_times": records.sent_s.tolist(),
        "queue_times": records.late_s.tolist(),
        "generated_texts": [""] * len(records),
        "errors": [
            "" if fine else f"{OUTCOMES[outcome]}: {message or '-'}"
            for fine, outcome, message in zip(
                ok.tolist(), records.outcome.tolist(), records.messages, strict=True
            )
        ],
        "max_output_tokens_per_s": tokens,
        "max_concurrent_requests": concurrent,
        "rtfx": 0.0,  # of audio
        **_statistics(records, output_lens),
    }


def _header(run: Run) -> Mapping[str, Any]:
    settings = run.settings
    return {
        "date": _date(run.info.started_at),
        "endpoint_type": "openai-chat",
        "backend": "openai-chat",
        "label": settings.name,
        "model_id": "auto",
        "tokenizer_id": None,  # lengths are the server's own count
        "num_prompts": len(run.records),
        "request_rate": "inf" if settings.is_closed else len(run.records) / run.span_s,
        "burstiness": _burstiness(settings),
        "max_concurrency": settings.users if settings.is_closed else None,
    }


def _date(started_at: str) -> str:
    try:
        return datetime.datetime.fromisoformat(started_at).strftime("%Y%m%d-%H%M%S")
    except ValueError:
        return started_at


def _burstiness(settings: Settings) -> float | str:
    """Return the shape of the gaps' gamma distribution: 1 is Poisson's, less is in bursts."""
    if settings.arrivals == "constant":
        return "inf"
    return 1.0 if settings.arrivals == "poisson" or not settings.cv else settings.cv**-2


def _ttfts(records: Columns) -> Floats:
    ttft_s = records.first_content_s - records.sent_s
    ttft_s = np.where(np.isnan(ttft_s), records.end_s - records.sent_s, ttft_s)
    return np.where(records.ok, ttft_s, 0.0)


def _itls(records: Columns) -> list[list[float]]:
    ends = np.cumsum(records.num_gaps)
    gaps = records.itl_s.tolist()
    return [
        gaps[end - number : end] if fine else []
        for end, number, fine in zip(
            ends.tolist(), records.num_gaps.tolist(), records.ok.tolist(), strict=True
        )
    ]


def _peaks(records: Columns) -> tuple[float, int]:
    """Return the most pieces of content, and the most requests under way, in a second from the first send."""
    answered = records.where(records.ok)
    if not len(answered):
        return 0.0, 0
    start_s = float(answered.sent_s.min())
    begin = (answered.sent_s - start_s).astype(np.int64)
    end = (answered.end_s - start_s).astype(np.int64)
    changes = np.zeros(int(end.max()) + 2, np.int64)
    np.add.at(changes, begin, 1)
    np.add.at(changes, end + 1, -1)
    seconds = np.bincount((_content_times(answered) - start_s).astype(np.int64), minlength=1)
    return float(seconds.max()), int(np.cumsum(changes).max())


def _content_times(records: Columns) -> Floats:
    """Return when each piece of content came, in no order."""
    sums = np.cumsum(records.itl_s)
    ends = np.cumsum(records.num_gaps)
    before = np.concatenate(([0.0], sums))[ends - records.num_gaps]
    owner = records.gap_owner
    later = records.first_content_s[owner] + sums - before[owner]
    first = records.first_content_s
    return np.concatenate((first[~np.isnan(first)], later[~np.isnan(later)]))


def _statistics(records: Columns, output_lens: Ints) -> dict[str, float]:
    answered, lens = records.where(records.ok), output_lens[records.ok]
    ttft_s, e2e_s = _ttfts(answered), answered.end_s - answered.sent_s
    tpot_s = ((e2e_s - ttft_s) / np.maximum(lens - 1, 1))[lens > 1]
    found: dict[str, float] = {}
    for name, values_s in (("ttft", ttft_s), ("tpot", tpot_s), ("itl", answered.itl_s), ("e2el", e2e_s)):
        values_ms = 1000 * values_s if len(values_s) else np.zeros(1)
        found[f"mean_{name}_ms"] = float(values_ms.mean())
        found[f"median_{name}_ms"] = float(np.median(values_ms))
        found[f"std_{name}_ms"] = float(values_ms.std())
        for percentile in _PERCENTILES:
            found[f"p{percentile}_{name}_ms"] = float(np.percentile(values_ms, percentile))
    return found
