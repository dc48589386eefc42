"""Recorded runs for tests: records, and folders as a load test writes them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modem.load.record import Record
from modem.load.run import Run, read_run

DOMAINS = ("code", "math", "other")


def record(index: int = 0, domain: str = "math", **changes: Any) -> Record:
    """A streamed answer of 5 tokens: first text after 100 ms, then one every 20 ms. Times with ``at_s``."""
    at_s = changes.pop("at_s", float(index))
    first_s = at_s + changes.pop("ttft_s", 0.1)
    gaps = tuple(changes.pop("itl_s", (0.02,) * 4))
    last_s = first_s + sum(gaps)
    made = Record(
        index=index,
        turn=0,
        worker=0,
        session=None,
        domain=domain,
        routed=domain,
        reason="classified",
        confidence=0.9,
        stream=True,
        intended_s=at_s,
        sent_s=at_s + changes.pop("late_s", 0.001),
        first_byte_s=first_s - 0.01,
        first_token_s=first_s - 0.005,
        first_content_s=first_s,
        last_content_s=last_s,
        end_s=last_s + 0.001,
        itl_s=gaps,
        num_chunks=len(gaps) + 1,
        prompt_tokens=30,
        output_tokens=len(gaps) + 1,
        outcome="ok",
        status=200,
        message=None,
        request_id=f"r{index}",
    )
    return replace(made, **changes)


def failed(index: int = 0, outcome: str = "rate_limited", domain: str = "math", **changes: Any) -> Record:
    """A request without an answer."""
    nothing: dict[str, Any] = {
        "first_byte_s": None,
        "first_token_s": None,
        "first_content_s": None,
        "last_content_s": None,
        "itl_s": (),
        "num_chunks": 0,
        "prompt_tokens": None,
        "output_tokens": None,
        "outcome": outcome,
        "status": 429,
        "message": "too many wait",
        "routed": None,
        "reason": None,
    }
    at_s = changes.pop("at_s", float(index))
    made = replace(
        record(index, domain, at_s=at_s), **{key: nothing[key] for key in nothing if key != "itl_s"}
    )
    return replace(made, itl_s=(), num_chunks=0, end_s=at_s + 0.05, **changes)


def whole(index: int = 0, domain: str = "math", e2e_s: float = 0.5, **changes: Any) -> Record:
    """An answer that was not streamed."""
    made = record(index, domain, **changes)
    return replace(
        made,
        stream=False,
        first_token_s=None,
        first_content_s=None,
        last_content_s=None,
        itl_s=(),
        num_chunks=0,
        end_s=made.intended_s + e2e_s,
    )


def client_lines(num: int = 10, worker: int = 0, **changes: float) -> list[dict[str, Any]]:
    line = {
        "worker": worker,
        "lag_max_s": 0.001,
        "lag_mean_s": 0.0003,
        "cpu_share": 0.2,
        "in_flight": 3,
        "num_sent": 5,
        "late_max_s": 0.001,
        "sent": {"math": 5},
    }
    return [{**line, "t_s": second + 1.0, **changes} for second in range(num)]


def cluster_lines(num: int = 10, domain: str = "math", **changes: Any) -> list[dict[str, Any]]:
    line = {"domain": domain, "state": "ready", "replicas": 1, "running": 2, "waiting": 0}
    return [{**line, "t_s": float(second), **changes} for second in range(num)]


def info(num_planned: int | None, scenario: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """``run.json``."""
    own = {"name": "steady", "loop": "open", "targets": "ttft_p99<2s", "duration_s": 10.0, "rate": 1.0}
    return {
        "scenario": {**own, **(scenario or {})},
        "host": "http://127.0.0.1:8000",
        "started_at": "2026-03-04T05:06:07+00:00",
        "t0_epoch_s": 1.0,
        "num_planned": num_planned,
        "num_workers": 1,
        "versions": {"modem": "0.1.0", "locust": "2.47.0"},
        "command": "modem load run steady",
        "ended": "done",
        "ended_s": 11.0,
        **changes,
    }


def write_run(
    folder: Path,
    records: Iterable[Record],
    run: dict[str, Any] | None = None,
    client: Sequence[dict[str, Any]] | None = None,
    cluster: Sequence[dict[str, Any]] = (),
) -> Path:
    rows = list(records)
    folder.mkdir(parents=True, exist_ok=True)
    lines = {"client.jsonl": client_lines() if client is None else client, "cluster.jsonl": cluster}
    (folder / "run.json").write_text(json.dumps(info(len({r.index for r in rows})) if run is None else run))
    (folder / "requests.jsonl").write_bytes(b"".join(row.to_json() + b"\n" for row in rows))
    for name, content in lines.items():
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in content))
    return folder


def make_run(folder: Path, records: Iterable[Record], **files: Any) -> Run:
    return read_run(write_run(folder, records, **files))


def many(
    number: int, seed: int = 0, ttft_s: float = 0.1, num_gaps: int = 4, rps: float = 10.0
) -> list[Record]:
    """Independent log-normal times, of three domains in turn."""
    rng = np.random.default_rng(seed)
    times = ttft_s * np.exp(0.5 * rng.standard_normal(number))
    gaps = 0.02 * np.exp(0.3 * rng.standard_normal((number, num_gaps)))
    return [
        record(n, DOMAINS[n % 3], at_s=n / rps, ttft_s=float(times[n]), itl_s=tuple(gaps[n].tolist()))
        for n in range(number)
    ]
