"""The router deployment: batches concurrent prompts through one library classifier."""

import asyncio

from ray import serve

from deployments.ray_private import bind_replica_grpc_to_loopback
from modem.config import RouterConfig
from modem.routing.load import load_router
from modem.types import DomainScores, RouterIdentity


@serve.deployment(name="Router", max_ongoing_requests=1000)
class RouterDeployment:
    """One replica of the router.

    Args:
        config: Which classifier, and how it batches.
    """

    def __init__(self, config: RouterConfig) -> None:
        bind_replica_grpc_to_loopback()
        self._router = load_router(config)
        self._router.score(["warm up"])
        self._score_batch.set_max_batch_size(config.max_batch_size)
        self._score_batch.set_batch_wait_timeout_s(config.batch_wait_timeout_s)

    async def score(self, texts: list[str]) -> list[DomainScores]:
        """Return the probabilities of each text; texts of concurrent calls share a forward pass."""
        return list(await asyncio.gather(*(self._score_batch(text) for text in texts)))

    async def identity(self) -> RouterIdentity:
        """Return the classifier's name and version."""
        return self._router.identity

    @serve.batch  # type: ignore[untyped-decorator]
    async def _score_batch(self, texts: list[str]) -> list[DomainScores]:
        # In throughput mode user code shares the replica's event loop, which must not be blocked.
        return await asyncio.to_thread(self._router.score, texts)
