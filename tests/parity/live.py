"""Many small deployments on one real cluster under bursts, and the records of its controller."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.builders import expert, front, mixture
from tests.cluster import Cluster
from tests.parity.crowd import NAME, crowd
from tests.parity.policy import recorded

FALLBACK = "other"
TPOT_S = 0.02
HELD = {"hold_s": 5, "interval_s": 0.5}
POLICIES: tuple[dict[str, Any] | None, ...] = (
    None,
    {"policy_function": "deployments.autoscaling:OngoingRequests"},
    {"policy_function": "deployments.autoscaling:TokenLoad", "policy_kwargs": HELD},
    {"policy_function": "deployments.autoscaling:Slo", "policy_kwargs": {"ttft_s": 0.5, **HELD}},
)
"""Serve's own, and those of ours that look at one expert only: a shared pool has inputs of other experts."""


def autoscaling(rng: random.Random, awake: bool) -> dict[str, Any]:
    """Draw settings on a time scale of seconds, from all that change what Serve's own code decides."""
    low = 1 if awake else rng.choice([0, 0, 1])
    interval = rng.choice([0.5, 1, 2])
    look_back = interval * rng.choice([2, 3, 5])
    drawn = {
        "min_replicas": low,
        "initial_replicas": rng.choice([None, low]),
        "max_replicas": rng.randint(2, 4),
        "target_ongoing_requests": rng.choice([1, 1.5, 2, 3]),
        "metrics_interval_s": interval,
        "look_back_period_s": look_back,
        "upscale_delay_s": rng.choice([0, 0.5, 2]),
        "downscale_delay_s": look_back + rng.choice([0, 3]),
        "downscale_to_zero_delay_s": rng.choice([None, look_back + 5]),
        "upscaling_factor": rng.choice([None, 0.7, 1.001, 2]),
        "downscaling_factor": rng.choice([None, 0.5]),
        "aggregation_function": rng.choice(["mean", "mean", "max", "min"]),
    }
    return {name: value for name, value in drawn.items() if value is not None}


@dataclass(frozen=True)
class Target:
    """A deployment, and how to keep it busy.

    Attributes:
        name: Of an expert's domain, or of a deployment of the crowd.
        in_crowd: Which of the two.
    """

    name: str
    in_crowd: bool

    def request(self, rng: random.Random) -> tuple[str, dict[str, Any]]:
        """Draw path and body of a request that takes some tenths of a second to some seconds."""
        seconds = rng.uniform(0.2, 4)
        if self.in_crowd:
            return f"/{NAME}", {"name": self.name, "seconds": seconds}
        body = {"messages": [{"role": "user", "content": "go"}], "max_tokens": round(seconds / TPOT_S)}
        return rng.choice(["", "", "/handles"]) + "/v1/chat/completions", {"model": self.name, **body}


def targets(num_experts: int, num_crowd: int) -> list[Target]:
    """Return so many of each, the fallback first."""
    experts = [FALLBACK, *(f"d{index}" for index in range(1, num_experts))]
    crowd = [f"c{index}" for index in range(num_crowd)]
    return [*(Target(name, False) for name in experts), *(Target(name, True) for name in crowd)]


def parity_config(of: Sequence[Target], folder: Path, seed: int) -> dict[str, Any]:
    """Return a Serve config whose controller records every target into a folder."""
    rng = random.Random(seed)
    scaling = {}
    for index, target in enumerate(of):
        drawn = autoscaling(rng, target.name == FALLBACK)
        # Those that need the figures of an engine are for experts.
        policy = POLICIES[index % (2 if target.in_crowd else len(POLICIES))]
        scaling[target.name] = recorded({**drawn, **({"policy": policy} if policy else {})}, folder)
    names = [target.name for target in of if not target.in_crowd]
    experts = [
        expert(name, {"max_ongoing_requests": 8}, scaling[name], tpot_s=TPOT_S, output_tokens=1000)
        for name in names
    ]
    fronts = [front(domains=names), front("modem-handles", "/handles", "handles", domains=names)]
    others = {target.name: scaling[target.name] for target in of if target.in_crowd}
    return mixture([*fronts, *experts, crowd(others)], port=0)


async def bursts(
    cluster: Cluster, of: Sequence[Target], duration_s: float, gap_s: float, seed: int
) -> list[int]:
    """Send single requests and bursts to every target at random moments.

    Args:
        cluster: Where.
        of: The targets.
        duration_s: Time after which no more begins.
        gap_s: Mean pause between two visits of one target.
        seed: Of sizes and moments.

    Returns:
        The HTTP status of each request.
    """
    ends = time.monotonic() + duration_s
    statuses: list[int] = []
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def one(path: str, body: dict[str, Any]) -> None:
            async with session.post(f"{cluster.url}{path}", json=body) as reply:
                await reply.read()
                statuses.append(reply.status)

        async def visit(target: Target, rng: random.Random) -> None:
            async with asyncio.TaskGroup() as group:
                while True:
                    pause = min(rng.expovariate(1 / gap_s), 4 * gap_s)
                    if time.monotonic() + pause > ends:
                        return
                    await asyncio.sleep(pause)
                    for _ in range(rng.choice([1, 1, 2, 3, 6, 10])):
                        group.create_task(one(*target.request(rng)))

        await asyncio.gather(*(visit(target, random.Random(f"{seed} {target.name}")) for target in of))
    return statuses
