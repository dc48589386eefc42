"""What one change or one death touches, and what it leaves alone; what listens where."""

import copy
import ipaddress
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from tests.builders import ASLEEP, PATIENT, expert, front, mixture
from tests.cluster import Cluster

pytestmark = pytest.mark.ray
DOMAINS = ("other", "math", "coding")


def config() -> dict[str, Any]:
    return mixture(
        [
            front(domains=DOMAINS),
            expert("other", tpot_s=0.02, output_tokens=300),
            expert("math", tpot_s=0.02, output_tokens=300),
            expert("coding", autoscaling=ASLEEP),
        ],
        port=0,
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(config()) as running:
        yield running


def pids(cluster: Cluster) -> dict[str, frozenset[int]]:
    """Process ids of all running replicas by application and deployment."""
    return {
        f"{name}/{deployment}": frozenset(
            replica["pid"] for replica in details["replicas"] if replica["state"] == "RUNNING"
        )
        for name, application in cluster.applications().items()
        for deployment, details in application["deployments"].items()
    }


def eventually(holds: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def listeners(process: psutil.Process) -> list[tuple[str, Any]]:
    """Name and address of each listening socket."""
    try:
        connections = process.net_connections("inet")
        return [(process.name(), c.laddr) for c in connections if c.status == psutil.CONN_LISTEN]
    except psutil.NoSuchProcess:
        return []  # it ended by itself


def ask(cluster: Cluster, text: str, **fields: Any) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 3, **fields}
    return httpx.post(f"{cluster.url}/v1/chat/completions", json=body, timeout=60)


def test_nothing_listens_beyond_loopback(cluster: Cluster) -> None:
    listening = [found for process in cluster.processes() for found in listeners(process)]
    assert len(listening) > 10  # HAProxy, dashboard, GCS, raylet, replicas ...
    open_to_others = [
        (name, address)
        for name, address in listening
        if not ipaddress.ip_address(address.ip.removeprefix("::ffff:")).is_loopback
    ]
    assert not open_to_others


def test_high_throughput_mode_and_haproxy_are_on(cluster: Cluster) -> None:
    assert any(process.name() == "haproxy" for process in cluster.processes())
    assert "Throughput optimized Ray Serve enabled" in cluster.log


def test_settings_change_live_without_a_restart(cluster: Cluster) -> None:
    before = pids(cluster)
    assert ask(cluster, "a question of math").headers["x-modem-reason"] == "top_score"
    changed = config()
    settings = changed["applications"][0]["deployments"][0]["user_config"]
    settings["routing"] = {"threshold": 0.95, "fallback": "other", **PATIENT}
    settings["domains"]["math"]["description"] = "Numbers."
    settings["domains"]["other"]["system_prompt"] = "Answer in one word."
    settings["domains"]["other"]["price"] = {"prompt_usd_per_million_tokens": 1}
    plain = ask(cluster, "nothing").json()["usage"]["prompt_tokens"]
    cluster.deploy(changed)
    eventually(lambda: ask(cluster, "a question of math").headers["x-modem-reason"] == "low_confidence")
    assert httpx.get(f"{cluster.url}/v1/models/math").json()["description"] == "Numbers."
    # "system: Answer in one word." is five words more for the simulated expert.
    assert ask(cluster, "nothing").json()["usage"]["prompt_tokens"] == plain + 5
    assert pids(cluster) == before
    cluster.deploy(config())
    eventually(lambda: ask(cluster, "a question of math").headers["x-modem-reason"] == "top_score")
    assert pids(cluster) == before


def test_limits_change_live_and_end_slow_answers(cluster: Cluster) -> None:
    changed = config()
    settings = changed["applications"][0]["deployments"][0]["user_config"]
    settings["limits"] = {"request_timeout_s": 1.0, "stream_idle_timeout_s": 30}
    cluster.deploy(changed)
    eventually(lambda: ask(cluster, "math", max_tokens=300).status_code == 504)
    reply = ask(cluster, "math", max_tokens=300)
    assert reply.json()["error"]["code"] == "expert_timeout"
    assert reply.headers["x-modem-domain"] == "math"
    streamed = ask(cluster, "math", max_tokens=300, stream=True)
    assert streamed.status_code == 200
    assert streamed.text.count("data: ") > 10
    assert '"code": "expert_timeout"' in streamed.text.splitlines()[-2]
    cluster.deploy(config())
    eventually(lambda: ask(cluster, "math", max_tokens=60).status_code == 200)


def test_a_wrong_live_setting_is_refused_and_the_old_ones_stay(cluster: Cluster) -> None:
    before = pids(cluster)
    changed = config()
    changed["applications"][0]["deployments"][0]["user_config"]["routing"] = {"threshold": 7}
    cluster.deploy(changed)
    time.sleep(5)
    assert ask(cluster, "a question of math").json()["model"] == "math"
    assert pids(cluster) == before
    assert "the new user_config is refused" in cluster.replica_logs("modem", "Gateway")
    cluster.deploy(config())


def test_changing_one_expert_restarts_only_that_expert(cluster: Cluster) -> None:
    before = pids(cluster)
    changed = copy.deepcopy(config())
    changed["applications"][2]["args"]["output_tokens"] = 7
    cluster.deploy(changed)
    eventually(
        lambda: ask(cluster, "math", max_tokens=100).json().get("usage", {}).get("completion_tokens") == 7
    )
    eventually(lambda: len(pids(cluster)["expert-math/Expert"]) == 1)
    after = pids(cluster)
    assert after.pop("expert-math/Expert") != before.pop("expert-math/Expert")
    assert after == before


def test_a_killed_expert_ends_its_streams_with_an_error_and_comes_back(cluster: Cluster) -> None:
    before = pids(cluster)
    (victim,) = before.pop("expert-other/Expert")
    body = {"messages": [{"role": "user", "content": "go on"}], "max_tokens": 300, "stream": True}
    with httpx.stream("POST", f"{cluster.url}/v1/chat/completions", json=body, timeout=30) as reply:
        pieces = reply.iter_text()
        text = next(pieces) + next(pieces)
        os.kill(victim, signal.SIGKILL)
        text += "".join(pieces)
    assert '"code": "expert_failed"' in text.splitlines()[-2]
    assert "[DONE]" not in text
    assert "Traceback" not in text
    assert ask(cluster, "some math").json()["model"] == "math"  # the others never noticed
    eventually(lambda: ask(cluster, "go on", model="other").status_code == 200)
    after = pids(cluster)
    assert victim not in after.pop("expert-other/Expert")
    assert after == before


def test_a_burst_on_a_sleeping_expert_loses_nothing_and_wakes_it_alone(cluster: Cluster) -> None:
    before = pids(cluster)
    assert before.pop("expert-coding/Expert") == frozenset()
    with ThreadPoolExecutor(30) as pool:
        replies = list(pool.map(lambda n: ask(cluster, f"coding {n}"), range(30)))
    assert {reply.status_code for reply in replies} == {200}
    assert {reply.json()["model"] for reply in replies} == {"coding"}
    after = pids(cluster)
    assert len(after.pop("expert-coding/Expert")) == 1
    assert after == before
