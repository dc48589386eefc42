"""How many locust users there are: one dispatcher a worker (open loop), or the scenario's users (closed)."""

from locust import LoadTestShape
from locust.runners import MasterRunner

from loadtest.session import session_of

_MOST_A_SECOND = 100.0
"""Users to start a second; locust warns above, and its own spread takes no longer than a second then."""


class ScenarioShape(LoadTestShape):
    """Follows the scenario that is being run, and ends the run when every record is there."""

    def tick(self) -> tuple[int, float] | None:
        """Return users and how many to start a second; None ends the run."""
        assert self.runner is not None
        session = session_of(self.runner.environment)
        conductor = session.conductor
        if session.failure is not None:
            return None
        if conductor is None:
            return self._users(session.num_users(0.0))
        conductor.look_after()
        if conductor.is_over:
            return None
        return self._users(session.num_users(max(conductor.elapsed_s, 0.0)))

    def _users(self, number: int | None) -> tuple[int, float]:
        if number is None:
            number = self.runner.worker_count if isinstance(self.runner, MasterRunner) else 1
        return number, max(1.0, min(float(number), _MOST_A_SECOND))
