"""What a locust user is here."""

import gevent
from locust import User, task

from loadtest.session import session_of


class Traffic(User):
    """One who asks and waits for the answer (closed loop), or a worker's dispatcher (open loop)."""

    @task
    def ask(self) -> None:
        """Ask until the run is over; an open loop's requests are sent without anyone's waiting."""
        generator = session_of(self.environment).generator
        if generator is not None:
            if generator.closed_loop is not None:
                generator.closed_loop.be_user()
            generator.over.wait()
        gevent.sleep(1.0)
