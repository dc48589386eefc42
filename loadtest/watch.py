"""Looks at the tested cluster once a second: which experts are up, and what is queued at them."""

import time
from urllib.parse import urlsplit

import gevent
import msgspec
from geventhttpclient.response import HTTPParseError

from loadtest.client import Client
from modem.load.address import Address, parse_address
from modem.load.cluster import domains_by_application, expert_samples, queues
from modem.load.folder import CLUSTER, RunFolder
from modem.load.samples import ExpertSample

PERIOD_S = 1.0
TIMEOUT_S = 5.0
_ENCODE = msgspec.json.Encoder().encode


class Watch:
    """Writes ``cluster.jsonl`` from its making until it is stopped.

    What the server does not tell is null, and a look that fails leaves a gap: nothing is made up.

    Args:
        host: Base URL of the tested server, whose model cards tell states and replicas.
        metrics_urls: Prometheus pages that tell queues, instead of the model cards.
        folder: Where to write.
        t0_s: The run's start on the monotonic clock.
    """

    def __init__(self, host: str, metrics_urls: tuple[str, ...], folder: RunFolder, t0_s: float) -> None:
        self._client = Client(parse_address(host), TIMEOUT_S)
        self._pages = [_page(url) for url in metrics_urls]
        self._folder = folder
        self._t0_s = t0_s
        self._domains: dict[str, str] = {}
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Look no more."""
        self._greenlet.kill()
        self._client.close()

    def _run(self) -> None:
        number = 0
        while True:
            gevent.sleep(max(self._t0_s + number * PERIOD_S - time.monotonic(), 0.0))
            samples = self._look()
            self._folder.append(CLUSTER, b"".join(_ENCODE(sample) + b"\n" for sample in samples))
            number = max(number + 1, int((time.monotonic() - self._t0_s) / PERIOD_S) + 1)

    def _look(self) -> list[ExpertSample]:
        t_s = round(time.monotonic() - self._t0_s, 3)
        body = _get(self._client, "/v1/models")
        try:
            samples = expert_samples(body, t_s) if body is not None else []
        except ValueError:
            return []
        if not self._pages or not samples:
            return samples
        found = queues(self._metrics(), self._by_application())
        return [
            msgspec.structs.replace(
                sample,
                running=found.get(sample.domain, (None, None))[0],
                waiting=found.get(sample.domain, (None, None))[1],
            )
            for sample in samples
        ]

    def _metrics(self) -> list[str]:
        pages = [_get(client, path) for client, path in self._pages]
        return [page.decode("utf-8", "replace") for page in pages if page is not None]

    def _by_application(self) -> dict[str, str]:
        if not self._domains and (body := _get(self._client, "/ready", statuses=(200, 503))) is not None:
            try:
                self._domains = domains_by_application(body)
            except ValueError:
                return {}
        return self._domains


def _get(client: Client, path: str, statuses: tuple[int, ...] = (200,)) -> bytes | None:
    try:
        status, _, body = client.get(path, TIMEOUT_S)
    except (OSError, HTTPParseError):
        return None
    return body if status in statuses else None


def _page(url: str) -> tuple[Client, str]:
    parts = urlsplit(url)
    base = parse_address(f"{parts.scheme}://{parts.netloc}")
    return Client(Address(base.scheme, base.host, base.port), TIMEOUT_S), parts.path or "/metrics"
