"""Locust's own table: rows per intended domain."""

from locust.event import EventHook

from modem.load.record import Record


class OutcomeError(Exception):
    """A failure in locust's table, which counts those of one text together: the class of the outcome."""


class Table:
    """Tells locust of each record.

    Rows are ``e2e``, ``ttft`` and ``itl (mean)``, each a time in milliseconds, and ``misrouted``, which
    counts what another expert than intended answered.

    Args:
        request: Locust's ``events.request``.
    """

    def __init__(self, request: EventHook) -> None:
        self._request = request

    def count(self, record: Record) -> None:
        """Add a record. A failure is counted and has no time."""
        if record.outcome != "ok":
            self._fire(record, "e2e", None, OutcomeError(record.outcome))
            return
        self._fire(record, "e2e", record.e2e_s)
        if record.ttft_s is not None:
            self._fire(record, "ttft", record.ttft_s)
        if record.itl_s:
            self._fire(record, "itl (mean)", sum(record.itl_s) / len(record.itl_s))
        if record.misrouted:
            self._fire(record, "misrouted", record.e2e_s)

    def _fire(
        self, record: Record, name: str, time_s: float | None, exception: Exception | None = None
    ) -> None:
        self._request.fire(  # type: ignore[no-untyped-call]
            request_type=record.domain,
            name=name,
            response_time=None if time_s is None else 1000 * time_s,
            response_length=record.output_tokens or 0,
            exception=exception,
            context={},
        )
