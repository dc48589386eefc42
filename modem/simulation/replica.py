"""One replica: its life from creation to end, its engine, and what it tells of itself."""

from enum import Enum
from math import nan

from modem.autoscaling.meter import ReadSpeed, RecentMean
from modem.autoscaling.stats import ReplicaStats
from modem.simulation.columns import Columns
from modem.simulation.engine import Engine
from modem.simulation.profile import Profile
from modem.simulation.reports import ReplicaReporter
from modem.simulation.result import ReplicaLife

STAT_NAMES = tuple(ReplicaStats().to_metrics())
"""Names of the metrics that a replica publishes, in the order of `Replica.stats`."""


class State(Enum):
    """Where a replica is in its life."""

    PENDING = "waits for GPUs"
    STARTING = "starts"
    RUNNING = "answers requests"
    DRAINING = "finishes its requests"
    STOPPED = "is gone"


class Replica:
    """One replica.

    Args:
        replica_id: Its id.
        profile: What it can do.
        engine: Computes its answers.
        columns: All requests.
        created_s: When Serve made it.
        cold: No other replica was there.
    """

    __slots__ = (
        "_columns",
        "_itl",
        "_num_tokens",
        "_profile",
        "_reads",
        "_token_s",
        "_ttft",
        "accepted_s",
        "cold",
        "created_s",
        "deadline_s",
        "due_s",
        "engine",
        "num_ongoing",
        "placed_s",
        "ready_s",
        "replica_id",
        "reporter",
        "running_s",
        "startup_s",
        "state",
        "stopped_s",
        "stopping_s",
    )

    def __init__(
        self,
        replica_id: str,
        profile: Profile,
        engine: Engine,
        columns: Columns,
        created_s: float,
        cold: bool,
    ) -> None:
        self.replica_id = replica_id
        self._profile = profile
        self.engine = engine
        self.created_s = created_s
        self.cold = cold
        self.state = State.PENDING
        self.num_ongoing = 0
        self.due_s = nan  # when the engine's next turn is scheduled
        self.placed_s: float | None = None
        self.startup_s = 0.0
        self.ready_s: float | None = None
        self.running_s: float | None = None
        self.stopping_s: float | None = None
        self.stopped_s: float | None = None
        self.deadline_s = nan
        self.reporter: ReplicaReporter | None = None
        self.accepted_s: dict[int, float] = {}
        self._columns = columns
        self._ttft, self._itl, self._reads = RecentMean(), RecentMean(), ReadSpeed()
        self._num_tokens = self._token_s = 0.0

    def stats(self, t_s: float) -> tuple[float, ...]:
        """Return what ``record_autoscaling_stats`` of a live replica would, in the order of `STAT_NAMES`.

        What a live replica measures is measured here too, by the same means (`modem.autoscaling.meter`).
        """
        engine, profile = self.engine, self._profile
        context_tokens = engine.context_tokens(t_s)
        self._note_first_tokens()
        written, self._num_tokens = engine.num_tokens - self._num_tokens, engine.num_tokens
        took_s, self._token_s = engine.token_s - self._token_s, engine.token_s
        if written > 0:
            self._itl.add(t_s, took_s / written)
        itl_s = self._itl.at(t_s)
        return (
            float(engine.running),
            float(engine.num_waiting),
            float(engine.unread_tokens),
            context_tokens,
            float(profile.kv_capacity_tokens or 0),
            float(profile.max_num_seqs),
            self._reads.tokens_per_s,
            # A simulated expert knows its step, a real engine the mean time between its tokens.
            engine.step_s() if profile.prefill.parallel else itl_s,
            self._ttft.at(t_s),
            itl_s,
            self.startup_s,
        )

    def _note_first_tokens(self) -> None:
        admitted_s, columns = self.engine.admitted_s or {}, self._columns
        for request in self.engine.begun:
            first_s = columns.first_s[request]
            self._ttft.add(first_s, first_s - self.accepted_s.pop(request, first_s))
            self._reads.add(admitted_s.pop(request, first_s), first_s, columns.prompt_tokens[request])
        self.engine.begun.clear()

    def life(self) -> ReplicaLife:
        """Return its times."""
        return ReplicaLife(
            self.created_s,
            self.placed_s,
            self.running_s,
            self.stopping_s,
            self.stopped_s,
            self.engine.busy_s,
            self.cold,
        )
