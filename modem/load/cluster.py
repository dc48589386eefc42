"""What the tested cluster says of its experts: its model cards, and its Prometheus pages."""

import re
from collections.abc import Iterable, Mapping

import msgspec

from modem.load.samples import ExpertSample

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+([^\s]+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# Ray prefixes what a process exports with `ray_`, and writes `_` for the `:` of vLLM's own names.
_RUNNING = {
    "ray_serve_replica_processing_queries",
    "vllm:num_requests_running",
    "ray_vllm_num_requests_running",
}
_WAITING = {
    "ray_serve_deployment_queued_queries",
    "vllm:num_requests_waiting",
    "ray_vllm_num_requests_waiting",
}


class _Card(msgspec.Struct):
    id: str
    state: str | None = None
    replicas: int | None = None
    running: int | None = None
    waiting: int | None = None


class _Cards(msgspec.Struct):
    data: list[_Card]


class _Application(msgspec.Struct):
    domain: str


class _Ready(msgspec.Struct):
    applications: dict[str, _Application]


_CARDS = msgspec.json.Decoder(_Cards)
_READY = msgspec.json.Decoder(_Ready)


def model_ids(body: bytes) -> list[str]:
    """Return the models that ``GET /v1/models`` lists.

    Raises:
        ValueError: It is no such list.
    """
    return [card.id for card in _CARDS.decode(body).data]


def expert_samples(body: bytes, t_s: float) -> list[ExpertSample]:
    """Read ``GET /v1/models``: one sample for each card that has a state.

    Raises:
        ValueError: It is no list of models.
    """
    return [
        ExpertSample(t_s, card.id, card.state, card.replicas, card.running, card.waiting)
        for card in _CARDS.decode(body).data
        if card.state is not None
    ]


def domains_by_application(body: bytes) -> dict[str, str]:
    """Read ``GET /ready``: which domain each application answers.

    Raises:
        ValueError: It is something else.
    """
    return {name: application.domain for name, application in _READY.decode(body).applications.items()}


def queues(texts: Iterable[str], domains: Mapping[str, str]) -> dict[str, tuple[int | None, int | None]]:
    """Read running and waiting requests per domain out of Prometheus pages, added up over replicas.

    An engine's own numbers (vLLM's) count where there are any: they know what waits inside the engine,
    which Ray Serve counts as running.

    Args:
        texts: Of each page.
        domains: By application; an engine's ``model_name`` is the domain itself.
    """
    sums: dict[tuple[str, bool, bool], float] = {}
    for text in texts:
        for name, labels, value in _samples(text):
            is_engine = "vllm" in name
            domain = labels.get("model_name") if is_engine else domains.get(labels.get("application", ""))
            if domain in domains.values() and domain is not None:
                key = (domain, is_engine, name in _RUNNING)
                sums[key] = sums.get(key, 0.0) + value
    return {
        domain: (_count(sums, domain, running=True), _count(sums, domain, running=False))
        for domain in domains.values()
    }


def _samples(text: str) -> Iterable[tuple[str, dict[str, str], float]]:
    for line in text.splitlines():
        found = _SAMPLE.match(line)
        if found and found[1] in _RUNNING | _WAITING:
            try:
                yield found[1], dict(_LABEL.findall(found[2] or "")), float(found[3])
            except ValueError:
                continue


def _count(sums: Mapping[tuple[str, bool, bool], float], domain: str, running: bool) -> int | None:
    for is_engine in (True, False):
        value = sums.get((domain, is_engine, running))
        if value is not None:
            return round(value)
    return None
