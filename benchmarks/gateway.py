"""What a request and a chunk cost through the gateway, in CPU of the whole process tree.

Five roads to the same simulated experts, interleaved round by round:

- ``direct``: gateway, router, then the replica's own HTTP port (what modem does)
- ``handles``: gateway, router, then a Serve handle, HAProxy and throughput mode on
- ``bare``: as ``handles``, but nothing is parsed, checked or scored (`benchmarks.bare`): what Serve costs
- ``default``: as ``handles``, in Ray Serve's default mode
- ``expert``: the replica's HTTP port alone, without gateway and router: the floor

A chunk's cost is that of a stream of 100 tokens less that of a unary request, over 100.

Run: ``python -m benchmarks.gateway [--rounds 7]``. CPU is user plus system time of every process of
the cluster, less its idle rate; the load generator's is not in it. Quote ratios: absolute figures
depend on the machine.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import aiohttp
import psutil

from tests.builders import expert, front, mixture
from tests.cluster import Cluster

NUM_TOKENS = 100
TPOT_S = 0.01
UNARY = {"messages": [{"role": "user", "content": "a question of math"}], "max_tokens": 1, "model": "auto"}
STREAM = {**UNARY, "max_tokens": NUM_TOKENS, "stream": True}


@dataclass
class Road:
    """One way to an expert, and what was measured on it."""

    name: str
    cluster: Cluster
    url: str
    model: str = "auto"
    unary_ms: list[float] = field(default_factory=list)
    chunk_ms: list[float] = field(default_factory=list)
    ttft_ms: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)


def cpu_s(processes: list[psutil.Process]) -> float:
    """User plus system seconds of living processes so far."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


async def cost(cluster: Cluster, work: Callable[[], Awaitable[int]], idle_rate: float) -> float:
    """CPU-milliseconds per unit of the work, whose number of units it returns."""
    processes = cluster.processes()
    before, started = cpu_s(processes), time.monotonic()
    units = await work()
    spent = cpu_s(processes) - before - idle_rate * (time.monotonic() - started)
    return 1000 * spent / units


async def idle_rate(cluster: Cluster, seconds: float = 5.0) -> float:
    """CPU-seconds a second that the cluster spends on nothing."""
    processes = cluster.processes()
    before = cpu_s(processes)
    await asyncio.sleep(seconds)
    return (cpu_s(processes) - before) / seconds


async def unary(session: aiohttp.ClientSession, road: Road, number: int, concurrency: int) -> int:
    """Send ``number`` unary requests; every one must succeed."""
    remaining = iter(range(number))

    async def client() -> None:
        for _ in remaining:
            started = time.perf_counter()
            async with session.post(road.url, json={**UNARY, "model": road.model}) as reply:
                await reply.read()
                assert reply.status == 200, reply.status
            road.latency_ms.append(1000 * (time.perf_counter() - started))

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return number


async def stream(session: aiohttp.ClientSession, road: Road, number: int) -> int:
    """Open ``number`` streams at once; return the content chunks that arrived."""

    async def client() -> int:
        started = time.perf_counter()
        async with session.post(road.url, json={**STREAM, "model": road.model}) as reply:
            assert reply.status == 200, reply.status
            chunks = 0
            async for line in reply.content:
                if line.startswith(b"data: {") and b'"content":"' in line:
                    if chunks == 1:  # the first has the role alone
                        road.ttft_ms.append(1000 * (time.perf_counter() - started))
                    chunks += 1
        assert chunks == NUM_TOKENS + 1, chunks
        return NUM_TOKENS

    return sum(await asyncio.gather(*(client() for _ in range(number))))


async def measure(roads: list[Road], rounds: int, num_unary: int, num_streams: int) -> None:
    """Measure all roads, interleaved; the first round warms up and is thrown away."""
    rates = {id(road.cluster): await idle_rate(road.cluster) for road in roads}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        for round_number in range(rounds + 1):
            for road in roads if round_number % 2 else roads[::-1]:
                rate = rates[id(road.cluster)]
                one = await cost(road.cluster, partial(unary, session, road, num_unary, 8), rate)
                chunk = await cost(road.cluster, partial(stream, session, road, num_streams), rate)
                if round_number == 0:
                    road.latency_ms.clear()
                    road.ttft_ms.clear()
                    continue
                road.unary_ms.append(one)
                # What a stream costs above a request of one token, spread over its chunks.
                road.chunk_ms.append(chunk - one / NUM_TOKENS)


def report(roads: list[Road]) -> str:
    """A Markdown table of medians with interquartile ranges."""
    floor = next(road for road in roads if road.name == "expert")
    lines = [
        "| road | CPU-ms / unary | CPU-ms / chunk | of it above the expert | TTFT p50 ms | unary p50 ms |",
        "|---|---|---|---|---|---|",
    ]
    for road in roads:
        above = statistics.median(road.chunk_ms) - statistics.median(floor.chunk_ms)
        lines.append(
            f"| {road.name} | {_spread(road.unary_ms)} | {_spread(road.chunk_ms)} | {above:.3f} "
            f"| {statistics.median(road.ttft_ms):.1f} | {statistics.median(road.latency_ms):.1f} |"
        )
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    quarter, median, three = statistics.quantiles(values, n=4)
    return f"{median:.3f} ({quarter:.3f}-{three:.3f})"


def main() -> None:
    """Start the two clusters, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--unary", type=int, default=200)
    parser.add_argument("--streams", type=int, default=64)
    args = parser.parse_args()
    experts = [
        expert(domain, ttft_s=0, tpot_s=TPOT_S, output_tokens=NUM_TOKENS) for domain in ("other", "math")
    ]
    names = ("other", "math")
    handles = front("modem-handles", "/handles", "handles", domains=names)
    bare = {
        "name": "bare",
        "route_prefix": "/bare",
        "import_path": "benchmarks.bare:build",
        "args": {"domain": "math"},
    }
    optimized = mixture([front(domains=names), handles, bare, *experts], 0)
    default = mixture([front(data_plane="handles", domains=names), *experts], 0)
    with Cluster(optimized) as fast, Cluster(default, optimized=False) as slow:
        port = fast.http_port("expert-math")
        path = "/v1/chat/completions"
        roads = [
            Road("direct", fast, f"{fast.url}{path}"),
            Road("handles", fast, f"{fast.url}/handles{path}"),
            Road("bare", fast, f"{fast.url}/bare{path}", "math"),
            Road("default", slow, f"{slow.url}{path}"),
            Road("expert", fast, f"http://127.0.0.1:{port}{path}", "math"),
        ]
        asyncio.run(measure(roads, args.rounds, args.unary, args.streams))
    print(report(roads))
    print(json.dumps({road.name: {"unary_ms": road.unary_ms, "chunk_ms": road.chunk_ms} for road in roads}))


if __name__ == "__main__":
    main()
