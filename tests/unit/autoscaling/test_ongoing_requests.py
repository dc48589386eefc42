from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from ray.serve.autoscaling_policy import _core_replica_queue_length_policy

from modem.autoscaling.ongoing_requests import OngoingRequests
from tests.unit.autoscaling.world import load


@given(
    running=st.integers(0, 1000),
    target_replicas=st.integers(0, 1000),
    ongoing=st.floats(0, 1e6),
    target=st.floats(1e-3, 1e4),
)
def test_it_is_rays_rule_to_the_last_bit(
    running: int, target_replicas: int, ongoing: float, target: float
) -> None:
    context = SimpleNamespace(
        current_num_replicas=running,
        target_num_replicas=target_replicas,
        total_num_requests=ongoing,
        config=SimpleNamespace(get_target_ongoing_requests=lambda: target),
    )
    now = load(
        running_replicas=running,
        target_replicas=target_replicas,
        ongoing_requests=ongoing,
        target_ongoing_requests=target,
    )
    assert OngoingRequests().decide(now, None).num_replicas == _core_replica_queue_length_policy(context)[0]


def test_while_none_runs_the_need_is_told_all_the_same() -> None:
    decision = OngoingRequests().decide(
        load(running_replicas=0, target_replicas=1, ongoing_requests=40), None
    )
    assert (decision.num_replicas, decision.need, decision.reason) == (1, 5.0, "starting")
