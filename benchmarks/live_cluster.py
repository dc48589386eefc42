"""The cluster that `benchmarks.live` measures: its profile, its replicas, a trace sent to it."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from benchmarks.live_config import DOMAINS, ENGINE, config
from modem.simulation.profile import Profile, load_profile
from modem.traces.trace import Arrival, Trace
from tests.cluster import Cluster

LOOK_EVERY_S = 0.2
HAS_REPLICA = ("STARTING", "RUNNING", "STOPPING")


@dataclass(frozen=True)
class Look:
    """What Serve said of all replicas at one moment.

    Attributes:
        t_s: When, in seconds of the trace.
        replicas: State of each replica, by domain and id.
        created_s: When each was made, in seconds of the trace.
    """

    t_s: float
    replicas: dict[str, dict[str, str]]
    created_s: dict[str, float]

    def count(self, domain: str, states: Sequence[str] = HAS_REPLICA) -> int:
        """How many of them are in some states."""
        return sum(state in states for state in self.replicas[domain].values())


@dataclass(frozen=True)
class Sent:
    """What became of one request.

    Attributes:
        domain: Whose.
        due_s: When it was to be sent.
        late_s: How much later it was sent.
        ttft_s: From when it was due to its first token; None without one.
        e2e_s: To its end.
        status: Of HTTP; 0 if the answer broke off.
        said: What came instead of an answer.
    """

    domain: str
    due_s: float
    late_s: float
    ttft_s: float | None
    e2e_s: float
    status: int
    said: str = ""


@dataclass(frozen=True)
class Run:
    """A trace on the live cluster.

    Attributes:
        requests: In the order of the trace.
        looks: At the replicas, from the first to the last request.
        load_average: Of the machine, at the end.
    """

    requests: list[Sent]
    looks: list[Look]
    load_average: float

    def save(self, path: Path) -> None:
        """Write all of it."""
        path.write_text(json.dumps(asdict(self)))

    def replica_s(self, domain: str, span_s: float) -> float:
        """Return the replica-seconds of a domain from 0 s to ``span_s``."""
        total = 0.0
        for now, after in pairwise(self.looks):
            total += now.count(domain) * max(min(after.t_s, span_s) - max(now.t_s, 0.0), 0.0)
        return total

    def starts_s(self) -> list[float]:
        """Return how long replicas took from their creation to the first look at which they ran."""
        return starts_s(self.looks)


def starts_s(looks: Sequence[Look]) -> list[float]:
    """Return the starts that were seen from beginning to end; a look more often is more exact."""
    took = []
    for before, now in pairwise(looks):
        for domain, replicas in now.replicas.items():
            for name, state in replicas.items():
                if state == "RUNNING" and before.replicas[domain].get(name) == "STARTING":
                    took.append((before.t_s + now.t_s) / 2 - now.created_s[name])
    return took


def look(cluster: Cluster, t_s: float) -> Look:
    """Look at all replicas now."""
    applications = cluster.applications()
    since_s = t_s - time.time()
    found = {domain: _replicas(applications[f"expert-{domain}"]) for domain in DOMAINS}
    return Look(
        t_s,
        {domain: {one["replica_id"]: one["state"] for one in each} for domain, each in found.items()},
        {one["replica_id"]: one["start_time_s"] + since_s for each in found.values() for one in each},
    )


def _replicas(application: Mapping[str, Any]) -> list[dict[str, Any]]:
    deployment = application["deployments"].get("Expert")  # not there while the application is being built
    return deployment["replicas"] if deployment else []


def wait_until(cluster: Cluster, holds: Callable[[Look], bool], timeout_s: float = 180) -> None:
    """Wait until Serve's state is as wanted.

    Raises:
        TimeoutError: It never is.
    """
    deadline = time.monotonic() + timeout_s
    while not holds(look(cluster, time.monotonic())):
        if time.monotonic() > deadline:
            raise TimeoutError("the replicas are not what the config says")
        time.sleep(0.1)


def all_run(least: Mapping[str, int]) -> Callable[[Look], bool]:
    """Return whether each domain has exactly so many replicas, all running."""
    return lambda seen: all(
        seen.count(d) == seen.count(d, ("RUNNING",)) == number for d, number in least.items()
    )


def measure_starts(cluster: Cluster) -> list[float]:
    """Return how long a second replica of each expert takes, one after the other, with nothing else to do."""
    took: list[float] = []
    wait_until(cluster, all_run(dict.fromkeys(DOMAINS, 1)))
    quick = {"downscale_delay_s": 5, "downscale_to_zero_delay_s": 5, "initial_replicas": 1, "max_replicas": 2}
    changed = config({**quick, "min_replicas": 1}, policies=False)
    for domain in DOMAINS:
        for app in changed["applications"]:
            if app["name"] == f"expert-{domain}":
                app["deployments"][0]["autoscaling_config"] |= {"min_replicas": 2, "initial_replicas": 2}
        cluster.deploy(changed)
        seen: list[Look] = []

        def two_run(now: Look, seen: list[Look] = seen, domain: str = domain) -> bool:
            seen.append(now)
            return now.count(domain, ("RUNNING",)) == 2

        wait_until(cluster, two_run)
        took += starts_s(seen)
    cluster.deploy(config({**quick, "min_replicas": 1, "max_replicas": 1}, policies=False))
    wait_until(cluster, all_run(dict.fromkeys(DOMAINS, 1)))
    return took


def measure_profile(cluster: Cluster, starts_s: Sequence[float], path: Path) -> Profile:
    """Let `modem profile` measure an expert through the gateway, as clients see it."""
    command = [
        str(Path(sys.executable).with_name("modem")), "profile",
        "--url", cluster.url, "--model", DOMAINS[0], "--out", str(path), "--name", "slow simulated expert",
        "--batches", "1,2,4,8", "--answer-tokens", "32",
        "--kv-tokens", str(int(ENGINE["max_num_seqs"]) * int(ENGINE["max_model_len"])),
    ]  # fmt: skip
    subprocess.run([*command, *(f"--startup-s={took:.2f}" for took in starts_s)], check=True, timeout=300)
    return load_profile(path)


def warm(cluster: Cluster, domains: Sequence[str]) -> None:
    """Ask experts once, so that the gateway has their handles."""
    for domain in domains:
        body = {"model": domain, "messages": [{"role": "user", "content": "go"}], "max_tokens": 2}
        httpx.post(f"{cluster.url}/v1/chat/completions", json=body, timeout=120).raise_for_status()


async def replay(cluster: Cluster, trace: Trace, pause_s: float) -> Run:
    """Send a trace after a pause, each request when it is due, whatever became of those before."""
    loop = asyncio.get_running_loop()
    looks: list[Look] = []
    done = asyncio.Event()
    begin_s = loop.time() + pause_s

    async def watch() -> None:
        while not done.is_set():
            looks.append(await asyncio.to_thread(look, cluster, loop.time() - begin_s))
            await asyncio.sleep(LOOK_EVERY_S)

    watching = asyncio.create_task(watch())
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=300)
    ) as session:
        requests = await asyncio.gather(*(_send(session, cluster.url, one, begin_s) for one in trace))
    await asyncio.sleep(max(begin_s + trace.span_s - loop.time(), 0.0) + 2 * LOOK_EVERY_S)
    done.set()
    await watching
    return Run(list(requests), looks, _load_average())


async def _send(session: aiohttp.ClientSession, url: str, one: Arrival, begin_s: float) -> Sent:
    loop = asyncio.get_running_loop()
    due_s = begin_s + one.t_s
    await asyncio.sleep(max(due_s - loop.time(), 0.0))
    sent_s, first_s, status, said = loop.time(), None, 0, ""
    # The engine counts words, and "user:" is one of them.
    words = " ".join(["word"] * max(one.prompt_tokens - 1, 1))
    body = {
        "model": one.domain,
        "messages": [{"role": "user", "content": words}],
        "max_tokens": one.output_tokens,
        "stream": True,
    }
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body) as reply:
            async for line in reply.content:
                if first_s is None and b'"content":"' in line and b'"content":""' not in line:
                    first_s = loop.time()
                if reply.status != 200 or b"[DONE]" in line:
                    status = reply.status
                if reply.status != 200 or b'"error"' in line:
                    said += f"{line[:300]!r} {dict(reply.headers)}"
    except (aiohttp.ClientError, TimeoutError) as error:
        status, said = 0, repr(error)
    ttft_s = None if first_s is None or status != 200 else first_s - due_s
    return Sent(one.domain, one.t_s, sent_s - due_s, ttft_s, loop.time() - due_s, status, said)


def _load_average() -> float:
    return float(Path("/proc/loadavg").read_text().split()[0])
