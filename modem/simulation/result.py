"""What a simulation found: every request, every change of replicas, every decision."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from modem.simulation.setup import ExpertSetup, Platform
from modem.traces.trace import Trace


class Status(IntEnum):
    """What became of a request."""

    UNFINISHED = 0
    ANSWERED = 1
    REJECTED = 2
    """Too many waited: 429."""
    TIMED_OUT = 3
    """No replica within the platform's ``start_timeout_s``: 503."""
    KILLED = 4
    """Its replica was stopped after ``graceful_shutdown_timeout_s``."""


@dataclass(frozen=True, slots=True, eq=False)
class RequestLog:
    """The requests of the trace, in its order; columns of shape ``[n]``.

    Attributes:
        status: `Status`, int8.
        first_s: When the first token was there; NaN if never.
        finish_s: When the answer was complete; NaN if never.
    """

    status: NDArray[np.int8]
    first_s: NDArray[np.float64]
    finish_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Decision:
    """A change of an expert's target.

    Attributes:
        t_s: When.
        old: Replicas that were wanted before.
        new: Replicas that are wanted now.
    """

    t_s: float
    old: int
    new: int


@dataclass(frozen=True, slots=True)
class ReplicaLife:
    """One replica's times, in seconds; None for what has not happened.

    Attributes:
        created_s: When Serve made it; it may have to wait for GPUs.
        placed_s: When it got its GPUs, and began to start.
        running_s: When it was ready for requests.
        stopping_s: When it was taken away.
        stopped_s: When its GPUs were free again.
        busy_s: Seconds in which its engine had work.
        cold: No other replica was there when it was made.
    """

    created_s: float
    placed_s: float | None
    running_s: float | None
    stopping_s: float | None
    stopped_s: float | None
    busy_s: float
    cold: bool


@dataclass(frozen=True, slots=True)
class ExpertHistory:
    """What happened to one expert.

    Attributes:
        decisions: Changes of its target, in order; the first is its initial number, from 0, at 0 s.
        replicas: Its replicas, in the order of their creation.
        num_ticks: Calls of its controller.
    """

    decisions: tuple[Decision, ...]
    replicas: tuple[ReplicaLife, ...]
    num_ticks: int


@dataclass(frozen=True, slots=True, eq=False)
class SimulationResult:
    """What a simulation found.

    Attributes:
        experts: Who was there.
        platform: What they shared.
        trace: What was asked.
        requests: What became of it.
        histories: Of each expert, in the order of ``experts``.
        end_s: When the simulation ended: all was answered, or the platform's ``settle_s`` were over.
        seed: As given.
    """

    experts: tuple[ExpertSetup, ...]
    platform: Platform
    trace: Trace
    requests: RequestLog
    histories: tuple[ExpertHistory, ...]
    end_s: float
    seed: int

    @property
    def is_cut(self) -> bool:
        """Whether it was ended before its trace did."""
        return self.end_s < self.trace.span_s
