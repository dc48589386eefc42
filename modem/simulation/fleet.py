"""One expert: its gateways' queues, its replicas, who gets which request."""

from collections.abc import Callable
from math import inf

import numpy as np

from modem.simulation.columns import Columns
from modem.simulation.engine import Engine
from modem.simulation.events import ENGINE, LIFE, Events
from modem.simulation.line import WaitingLine
from modem.simulation.pool import GpuPool
from modem.simulation.replica import Replica, State
from modem.simulation.reports import HandleReporter
from modem.simulation.result import Status
from modem.simulation.setup import ExpertSetup, Platform
from modem.simulation.speeds import Speeds


class Fleet:
    """The replicas of one expert, and the requests that wait for one.

    Args:
        setup: The expert.
        platform: What it shares with others.
        columns: All requests.
        events: Where it schedules what happens later.
        pool: Where its replicas get GPUs.
        rng: Draws start-up times.
    """

    def __init__(
        self,
        setup: ExpertSetup,
        platform: Platform,
        columns: Columns,
        events: Events,
        pool: GpuPool,
        rng: np.random.Generator,
    ) -> None:
        self.setup = setup
        self.replicas: list[Replica] = []
        """All there ever were."""
        self.present: list[Replica] = []
        """Those that wait for GPUs, start or run, oldest first."""
        self.accepting: list[Replica] = []
        """Those that take requests, oldest first."""
        self.handles: list[HandleReporter | None] = [None] * platform.num_gateways
        """Each gateway's handle; None before its first request."""
        self.line = WaitingLine(
            self.handles, setup.max_queued_requests, platform.start_timeout_s, columns, events
        )
        """Requests that wait for a replica."""
        self.has_stats = False
        """Whether replicas publish what a policy reads besides request counts."""
        self.on_ready: Callable[[float], None] = _nothing
        """Told when a replica will be ready, as soon as that is known."""
        self._speeds = Speeds.of(setup.profile)
        self._platform = platform
        self._columns = columns
        self._events = events
        self._pool = pool
        self._rng = rng
        self._turn = 0
        self._seek_s = inf

    def arrive(self, request: int, t_s: float) -> bool:
        """Take a request; False if it is refused because too many wait."""
        replica = self._pick()
        if replica is not None:
            self._send(request, replica, t_s)
            self._schedule(replica, replica.engine.retime())
            return True
        return self.line.join(request, t_s)

    def create(self, number: int, t_s: float) -> None:
        """Make replicas."""
        for _ in range(number):
            columns = self._columns
            engine = Engine(
                self._speeds,
                columns.prompt_tokens,
                columns.output_tokens,
                columns.first_s,
                columns.finish_s,
            )
            if self.has_stats:
                engine.admitted_s = {}
            name = f"{self.setup.domain}-{len(self.replicas)}"
            replica = Replica(name, self.setup.profile, engine, columns, t_s, not self.present)
            self.replicas.append(replica)
            self.present.append(replica)
            self._pool.ask(replica, self.setup.profile.gpus_per_replica, t_s, self._place)

    def _place(self, replica: Replica, t_s: float) -> None:
        """Begin to start: the GPUs are there."""
        replica.state = State.STARTING
        replica.placed_s = t_s
        replica.startup_s = self.setup.profile.startup_s.draw(self._rng)
        replica.ready_s = t_s + replica.startup_s
        self.on_ready(replica.ready_s)

    def note_ready(self, t_s: float) -> list[Replica]:
        """Return the replicas that have become ready; they take requests from now on."""
        ready = [r for r in self.present if r.state is State.STARTING and (r.ready_s or 0.0) <= t_s]
        for replica in ready:
            replica.state = State.RUNNING
            replica.running_s = t_s
        if ready:
            # Serve lists running replicas in the order in which they became it.
            self.accepting += ready
            self.line.serve(len(self.accepting), t_s)
            self._seek(t_s)
        return ready

    def stop(self, number: int, t_s: float) -> list[Replica]:
        """Take replicas away: those that do not run yet first, then the newest.

        Returns:
            Those that were running.
        """
        order = sorted(self.present, key=lambda r: (r.state is State.RUNNING, -self.present.index(r)))
        chosen = order[:number]
        running = [replica for replica in chosen if replica.state is State.RUNNING]
        for replica in chosen:
            self.present.remove(replica)
            replica.stopping_s = t_s
            if replica.state is State.RUNNING:
                self.accepting.remove(replica)
                self.line.serve(len(self.accepting), t_s)
                self._drain(replica, t_s)
            else:
                self._end(replica, t_s)
        return running

    def close(self, t_s: float) -> None:
        """Let engines count their time up to the end."""
        for replica in self.replicas:
            if replica.state in (State.RUNNING, State.DRAINING):
                replica.engine.context_tokens(t_s)

    # --- requests

    def _pick(self) -> Replica | None:
        """Return the replica with the fewest requests that is not full; ties go round."""
        accepting = self.accepting
        number = len(accepting)
        if number == 1:
            only = accepting[0]
            return only if only.num_ongoing < self.setup.max_ongoing_requests else None
        best, fewest = None, self.setup.max_ongoing_requests
        turn = self._turn = self._turn + 1
        for offset in range(number):
            replica = accepting[(turn + offset) % number]
            if replica.num_ongoing < fewest:
                best, fewest = replica, replica.num_ongoing
        return best

    def _send(self, request: int, replica: Replica, t_s: float) -> None:
        replica.num_ongoing += 1
        handle = self.handles[self._columns.gateway[request]]
        if handle is not None:
            handle.began(replica.replica_id)
        if self.has_stats:
            replica.accepted_s[request] = t_s
        replica.engine.push(request, t_s)

    def _schedule(self, replica: Replica, due_s: float) -> None:
        # A turn that is scheduled too early finds nothing to do and is scheduled anew.
        if due_s < inf and not replica.due_s <= due_s:
            replica.due_s = due_s
            self._events.at(due_s, ENGINE, self._run, replica)

    def _run(self, t_s: float, replica: Replica) -> None:
        if replica.due_s != t_s:
            return  # another turn has been scheduled since, an earlier one
        replica.due_s = inf
        engine = replica.engine
        if engine.next_s > t_s:
            self._schedule(replica, engine.next_s)
            return
        for request in engine.run(t_s):
            self._finish(request, replica, t_s)
        self._schedule(replica, engine.retime())

    def _finish(self, request: int, replica: Replica, t_s: float) -> None:
        columns = self._columns
        columns.close(request, Status.ANSWERED)
        replica.num_ongoing -= 1
        handle = self.handles[columns.gateway[request]]
        if handle is not None:
            handle.ended(replica.replica_id)
        if self.line:
            self._seek(t_s)

    def _seek(self, t_s: float, _: None = None) -> None:
        """Give free places to waiting requests that look for one now, and schedule the next look."""
        if self._seek_s <= t_s:
            self._seek_s = inf
        while self.line and (replica := self._pick()) is not None:
            look_s = self.line.next_look_s(t_s)
            if look_s > t_s:
                if look_s < self._seek_s:
                    self._seek_s = look_s
                    self._events.at(look_s, LIFE, self._seek)
                return
            self._send(self.line.leave(t_s), replica, t_s)
            self._schedule(replica, replica.engine.retime())

    # --- ends

    def _drain(self, replica: Replica, t_s: float) -> None:
        """Schedule the first look whether a replica may end; as Serve's replicas do it."""
        replica.state = State.DRAINING
        grace_s = self.setup.graceful_shutdown_timeout_s
        first_s = self.setup.graceful_shutdown_wait_loop_s
        if self._platform.direct:
            grace_s = max(grace_s, self._platform.min_draining_s)
            first_s = self._platform.min_draining_s
        replica.deadline_s = t_s + grace_s
        self._events.at(min(t_s + first_s, replica.deadline_s), LIFE, self._look, replica)

    def _look(self, t_s: float, replica: Replica) -> None:
        if replica.num_ongoing and t_s < replica.deadline_s:
            again_s = t_s + max(self.setup.graceful_shutdown_wait_loop_s, 0.01)
            self._events.at(min(again_s, replica.deadline_s), LIFE, self._look, replica)
            return
        for request in replica.engine.requests():
            self._columns.first_s[request] = self._columns.finish_s[request] = np.nan
            self._columns.close(request, Status.KILLED)
            handle = self.handles[self._columns.gateway[request]]
            if handle is not None:
                handle.ended(replica.replica_id)
        replica.num_ongoing = 0
        replica.due_s = -inf  # what its engine had scheduled is void
        replica.engine.context_tokens(t_s)
        self._end(replica, t_s)

    def _end(self, replica: Replica, t_s: float) -> None:
        placed = replica.state is not State.PENDING
        replica.state = State.STOPPED
        replica.stopped_s = t_s
        if placed:
            self._pool.give_back(self.setup.profile.gpus_per_replica, t_s)
        else:
            self._pool.withdraw(replica)


def _nothing(_: float) -> None:
    """Nobody wants to know."""
