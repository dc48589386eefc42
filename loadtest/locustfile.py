"""What locust loads.

``locust -f loadtest/locustfile.py --host http://127.0.0.1:8000 --scenario domain-drift``

With its web UI, ``--headless``, ``--processes 4``, or ``--master`` and ``--worker`` on several machines.
"""

from locust import events

from loadtest.lifecycle import register
from loadtest.shape import ScenarioShape
from loadtest.user import Traffic

__all__ = ["ScenarioShape", "Traffic"]

register(events)
