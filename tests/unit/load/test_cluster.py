"""What the cluster says of its experts."""

import json
from typing import Any

import pytest

from modem.load.cluster import domains_by_application, expert_samples, model_ids, queues
from modem.load.samples import ExpertSample

CARDS = [
    {"id": "auto", "object": "model"},
    {"id": "math", "state": "ready", "replicas": 2, "running": 3, "waiting": 1, "more": [1]},
    {"id": "health", "state": "asleep", "replicas": 0},
]
DOMAINS = {"expert-math": "math", "expert-health": "health"}
RAY = """\
# HELP ray_serve_replica_processing_queries The current number of queries being processed.
# TYPE ray_serve_replica_processing_queries gauge
ray_serve_replica_processing_queries{application="expert-math",deployment="Expert",replica="a"} 3.0
ray_serve_replica_processing_queries{application="expert-math",deployment="Expert",replica="b"} 2.0
ray_serve_replica_processing_queries{application="modem",deployment="Gateway",replica="c"} 9.0
ray_serve_deployment_queued_queries{application="expert-math",deployment="Expert"} 4.0
ray_other_thing{application="expert-math"} 77
"""
VLLM = """\
vllm:num_requests_running{engine="0",model_name="math"} 1.0
vllm:num_requests_waiting{engine="0",model_name="math"} 6.0
vllm:num_requests_waiting{engine="0",model_name="unknown"} 6.0
"""


def models(cards: Any = CARDS) -> bytes:
    return json.dumps({"object": "list", "data": cards}).encode()


def test_a_sample_for_each_expert_and_none_for_auto() -> None:
    assert expert_samples(models(), 2.5) == [
        ExpertSample(2.5, "math", "ready", 2, 3, 1),
        ExpertSample(2.5, "health", "asleep", 0, None, None),
    ]


def test_a_server_that_tells_nothing_gives_nothing() -> None:
    assert expert_samples(models([{"id": "gpt"}]), 0.0) == []
    assert model_ids(models()) == ["auto", "math", "health"]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"data": [{"name": "x"}]}', b""])
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        expert_samples(body, 0.0)


def test_applications_are_found_by_the_readiness_page() -> None:
    body = json.dumps(
        {
            "status": "ready",
            "applications": {"expert-math": {"domain": "math", "state": "ready", "num_replicas": 1}},
        }
    ).encode()
    assert domains_by_application(body) == {"expert-math": "math"}
    with pytest.raises(ValueError, match=r".+"):
        domains_by_application(b"{}")


def test_ray_counts_are_added_over_replicas_and_other_applications_left_out() -> None:
    assert queues([RAY], DOMAINS) == {"math": (5, 4), "health": (None, None)}


def test_an_engine_knows_better_what_waits_inside_it() -> None:
    assert queues([RAY, VLLM], DOMAINS)["math"] == (1, 6)


def test_two_pages_are_added() -> None:
    assert queues([VLLM, VLLM], DOMAINS)["math"] == (2, 12)


@pytest.mark.parametrize(
    "page",
    [
        "",
        "garbage",
        "ray_serve_replica_processing_queries",
        "<html>",
        'vllm:num_requests_running{model_name="math"} much',
    ],
)
def test_a_page_without_numbers_is_null(page: str) -> None:
    assert queues([page], DOMAINS)["math"] == (None, None)
