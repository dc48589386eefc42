"""What the simulator asks of a control loop: the seam between it and Ray Serve's own decision code.

`deployments.simulation` implements it with Serve's classes. What crosses the seam is what crosses the wire
in Serve: reports of handles and of replicas, the running replicas, and a number of replicas as the answer.
All times are seconds on one clock; the simulator's starts at its epoch.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from modem.simulation.setup import ExpertSetup

HOLDS_UNTIL = "modem_holds_until_s"
"""A key that a policy may put into the state that it returns: a time on the clock of ``ctx.current_time``.

The policy promises with it: until then, as long as the running replicas and the target stay the same, it
returns this number and this state again, whatever is reported meanwhile. The simulator leaves out calls
that could only repeat the answer. A policy without the key is called on every tick, which costs time, not
truth.
"""


class Sample:
    """A value at a time; Serve's own code reads it by its two attributes.

    Args:
        timestamp: Seconds.
        value: What was measured then.
    """

    __slots__ = ("timestamp", "value")

    def __init__(self, timestamp: float, value: float) -> None:
        self.timestamp = timestamp
        self.value = value


Series = list[Sample]
"""Samples in the order of their times."""


class HandleReport(NamedTuple):
    """What a gateway's handle tells about one expert.

    Attributes:
        handle_id: Which handle.
        actor_id: The process that it lives in.
        sent_s: When.
        queued: Requests that wait in the handle for a replica.
        running: Requests that it has at each replica, by the replica's id; empty where replicas report.
    """

    handle_id: str
    actor_id: str
    sent_s: float
    queued: Series
    running: Mapping[str, Series]


class ReplicaReport(NamedTuple):
    """What a replica tells.

    Attributes:
        replica_id: Which replica.
        sent_s: When.
        ongoing: Requests that it has; empty where handles report.
        stats: Further metrics by name (``record_autoscaling_stats``).
    """

    replica_id: str
    sent_s: float
    ongoing: Series
    stats: Mapping[str, Series]


class Controller(Protocol):
    """Decides the number of replicas of one expert."""

    def first_target(self) -> int:
        """Return the number of replicas to begin with."""
        ...

    def record_handle(self, report: HandleReport) -> None:
        """Take a report; one that is not newer than the last of its handle is left alone."""
        ...

    def record_replica(self, report: ReplicaReport) -> None:
        """Take a report; one that is not newer than the last of its replica is left alone."""
        ...

    def set_running(self, replica_ids: Sequence[str]) -> None:
        """Say which replicas run, oldest first."""
        ...

    def replica_stopped(self, replica_id: str) -> None:
        """Forget a replica."""
        ...

    def drop_stale(self, now_s: float, alive_actor_ids: Collection[str]) -> None:
        """Forget handles of dead processes, and those that have been silent for too long."""
        ...

    def decide(self, now_s: float, target: int) -> int:
        """Return the number of replicas that there shall be; one tick of the control loop."""
        ...

    def scaled(self, now_s: float, old: int, new: int) -> None:
        """Say that the target has changed."""
        ...

    def wake_s(self, now_s: float, target: int) -> float:
        """Return a time before which `decide` need not be called.

        Until then calls would return ``target`` and leave no trace that a later call could see, provided
        that no report comes and that the running replicas and the target stay the same.
        """
        ...


class ControllerFactory(Protocol):
    """Makes a controller for each expert."""

    def reset(self) -> None:
        """Begin a simulation: forget what the controllers of the last one shared."""
        ...

    def __call__(self, setup: ExpertSetup) -> Controller:
        """Return a controller that knows nothing yet."""
        ...
