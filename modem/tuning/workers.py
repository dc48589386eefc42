"""Work on several cores. A result depends on what is asked, not on who works on it or when."""

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

R = TypeVar("R")
Progress = Callable[[int, int], None]
"""Told how many pieces of work are done, and how many there are."""


class Crew(Protocol):
    """Does pieces of work."""

    def do(self, function: Callable[..., R], calls: Sequence[tuple[Any, ...]], progress: Progress) -> list[R]:
        """Call a function of a module with each tuple of arguments; results in their order."""
        ...


class Alone:
    """Does all work in this process."""

    def do(self, function: Callable[..., R], calls: Sequence[tuple[Any, ...]], progress: Progress) -> list[R]:
        """See `Crew`."""
        results = []
        for number, arguments in enumerate(calls, start=1):
            results.append(function(*arguments))
            progress(number, len(calls))
        return results


class Together:
    """Does work in other processes.

    Args:
        pool: They are.
    """

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def do(self, function: Callable[..., R], calls: Sequence[tuple[Any, ...]], progress: Progress) -> list[R]:
        """See `Crew`."""
        futures: list[Future[R]] = [self._pool.submit(function, *arguments) for arguments in calls]
        for number, future in enumerate(as_completed(futures), start=1):
            error = future.exception()
            if error is not None:
                for other in futures:
                    other.cancel()
                raise error
            progress(number, len(calls))
        return [future.result() for future in futures]


@contextmanager
def crew(num_processes: int) -> Iterator[Crew]:
    """Yield who works: this process if there is to be only one, else so many others."""
    if num_processes < 2:
        yield Alone()
        return
    # Not forked: a progress bar has a thread, and Ray's modules have locks.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_processes, context, initializer=_begin, initargs=(sys.path,)) as pool:
        yield Together(pool)


def _begin(path: list[str]) -> None:
    """Let a worker find the modules that this process finds: a config may name a policy beside it."""
    sys.path[:] = path
