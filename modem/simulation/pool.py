"""The GPUs of the cluster: who has some, and who waits for some."""

from collections.abc import Callable
from math import inf
from typing import Any

Placed = Callable[[Any, float], None]
"""Called with who asked and the time at which the GPUs are there."""

_EPS = 1e-9


class GpuPool:
    """Gives out GPUs in the order of asking; a smaller demand may pass one that does not fit.

    That is how Ray places what is pending.

    Args:
        gpus: All of them; None for any number.
    """

    def __init__(self, gpus: float | None) -> None:
        self.free = inf if gpus is None else float(gpus)
        """GPUs that nobody has."""
        self._waiting: list[tuple[object, float, Placed]] = []

    def ask(self, who: object, gpus: float, t_s: float, placed: Placed) -> None:
        """Ask for GPUs; ``placed`` is called at once, or when there are enough."""
        self._waiting.append((who, gpus, placed))
        self._serve(t_s)

    def withdraw(self, who: object) -> None:
        """Take back a demand that has not been met."""
        self._waiting = [each for each in self._waiting if each[0] is not who]

    def give_back(self, gpus: float, t_s: float) -> None:
        """Return GPUs; who waits may get them."""
        self.free += gpus
        self._serve(t_s)

    def _serve(self, t_s: float) -> None:
        if not self._waiting:
            return
        served, left = [], []
        for demand in self._waiting:
            if demand[1] <= self.free + _EPS:
                self.free -= demand[1]
                served.append(demand)
            else:
                left.append(demand)
        self._waiting = left
        for who, _, placed in served:
            placed(who, t_s)
