"""A run from locust's start to its end: what happens at which of locust's events."""

import logging
import platform
import shlex
import signal
import subprocess
import sys
from argparse import Namespace
from importlib.metadata import version
from typing import Any

import gevent
from locust import runners
from locust.env import Environment
from locust.event import Events
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from loadtest import messages
from loadtest.arguments import add_arguments, folder_of, host_of, options_of
from loadtest.conductor import Conductor, Setting
from loadtest.session import Session, attach, session_of
from loadtest.workers import WorkerEnd
from modem.errors import ConfigError
from modem.load.address import parse_address
from modem.load.folder import RunFolder, check_free
from modem.load.preflight import check_server

logger = logging.getLogger("modem.load")
NUM_BEATS_MISSED = 15
"""Seconds without a sign of life after which a worker is lost. Locust's 3 are less than a machine may stand
still on which many processes start at once."""
EXIT_NOTHING = 2
"""Wrong input, or nothing was recorded: as of ``modem load run``."""


_MODEM = "from modem.cli.main import app; app(prog_name='modem')"


def register(events: Events) -> None:
    """Take part in locust's life."""
    runners.HEARTBEAT_LIVENESS = NUM_BEATS_MISSED  # there is no option for it
    for hook, listener in (
        (events.init_command_line_parser, add_arguments),
        (events.init, _on_init),
        (events.test_start, _on_test_start),
        (events.test_stopping, _on_test_stopping),
        (events.test_stop, _on_test_stop),
        (events.quitting, _on_quitting),
    ):
        hook.add_listener(listener)  # type: ignore[no-untyped-call]


def read_setting(environment: Environment) -> Setting:
    """Read what is to be run off locust's options, as they are now.

    Raises:
        ConfigError: An option is wrong.
    """
    parsed = _parsed(environment)
    versions = {
        "modem": version("modem"),
        "locust": version("locust"),
        "python": platform.python_version(),
    }
    about = {"versions": versions, "command": shlex.join(sys.argv), "slo": parsed.slo or None}
    return Setting(options_of(parsed).read(), host_of(parsed), tuple(parsed.metrics_url), about)


def _on_init(environment: Environment, runner: Any, **_: object) -> None:
    session = Session(lambda: read_setting(environment))
    attach(environment, session)
    if isinstance(runner, WorkerRunner | LocalRunner):
        session.worker_end = WorkerEnd(environment, runner)
    if isinstance(runner, WorkerRunner):
        gevent.signal_handler(signal.SIGINT, _leave_worker, runner, session)
        return
    _listen(runner, session)
    gevent.signal_handler(signal.SIGINT, _interrupt, environment, session)
    if _is_headless(environment):
        try:
            setting = session.read()
            check_free(folder_of(_parsed(environment), setting.scenario.name))
            check_server(parse_address(setting.host), setting.scenario)
        except ConfigError as error:
            _leave(error)


def _listen(runner: MasterRunner | LocalRunner, session: Session) -> None:
    def hand_on(message: str, method: str) -> None:
        def listener(**fields: Any) -> None:
            if session.conductor is not None:
                getattr(session.conductor, method)(**fields)

        runner.register_message(message, listener)

    hand_on(messages.PREPARED, "on_prepared")
    hand_on(messages.FAILED, "on_failed")
    hand_on(messages.RECORDS, "on_records")
    hand_on(messages.SAMPLE, "on_sample")
    hand_on(messages.DONE, "on_done")


def _on_test_start(environment: Environment, **_: object) -> None:
    runner = environment.runner
    if not isinstance(runner, MasterRunner | LocalRunner):
        return
    session = session_of(environment)
    session.interrupted = False
    try:
        setting = session.setting = session.read()
        check_server(parse_address(setting.host), setting.scenario)
        folder = RunFolder(folder_of(_parsed(environment), setting.scenario.name))
        conductor = session.conductor = Conductor(runner, setting, folder)
        logger.info("the run is written to %s", folder.path)
        conductor.begin()
        session.failure = conductor.failure
    except (ConfigError, OSError) as error:
        session.failure = str(error)
    except Exception as error:
        logger.exception("the run could not be started")
        session.failure = f"{type(error).__name__}: {error}"
    if session.failure is not None:
        print(f"error: {session.failure}", file=sys.stderr, flush=True)
        environment.process_exit_code = EXIT_NOTHING


def _on_test_stopping(environment: Environment, **_: object) -> None:
    conductor = session_of(environment).conductor
    if conductor is not None:
        conductor.interrupt()


def _on_test_stop(environment: Environment, **_: object) -> None:
    session = session_of(environment)
    conductor, session.conductor = session.conductor, None
    session.setting = session.failure = None
    if conductor is None:
        return
    conductor.close()
    environment.process_exit_code = 0 if conductor.num_records else EXIT_NOTHING
    parsed = _parsed(environment)
    if conductor.num_records and not parsed.no_report:
        code = _report(conductor, parsed.slo, wait=_is_headless(environment))
        environment.process_exit_code = code


def _on_quitting(environment: Environment, **_: object) -> None:
    session = session_of(environment)
    if session.worker_end is not None and isinstance(environment.runner, WorkerRunner):
        session.worker_end.abort()


def _report(conductor: Conductor, slo: str, wait: bool) -> int:
    """Write the report in a process of its own: its plots would stop this one's clocks."""
    command = [sys.executable, "-c", _MODEM, "load", "report", str(conductor.path)]
    if slo:
        command += ["--slo", slo]
    child = subprocess.Popen(command)
    return child.wait() if wait else 0


def _interrupt(environment: Environment, session: Session) -> None:
    """End the run at Ctrl-C with all that is recorded; a second one ends at once."""
    runner = environment.runner
    assert runner is not None
    if session.interrupted:
        sys.exit(130)
    session.interrupted = True
    if session.conductor is not None:
        session.conductor.interrupt()
    if session.conductor is None or not _is_headless(environment):
        runner.quit()
        if environment.web_ui is not None:
            environment.web_ui.stop()  # type: ignore[no-untyped-call]


def _leave_worker(runner: WorkerRunner, session: Session) -> None:
    """A worker at Ctrl-C: report everything; the master, if it lives, ends this process."""
    if session.worker_end is not None:
        session.worker_end.abort()
    gevent.sleep(1.0)
    runner.quit()


def _leave(error: ConfigError) -> None:
    print(f"error: {error}", file=sys.stderr, flush=True)
    sys.exit(EXIT_NOTHING)


def _is_headless(environment: Environment) -> bool:
    return bool(_parsed(environment).headless)


def _parsed(environment: Environment) -> Namespace:
    parsed: Namespace | None = environment.parsed_options
    assert parsed is not None  # locust was started by its command
    return parsed
