"""Where the start of the laptop's stack goes, and what it holds in memory.

Starts ``serve_config.cpu.yaml``, asks the warm expert, then wakes every sleeping expert in turn. The
phases come from the creation times of the processes, so nothing in the product has to be timed.

Run: ``python -m benchmarks.startup [DOMAIN ...]``, on an otherwise idle machine; without domains all
four sleeping experts are woken.
"""

import json
import sys
import time
from pathlib import Path

import httpx
import psutil
import yaml

from tests.cluster import ROOT, Cluster

SLEEPING = ("math", "health", "science", "coding")
QUESTION = [{"role": "user", "content": "Hello"}]


def created(cluster: Cluster, word: str, since: float = 0.0) -> float:
    """Creation time of the newest process of the cluster whose name holds a word, after ``since``."""
    times = [p.create_time() for p in cluster.processes() if word in " ".join(p.cmdline())]
    return max((t for t in times if t >= since), default=float("nan"))


def first_chunk(cluster: Cluster, model: str) -> float:
    """Ask one expert for a stream; return the time at which its first data arrived."""
    body = {"model": model, "messages": QUESTION, "stream": True, "max_tokens": 4}
    url = f"{cluster.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, timeout=600) as reply:
        times = [time.time() for line in reply.iter_lines() if line.startswith("data: ")]
    return times[0]


def cold_start(cluster: Cluster, domain: str) -> dict[str, float]:
    """Wake one expert; return the seconds each phase took."""
    asked = time.time()
    answered = first_chunk(cluster, domain)
    replica = created(cluster, f"ServeReplica:expert-{domain}", asked)
    engine = created(cluster, "EngineCore", asked)
    return {
        "decision and worker process": replica - asked,
        "replica: imports, engine config": engine - replica,
        "engine: imports, weights, KV cache, to the first chunk": answered - engine,
        "in all": answered - asked,
    }


def pss_bytes(process: psutil.Process) -> int:
    """Proportional memory of a process: shared pages are divided among those who share them."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def main() -> None:
    """Start, ask, wake, print."""
    config = yaml.safe_load(Path(ROOT / "serve_config.cpu.yaml").read_text())
    started = time.time()
    with Cluster(config) as cluster:
        ready = time.time()
        answered = first_chunk(cluster, "other")
        replica = created(cluster, "ServeReplica:expert-other")
        engine = created(cluster, "EngineCore")
        warm = {
            "Ray, Serve, building six applications": replica - started,
            "replica: imports, engine config": engine - replica,
            "engine: imports, weights, KV cache, to ready": ready - engine,
            "first answer": answered - ready,
            "in all": answered - started,
        }
        cold = {domain: cold_start(cluster, domain) for domain in sys.argv[1:] or SLEEPING}
        memory = sum(pss_bytes(process) for process in cluster.processes())
    print(json.dumps({"warm": warm, "cold": cold, "pss_gib": memory / 1024**3}, indent=1))


if __name__ == "__main__":
    main()
