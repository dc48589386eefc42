"""What was seen once a second during a run: a line of ``cluster.jsonl`` or ``client.jsonl`` each."""

import msgspec


class ExpertSample(msgspec.Struct, frozen=True):
    """One expert at one moment.

    Attributes:
        t_s: From the run's start.
        domain: Whose.
        state: ``ready``, ``starting``, ``asleep``, ``failed``; None if the server does not tell.
        replicas: That answer; None likewise.
        running: Requests that replicas have; None likewise.
        waiting: Requests without a replica, or that wait inside the engine; None likewise.
    """

    t_s: float
    domain: str
    state: str | None = None
    replicas: int | None = None
    running: int | None = None
    waiting: int | None = None


class ClientSample(msgspec.Struct, frozen=True):
    """One second of one load generator.

    Attributes:
        worker: Its number.
        t_s: End of the second, from the run's start.
        lag_max_s: Longest that the event loop came late to a timer.
        lag_mean_s: The mean.
        cpu_share: CPU time of the process over the time passed; 1 is a full core.
        in_flight: Requests without an end, at this moment. Sessions count while their user thinks.
        num_sent: Requests since the start.
        late_max_s: Most that a request of this second was sent after its time; 0 without any.
        sent: Requests since the start by domain.
    """

    worker: int
    t_s: float
    lag_max_s: float
    lag_mean_s: float
    cpu_share: float
    in_flight: int = 0
    num_sent: int = 0
    late_max_s: float = 0.0
    sent: dict[str, int] = msgspec.field(default_factory=dict)
