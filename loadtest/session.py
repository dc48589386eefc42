"""What a locust process knows of the run: what to run, and this process's part in it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from locust.env import Environment

from loadtest.conductor import Conductor, Setting
from loadtest.generator import Generator
from loadtest.workers import WorkerEnd
from modem.errors import ConfigError

_ATTRIBUTE = "modem_session"


@dataclass(slots=True)
class Session:
    """Belongs to locust's environment.

    Attributes:
        read: Reads the command line's or web form's options anew.
        worker_end: Where this process sends requests; None on a master.
        setting: Of the run that goes on; None between runs.
        conductor: Of the run that goes on; None on a worker and between runs.
        failure: Why the run that was to go on did not start; None between runs.
        interrupted: Whether someone asked for its end.
    """

    read: Callable[[], Setting]
    worker_end: WorkerEnd | None = None
    setting: Setting | None = None
    conductor: Conductor | None = None
    failure: str | None = None
    interrupted: bool = False

    @property
    def generator(self) -> Generator | None:
        """This process's generator; None on a master."""
        return None if self.worker_end is None else self.worker_end.generator

    def num_users(self, t_s: float) -> int | None:
        """Return the users of a closed loop at a time; None for an open loop, or if nothing can be run."""
        try:
            # Locust asks for the first users before it tells of the start.
            setting = self.setting or self.read()
        except ConfigError:  # which is told at the start
            return None
        users = setting.scenario.users_curve
        return None if users is None else round(users.at(t_s))


def attach(environment: Environment, session: Session) -> None:
    """Make a session known to users and shape."""
    vars(environment)[_ATTRIBUTE] = session


def session_of(environment: Environment) -> Session:
    """Return the environment's session."""
    found: Any = vars(environment)[_ATTRIBUTE]
    assert isinstance(found, Session)
    return found
