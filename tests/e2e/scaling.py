"""What tests of autoscaling do with a cluster: put load on an expert, and look at all replicas meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.cluster import Cluster


@dataclass(frozen=True)
class Seen:
    """Replicas of all experts at one moment: by their ids."""

    up: dict[str, frozenset[str]]

    def count(self, domain: str) -> int:
        """How many one expert has."""
        return len(self.up[domain])


class Watch:
    """Looks at Serve's own view of experts until it is stopped."""

    def __init__(self, cluster: Cluster, domains: Sequence[str]) -> None:
        self._cluster = cluster
        self._domains = domains
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seen = [look(cluster, domains)]

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            self.seen.append(look(self._cluster, self._domains))

    def now(self, domain: str) -> int:
        """The number of replicas at the last look."""
        return self.seen[-1].count(domain)

    def counts(self, domain: str) -> list[int]:
        """The numbers of replicas, without repeats."""
        numbers = [seen.count(domain) for seen in self.seen]
        return [number for at, number in enumerate(numbers) if at == 0 or number != numbers[at - 1]]

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def look(cluster: Cluster, domains: Sequence[str]) -> Seen:
    """Running and starting replicas; one that is being stopped no longer counts."""
    applications = cluster.applications()
    return Seen(
        {
            domain: frozenset(
                replica["replica_id"]
                for replica in applications[f"expert-{domain}"]["deployments"]["Expert"]["replicas"]
                if replica["state"] in ("STARTING", "RUNNING")
            )
            for domain in domains
        }
    )


def states(cluster: Cluster, domain: str, state: str) -> list[dict[str, Any]]:
    """The replicas of an expert that are in a state."""
    return [replica for replica in cluster.replicas(f"expert-{domain}") if replica["state"] == state]


def ask(cluster: Cluster, domain: str, text: object, max_tokens: int = 50) -> httpx.Response:
    """Ask one expert a question, by its name."""
    messages = [{"role": "user", "content": f"{domain} {text}"}]
    body = {"model": domain, "messages": messages, "max_tokens": max_tokens}
    return httpx.post(f"{cluster.url}/v1/chat/completions", json=body, timeout=90)


@contextmanager
def load(
    cluster: Cluster, domain: str, num_clients: int, text: str = "", max_tokens: int = 50
) -> Iterator[list[Future[list[httpx.Response]]]]:
    """So many clients that ask one question after the other, until the block ends."""
    stop = threading.Event()

    def client(number: int) -> list[httpx.Response]:
        replies = []
        while not stop.is_set():
            replies.append(ask(cluster, domain, f"{number} {text}", max_tokens))
        return replies

    with ThreadPoolExecutor(num_clients) as pool:
        clients = [pool.submit(client, number) for number in range(num_clients)]
        try:
            yield clients
        finally:
            stop.set()


def answered(clients: list[Future[list[httpx.Response]]], domain: str) -> int:
    """The number of answers, all of which must be good."""
    replies = [reply for client in clients for reply in client.result()]
    assert {(reply.status_code, reply.json()["model"]) for reply in replies} == {(200, domain)}
    return len(replies)


def eventually(holds: Callable[[], bool], timeout_s: float = 180) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
