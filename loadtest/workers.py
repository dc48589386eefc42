"""A worker's end of a run: makes a generator when told, and starts and stops it."""

import os
from collections.abc import Mapping
from typing import Any

from locust.env import Environment
from locust.rpc.protocol import Message
from locust.runners import LocalRunner, WorkerRunner

from loadtest import messages
from loadtest.generator import Generator
from loadtest.table import Table
from modem.errors import ConfigError
from modem.load.scenario import Scenario

API_KEY_VARIABLE = "MODEM_LOAD_API_KEY"
"""Environment variable with a key for the tested server; on each worker's machine."""


class WorkerEnd:
    """Answers the master's messages.

    Args:
        environment: Locust's.
        runner: Of a worker, or of a run without workers, which is its own master.
    """

    def __init__(self, environment: Environment, runner: WorkerRunner | LocalRunner) -> None:
        self.generator: Generator | None = None
        self._runner = runner
        self._table = Table(environment.events.request)
        runner.register_message(messages.PREPARE, self._on_prepare)
        runner.register_message(messages.GO, self._on_go)
        runner.register_message(messages.STOP, self._on_stop)

    def abort(self) -> None:
        """Cancel what is under way and report all there is; waits until it is reported."""
        if self.generator is not None and self.generator.started:
            self.generator.stop(abort=True)
            self.generator.over.wait()

    def _on_prepare(self, msg: Message, **_: object) -> None:
        fields = msg.data
        number = fields["worker"]
        try:
            self.generator = Generator(
                Scenario.model_validate(fields["scenario"]),
                fields["host"],
                number,
                fields["num_workers"],
                fields["run_id"],
                self._emit,
                self._table.count,
                os.environ.get(API_KEY_VARIABLE),
            )
        except (ConfigError, OSError) as error:
            self._fail(number, str(error))
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the master must not wait for this worker
            self._fail(number, f"{type(error).__name__}: {error}")
            return
        planned = self.generator.num_planned
        self._runner.send_message(messages.PREPARED, {"worker": number, "num_planned": planned})

    def _on_go(self, msg: Message, **_: object) -> None:
        if self.generator is not None:
            self.generator.start(msg.data["t0_epoch_s"])

    def _on_stop(self, msg: Message, **_: object) -> None:
        if self.generator is not None:
            self.generator.stop(abort=msg.data["abort"])

    def _fail(self, number: int, message: str) -> None:
        self._runner.send_message(messages.FAILED, {"worker": number, "message": message})

    def _emit(self, kind: str, fields: Mapping[str, Any]) -> None:
        self._runner.send_message(messages.EMITTED[kind], dict(fields))
