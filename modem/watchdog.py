"""A timeout over many short waits, for the price of one timer."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Watchdog:
    """Ends a wait that lasts too long, and every wait after a deadline.

    `asyncio.timeout` sets and cancels a timer for each wait, which for a token stream is a good part
    of what a chunk costs. This keeps one timer that looks now and then how long the present wait lasts.
    Needs a running event loop; one task waits at a time.

    Args:
        idle_s: Longest single wait.
        deadline: Event loop time after which no wait goes on.
    """

    def __init__(self, idle_s: float, deadline: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle_s = idle_s
        self._deadline = deadline
        self._task: asyncio.Task[object] | None = None
        self._since = 0.0
        self._expired = False
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, work: Awaitable[T]) -> T:
        """Await ``work``.

        Raises:
            TimeoutError: It took longer than allowed; it was cancelled.
        """
        task = self._task = asyncio.current_task()
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._due(), self._look)
        try:
            return await work
        except asyncio.CancelledError:
            if self._expired and task is not None and task.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            self._task = None

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()

    def _due(self) -> float:
        return min(self._since + self._idle_s, self._deadline)

    def _look(self) -> None:
        if self._task is None:
            # Nobody waits for the expert: a slow client is not its fault. The next wait starts anew.
            self._timer = None
        elif self._loop.time() >= self._due():
            self._expired = True
            self._task.cancel()
        else:
            self._timer = self._loop.call_at(self._due(), self._look)
