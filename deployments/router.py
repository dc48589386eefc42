"""The router deployment: the library's router, and the queue before it, in a replica."""

from ray import serve

from deployments.ray_private import bind_replica_grpc_to_loopback
from modem.config import RouterConfig
from modem.routing.load import load_router
from modem.routing.text import MAX_CHARS
from modem.routing.worker import Worker
from modem.types import AddedDomain, DomainScores, RouterIdentity

WARM_UP = (
    "hi",
    ("This is as long as what the router will be asked for. " * 20)[:MAX_CHARS],
    "Bei einer anderen Sprache braucht es Tabellen, deren Laden Sekunden dauert.",
)
"""Scored before the first request, so that neither tables nor memory are loaded within one."""


@serve.deployment(name="Router", max_ongoing_requests=1000)
class RouterDeployment:
    """One replica of the router.

    Args:
        config: Which classifier, and how it batches.
    """

    def __init__(self, config: RouterConfig) -> None:
        bind_replica_grpc_to_loopback()
        self._router = load_router(config)
        for text in WARM_UP:
            self._router.score([text])
        # In throughput mode user code shares the replica's event loop, which must not be blocked.
        self._worker = Worker(
            self._router, config.max_batch_size, config.max_batch_tokens, config.batch_wait_timeout_s
        )

    async def score(self, texts: list[str], added: tuple[AddedDomain, ...] = ()) -> list[DomainScores | None]:
        """Return the probabilities of each text, None for one on which the classifier failed.

        Args:
            texts: Texts of concurrent calls share forward passes.
            added: Domains to score besides those that the classifier was trained on.
        """
        return await self._worker.score(texts, added)

    async def identity(self) -> RouterIdentity:
        """Return the classifier's name and version."""
        return self._router.identity
