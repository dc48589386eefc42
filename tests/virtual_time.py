"""An event loop whose clock jumps: what waits for time goes on at once, and takes as long as it says.

For tests of timing over Unix sockets within one process, whose figures no busy machine can spoil. Not for
TCP: its loopback may deliver late, and the clock would jump while something is on its way.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Waits for sockets in real time, for timers not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self.now_s += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    """Tells the time of its selector."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run_in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; all its timers, and all code in its loop, see the loop's own clock."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)
