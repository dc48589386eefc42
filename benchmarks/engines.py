"""What a token takes when 1, 2 and 5 experts of the laptop answer at once.

Starts ``serve_config.cpu.yaml`` as it is (threads that wait for each other sleep) and with threads that spin,
wakes all experts, and asks one, two and all of them for a stream at once. Each engine has two threads, so on
two cores five engines have ten.

Run: ``python -m benchmarks.engines [--policies PASSIVE ACTIVE] [--rounds 2]``; some ten minutes a policy on
two cores. Medians of the gaps between a stream's tokens, the mean over the streams.
"""

import argparse
import asyncio
import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster import ROOT, Cluster

DOMAINS = ("other", "math", "health", "science", "coding")
AT_ONCE = (1, 2, 5)
NUM_TOKENS = 24
QUESTION = [{"role": "user", "content": "Tell me a long story about a ship and the sea."}]
VARIABLE = "OMP_WAIT_POLICY"


def config_with(policy: str) -> dict[str, Any]:
    """Return the laptop's config with another wait policy in every engine."""
    config: dict[str, Any] = yaml.safe_load(Path(ROOT / "serve_config.cpu.yaml").read_text())
    for application in config["applications"][1:]:
        application["args"]["runtime_env"]["env_vars"][VARIABLE] = policy
    return config


async def gap_ms(client: httpx.AsyncClient, domain: str, num_tokens: int) -> float:
    """Ask one expert for a stream; return the median gap between its tokens."""
    body = {
        "model": domain,
        "messages": QUESTION,
        "max_tokens": num_tokens,
        "stream": True,
        "ignore_eos": True,
    }
    async with client.stream("POST", "/v1/chat/completions", json=body) as reply:
        assert reply.status_code == 200, reply.status_code
        times = [
            time.perf_counter()
            async for line in reply.aiter_lines()
            if line.startswith("data: {") and '"content":"' in line
        ]
    return 1000 * statistics.median(later - one for one, later in itertools.pairwise(times))


async def measure(url: str, rounds: int) -> dict[int, list[float]]:
    """Return the mean gap of each round, by how many streams there were."""
    found: dict[int, list[float]] = {number: [] for number in AT_ONCE}
    async with httpx.AsyncClient(base_url=url, timeout=900) as client:
        await asyncio.gather(*(gap_ms(client, domain, 3) for domain in DOMAINS))  # wakes them
        for _ in range(rounds):
            for number in AT_ONCE:
                gaps = await asyncio.gather(*(gap_ms(client, d, NUM_TOKENS) for d in DOMAINS[:number]))
                found[number].append(statistics.mean(gaps))
    return found


def main() -> None:
    """Measure each policy on a cluster of its own, and print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policies", nargs="+", default=["PASSIVE", "ACTIVE"])
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    print(f"| {VARIABLE} | " + " | ".join(f"{number} at once, ms a token" for number in AT_ONCE) + " |")
    print("|---" * (len(AT_ONCE) + 1) + "|")
    for policy in args.policies:
        with Cluster(config_with(policy)) as cluster:
            found = asyncio.run(measure(cluster.url, args.rounds))
        cells = [" ".join(f"{gap:.0f}" for gap in found[number]) for number in AT_ONCE]
        print(f"| {policy} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
