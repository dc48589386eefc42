"""Sends what was planned, turn by turn, and notes what became of it."""

from collections.abc import Callable
from dataclasses import dataclass

import gevent
import msgspec

from loadtest.client import Client
from loadtest.exchange import to_record
from modem.load.planned import Planned, Turn, body
from modem.load.record import Record
from modem.load.scenario import Scenario

_ENCODE = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Prepared:
    """A planned request whose first body is ready, so that nothing is left to do when its time comes.

    Attributes:
        planned: The plan's entry.
        first_body: JSON.
    """

    planned: Planned
    first_body: bytes


class Sender:
    """Sends on behalf of one worker.

    Args:
        client: To the tested server.
        scenario: What is tested.
        worker: Number of the worker.
        start_s: The run's start on the client's clock.
        run_id: Part of the request ids.
        note: Takes the record of each turn.
        clock: Monotonic seconds; the client's.
    """

    def __init__(
        self,
        client: Client,
        scenario: Scenario,
        worker: int,
        start_s: float,
        run_id: str,
        note: Callable[[Record], None],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._scenario = scenario
        self._worker = worker
        self._start_s = start_s
        self._run_id = run_id
        self._note = note
        self._clock = clock

    def prepare(self, planned: Planned) -> Prepared:
        """Make the first body."""
        return Prepared(planned, self._body(planned.turns[0], [], planned.domain))

    def send(self, prepared: Prepared, intended_s: float, sent: Callable[[str, float], None]) -> None:
        """Send the first turn now, and each further one when its user has read and thought.

        A turn that fails ends the session. The further turns have no time of their own: each is meant to be
        sent ``think_s`` after the answer before it was complete.

        Args:
            prepared: What to send.
            intended_s: When the first turn was meant to be sent, in seconds from the run's start.
            sent: Told of each turn's domain and lateness in seconds, as it is sent.
        """
        planned = prepared.planned
        history: list[dict[str, str]] = []
        encoded, last = prepared.first_body, len(planned.turns) - 1
        for number, turn in enumerate(planned.turns):
            if number:
                intended_s += turn.think_s
                gevent.sleep(max(intended_s + self._start_s - self._clock(), 0.0))
                encoded = self._body(turn, history, planned.domain)
            request_id = f"{self._run_id}-{planned.index}-{number}"
            sent(planned.domain, self._clock() - self._start_s - intended_s)
            exchange = self._client.ask(encoded, turn.stream, request_id, turn.prompt, number < last)
            self._note(
                to_record(exchange, planned, number, self._worker, intended_s, self._start_s, request_id)
            )
            if exchange.outcome != "ok":
                return
            history += [
                {"role": "user", "content": turn.prompt},
                {"role": "assistant", "content": exchange.text},
            ]
            intended_s = exchange.end_s - self._start_s

    def _body(self, turn: Turn, history: list[dict[str, str]], domain: str) -> bytes:
        return _ENCODE(body(turn, history, self._scenario, domain))
