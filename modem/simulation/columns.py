"""The requests of a simulation as columns: what was asked, and what has become of it so far."""

from math import nan

import numpy as np

from modem.simulation.result import RequestLog, Status
from modem.traces.trace import Trace


class Columns:
    """One row for each request of a trace. Plain lists: they are read one value at a time.

    Args:
        trace: The requests.
        expert_of: Position of the expert for each domain of the trace.
        num_gateways: Requests go to gateways in turn.
    """

    __slots__ = (
        "expert",
        "finish_s",
        "first_s",
        "gateway",
        "num_open",
        "output_tokens",
        "prompt_tokens",
        "status",
        "t_s",
    )

    def __init__(self, trace: Trace, expert_of: list[int], num_gateways: int) -> None:
        self.t_s: list[float] = trace.t_s.tolist()
        self.expert: list[int] = np.array(expert_of, dtype=np.int64)[trace.domain_index].tolist()
        self.prompt_tokens: list[int] = trace.prompt_tokens.tolist()
        self.output_tokens: list[int] = trace.output_tokens.tolist()
        self.gateway = [number % num_gateways for number in range(len(self.t_s))]
        self.first_s = [nan] * len(self.t_s)
        self.finish_s = [nan] * len(self.t_s)
        self.status = [int(Status.UNFINISHED)] * len(self.t_s)
        self.num_open = 0

    def close(self, request: int, status: Status) -> None:
        """Note what has become of a request that was let in."""
        self.status[request] = int(status)
        self.num_open -= 1

    def log(self, overhead_s: list[float]) -> RequestLog:
        """Return the columns as arrays.

        Args:
            overhead_s: Of each expert: what a request takes before it reaches the experts' queues. The
                simulation runs on the clock of those queues; here it becomes the client's.
        """
        shift = np.array(overhead_s)[np.array(self.expert, dtype=np.int64)] if self.t_s else np.zeros(0)
        return RequestLog(
            np.array(self.status, dtype=np.int8),
            np.array(self.first_s) + shift,
            np.array(self.finish_s) + shift,
        )
