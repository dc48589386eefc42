"""What Serve says of the applications, read as the states of experts."""

import asyncio
import time
from collections.abc import Mapping

from ray import serve
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview, ReplicaState

from modem.types import ExpertState

STATES_TTL_S = 1.0


class PlatformStates:
    """Serve's status of all applications, asked for at most once a second."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._at = float("-inf")
        self._applications: Mapping[str, ApplicationStatusOverview] = {}

    async def applications(self) -> Mapping[str, ApplicationStatusOverview]:
        """Return the status per application name."""
        async with self._lock:
            if time.monotonic() - self._at > STATES_TTL_S:
                status = await asyncio.to_thread(serve.status)
                self._applications, self._at = status.applications, time.monotonic()
            return self._applications


def expert_state(application: ApplicationStatusOverview | None, deployment: str) -> ExpertState:
    """Read one expert's state out of Serve's status."""
    if application is None:
        return ExpertState("failed", 0, "the application is not deployed")
    overview = application.deployments.get(deployment)
    num_ready = overview.replica_states.get(ReplicaState.RUNNING, 0) if overview else 0
    if num_ready:
        return ExpertState("ready", num_ready)
    if application.status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
        return ExpertState("failed", 0, (overview.message if overview else "") or application.message)
    if application.status in (ApplicationStatus.DELETING, ApplicationStatus.NOT_STARTED):
        return ExpertState("failed", 0, f"the application is {application.status.value}")
    # A replica that stops is on its way to sleep, which can take as long as its last answer.
    coming = {**(overview.replica_states if overview else {}), ReplicaState.STOPPING: 0}
    if application.status == ApplicationStatus.DEPLOYING or any(coming.values()):
        return ExpertState("starting", 0)
    return ExpertState("asleep", 0)
