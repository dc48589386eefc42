"""The road from the gateway to the router."""

import asyncio
from collections.abc import Sequence
from typing import Any

from ray.serve.handle import DeploymentHandle

from modem.types import AddedDomain, DomainScores, RouterIdentity

ROUTER_CALL_TIMEOUT_S = 10.0
"""A router that hangs is given up, so that later texts may reach another replica of it."""


class HandleScorer:
    """The router deployment, called through its handle (`modem.dispatch.Scorer`).

    One call at a time: texts that arrive meanwhile go with the next. The router works on one batch at
    a time anyway, and a remote call costs more than a place in a list.
    """

    def __init__(self, router: DeploymentHandle[Any]) -> None:
        self._score = router.options(method_name="score")
        self._identity = router.options(method_name="identity")
        self._added: tuple[AddedDomain, ...] = ()
        self._waiting: list[tuple[Sequence[str], asyncio.Future[list[DomainScores | None]]]] = []
        self._calls: asyncio.Task[None] | None = None

    def configure(self, added: Sequence[AddedDomain]) -> None:
        """Take the added domains. They go with each call, so that any replica can answer it."""
        self._added = tuple(added)

    async def score(self, texts: Sequence[str]) -> list[DomainScores | None]:
        """Score each text."""
        scores: asyncio.Future[list[DomainScores | None]] = asyncio.get_running_loop().create_future()
        self._waiting.append((texts, scores))
        if self._calls is None or self._calls.done():
            self._calls = asyncio.create_task(self._call_while_texts_wait())
        return await scores

    async def identity(self) -> RouterIdentity:
        """Name and version of the router."""
        identity: RouterIdentity = await self._identity.remote()
        return identity

    async def _call_while_texts_wait(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            batch = [(texts, scores) for texts, scores in batch if not scores.done()]
            try:
                async with asyncio.timeout(ROUTER_CALL_TIMEOUT_S):
                    asked = [text for texts, _ in batch for text in texts]
                    found = iter(await self._score.remote(asked, self._added))
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait
                for _, scores in batch:
                    if not scores.done():
                        scores.set_exception(error)
                continue
            for texts, scores in batch:
                own = [next(found) for _ in texts]
                if not scores.done():
                    scores.set_result(own)
