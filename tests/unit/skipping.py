"""An event loop on a clock of its own: tests of timers that a busy machine cannot upset."""

import asyncio
import selectors


class Skipping(selectors.DefaultSelector):
    """Lets time pass at once where a loop would wait, so that a busy machine changes nothing."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += timeout or 0.0
        return super().select(0)


class SkippingPolicy(asyncio.DefaultEventLoopPolicy):
    """For a fixture ``event_loop_policy``."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        selector = Skipping()
        loop = asyncio.SelectorEventLoop(selector)
        loop.time = lambda: selector.now_s  # type: ignore[method-assign]
        return loop
