"""Each policy on a real cluster: its expert grows for the policy's own reason, and shrinks again."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.builders import expert, front, mixture
from tests.cluster import Cluster
from tests.e2e.scaling import Watch, answered, eventually, load

pytestmark = pytest.mark.ray

SWIFT = {
    "min_replicas": 1,
    "initial_replicas": 1,
    "max_replicas": 3,
    "target_ongoing_requests": 2,
    "metrics_interval_s": 0.5,
    "look_back_period_s": 2,
    "upscale_delay_s": 0.5,
    "downscale_delay_s": 2,
    "downscale_to_zero_delay_s": 2,
}
SLEEPING = {**SWIFT, "min_replicas": 0, "initial_replicas": 0}
HELD = {"hold_s": 3, "interval_s": 0.5}
SECOND_PER_ANSWER: dict[str, Any] = {"ttft_s": 0.05, "tpot_s": 0.02, "output_tokens": 50}
NUM_GPUS = 3
BUDGET = {
    "policy_function": "deployments.autoscaling:GpuBudget",
    "policy_kwargs": {
        "num_gpus": NUM_GPUS,
        "turn_s": 2,
        "idle_s": 1,
        "interval_s": 0.5,
        "policy": {"kind": "ongoing_requests"},
    },
}
LONG_PROMPT = "word " * 900
DOMAINS = ("other", "tokens", "targets", "clock", "left", "right")


def scaled(scaling: dict[str, Any], policy: str, **params: Any) -> dict[str, Any]:
    own = {"policy_function": f"deployments.autoscaling:{policy}", "policy_kwargs": params}
    return {**scaling, "policy": own}


def all_day() -> dict[str, Any]:
    """A floor of one replica that holds now and for hours."""
    now = datetime.now(UTC)
    begin, end = now - timedelta(hours=3), now + timedelta(hours=3)
    return {"from_time": f"{begin:%H:%M}", "to_time": f"{end:%H:%M}", "replicas": 1}


def config() -> dict[str, Any]:
    counting = {**SWIFT, "target_ongoing_requests": 4}
    tokens = scaled(counting, "TokenLoad", kv_utilization=0.5, prefill_tokens_per_s=1e9, **HELD)
    # A number that is never reached: what makes it grow is the time to first token. The speed of reading is
    # given, because a busy machine would measure a slow one.
    never = {**SWIFT, "target_ongoing_requests": 100}
    targets = scaled(never, "Slo", ttft_s=0.5, prefill_tokens_per_s=1e9, **HELD)
    clock = scaled(SLEEPING, "Forecast", floors=[all_day()], **HELD)
    clock["policy"]["policy_kwargs"]["policy"] = {"kind": "ongoing_requests"}
    return mixture(
        [
            front(domains=DOMAINS, limits={"start_timeout_s": 90}),
            expert("other", autoscaling=scaled(counting, "OngoingRequests"), **SECOND_PER_ANSWER),
            expert("tokens", autoscaling=tokens, max_num_seqs=4, max_model_len=1000, **SECOND_PER_ANSWER),
            expert("targets", autoscaling=targets, max_num_seqs=2, **SECOND_PER_ANSWER),
            expert("clock", autoscaling=clock, **SECOND_PER_ANSWER),
            *(
                {**expert(domain, autoscaling=SLEEPING, **SECOND_PER_ANSWER), "autoscaling_policy": BUDGET}
                for domain in ("left", "right")
            ),
        ],
        port=0,
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(config()) as running:
        yield running


@pytest.fixture
def watch(cluster: Cluster) -> Iterator[Watch]:
    with Watch(cluster, DOMAINS) as watching:
        yield watching


def reasons(cluster: Cluster, domain: str) -> dict[int, set[str]]:
    """Why a policy wanted so many replicas, as the controller logged it."""
    pattern = rf"wants (\d+) replicas of expert-{domain}/Expert \((\w+):"
    found: dict[int, set[str]] = {}
    for number, reason in re.findall(pattern, cluster.controller_log()):
        found.setdefault(int(number), set()).add(reason)
    return found


def goes_up_and_down_once(counts: list[int]) -> bool:
    top = counts.index(max(counts))
    return counts == sorted(set(counts[: top + 1])) + sorted(set(counts[top + 1 :]), reverse=True)


def test_forecast_keeps_a_scheduled_floor_without_any_load_and_grows_above_it(
    cluster: Cluster, watch: Watch
) -> None:
    assert SLEEPING["min_replicas"] == 0
    eventually(lambda: watch.now("clock") == 1)
    assert reasons(cluster, "clock") == {1: {"floor"}}
    with load(cluster, "clock", num_clients=4) as clients:
        eventually(lambda: watch.now("clock") >= 2)
    answered(clients, "clock")
    eventually(lambda: watch.now("clock") == 1)
    assert 0 not in watch.counts("clock")[1:]
    assert "requests" in set().union(*(why for n, why in reasons(cluster, "clock").items() if n > 1))


def test_ongoing_requests_counts_requests(cluster: Cluster, watch: Watch) -> None:
    with load(cluster, "other", num_clients=6) as clients:  # 4 for each replica
        eventually(lambda: watch.now("other") == 2)
    assert answered(clients, "other") >= 6
    eventually(lambda: watch.now("other") == 1)
    assert watch.counts("other") == [1, 2, 1]


def test_token_load_grows_for_few_long_prompts_where_their_number_would_not(
    cluster: Cluster, watch: Watch
) -> None:
    with load(cluster, "tokens", num_clients=3) as short:
        time.sleep(2 * SWIFT["look_back_period_s"])
    assert answered(short, "tokens") >= 3
    assert watch.counts("tokens") == [1]
    with ExitStack() as both:
        counted = both.enter_context(load(cluster, "other", 3, LONG_PROMPT))
        weighed = both.enter_context(load(cluster, "tokens", 3, LONG_PROMPT))
        eventually(lambda: watch.now("tokens") == 2)
    assert answered(counted, "other") >= 3
    assert answered(weighed, "tokens") >= 3
    eventually(lambda: watch.now("tokens") == 1)
    assert watch.counts("tokens") == [1, 2, 1]
    assert watch.counts("other") == [1]
    assert "kv" in reasons(cluster, "tokens")[2]  # while it is held there the need may be another


def test_slo_grows_for_late_first_tokens_far_below_the_number_of_requests(
    cluster: Cluster, watch: Watch
) -> None:
    with load(cluster, "targets", num_clients=5) as clients:
        eventually(lambda: watch.now("targets") == 3)
    assert answered(clients, "targets") >= 5
    eventually(lambda: watch.now("targets") == 1)
    assert goes_up_and_down_once(watch.counts("targets"))
    # A batch has two places; five requests in it, or first tokens that came late, are reasons to grow.
    assert reasons(cluster, "targets")[3] <= {"batch", "late"}


def test_gpu_budget_is_never_exceeded_and_an_idle_expert_gives_to_a_claiming_one(
    cluster: Cluster, watch: Watch
) -> None:
    with load(cluster, "right", num_clients=6) as claiming:
        with load(cluster, "left", num_clients=4) as idling:
            # 2 requests a replica: 3 and 2 are wanted, and there are 3.
            eventually(lambda: (watch.now("left") > 0) and watch.now("left") + watch.now("right") == NUM_GPUS)
            time.sleep(2 * SWIFT["look_back_period_s"])
            assert watch.now("left") > 0
            assert watch.now("right") > 0
        assert answered(idling, "left") >= 4
        eventually(lambda: watch.now("right") == NUM_GPUS)
    assert answered(claiming, "right") >= 6
    eventually(lambda: watch.now("left") + watch.now("right") == 0)
    assert max(seen.count("left") + seen.count("right") for seen in watch.seen) == NUM_GPUS
