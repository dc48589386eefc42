"""``ongoing_requests``: Ray Serve's own rule, as the baseline."""

from typing import Literal

from modem.autoscaling.base import Decision, ExpertLoad, PolicyParams


class OngoingRequestsParams(PolicyParams):
    """It has no parameters of its own; ``target_ongoing_requests`` and Serve's factors and delays are all."""

    kind: Literal["ongoing_requests"] = "ongoing_requests"

    def build(self) -> "OngoingRequests":
        """Return the policy."""
        return OngoingRequests()


class OngoingRequests:
    """As many replicas as it takes for each to have ``target_ongoing_requests``.

    .. code-block:: text

        n = ongoing_requests / target_ongoing_requests        without a running replica: the target as it is

    Source: ``_core_replica_queue_length_policy`` in Ray 2.60's ``ray/serve/autoscaling_policy.py``; a test
    holds the two together, to the last bit. It has no hysteresis but Serve's delays.
    """

    def decide(self, load: ExpertLoad, state: None) -> Decision[None]:
        """Decide; see the class."""
        running = load.running_replicas
        if running == 0:
            need = load.ongoing_requests / load.target_ongoing_requests
            return Decision(load.target_replicas, need, "starting", None)
        # In Ray's order of operations: a shorter formula rounds differently.
        wanted = running * (load.ongoing_requests / (load.target_ongoing_requests * running))
        return Decision(wanted, wanted, "requests", None)
