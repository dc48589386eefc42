"""``modem load run``: a scenario against a server, with a table while it runs and a report at its end."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from modem.cli.router import fail
from modem.errors import ConfigError, ModemError

if TYPE_CHECKING:
    from modem.load.options import Options
    from modem.load.scenario import Scenario

LOG = "locust.log"
"""What the load generator said, in the run's folder."""
STOP_TIMEOUT_S = 30.0
WORKERS_TIMEOUT_S = 60
INTERRUPTED = 130
_NEEDED = ("locust", "msgspec", "matplotlib")
_ERROR = "error: "
_LOGGED_ERROR = "/ERROR/"  # in locust's format: [time] host/LEVEL/logger: message


def run_command(
    scenario: Annotated[str, typer.Argument(help="Name (see modem load list) or YAML file.")],
    host: Annotated[str, typer.Option(help="Base URL of the server.")] = "http://127.0.0.1:8000",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the run; runs/<scenario>-<time> by default.")
    ] = None,
    duration_s: Annotated[float | None, typer.Option(help="How long requests are sent.")] = None,
    rate_scale: Annotated[float | None, typer.Option(help="Factor on the scenario's rate or users.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all that is drawn.")] = None,
    prompts: Annotated[str | None, typer.Option(help="JSONL file of prompts, or a folder of them.")] = None,
    trace: Annotated[str | None, typer.Option(help="Trace to replay.")] = None,
    speed: Annotated[float | None, typer.Option(help="How many times as fast as it was recorded.")] = None,
    slo: Annotated[
        str | None, typer.Option(help="Sets the exit status, such as 'ttft_p99<2s,error_rate<0.1%'.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Load generators, each with a core.")] = 1,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="key=value for any other key; repeatable.")
    ] = None,
    metrics_url: Annotated[
        list[str] | None, typer.Option(help="Prometheus page with queues per expert; repeatable.")
    ] = None,
) -> None:
    """Send a scenario's requests, record every one, and report.

    Exit status: 0 all is well, 1 an SLO is missed, 2 wrong input or nothing recorded, 3 the client was the
    bottleneck, 130 interrupted; what was recorded until then is reported all the same.
    """
    try:
        _check_installed()
        from modem.load.folder import default_folder
        from modem.load.options import Options

        options = Options(scenario, duration_s, rate_scale, seed, prompts, trace, speed, tuple(sets or ()))
        found = _check(options, host, slo)
        folder = out or default_folder(found.name)
        arguments = _arguments(options, host, folder, processes, metrics_url or (), slo)
        interrupted = _generate(arguments, folder, _title(found, host))
        code = _report(folder, slo)
    except ModemError as error:
        fail(error)
    raise typer.Exit(INTERRUPTED if interrupted else code)


def _check_installed() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(f"load tests need {', '.join(missing)}: pip install 'modem[load]'")


def _check(options: "Options", host: str, slo: str | None) -> "Scenario":
    """Find what is wrong before anything is started."""
    from modem.load.address import parse_address
    from modem.load.gate import parse_gate
    from modem.load.plan import make_plan
    from modem.load.preflight import check_server

    scenario = options.read()
    make_plan(scenario)  # reads prompts and trace
    if slo:
        parse_gate(slo)
    check_server(parse_address(host), scenario)
    return scenario


def _arguments(
    options: "Options", host: str, folder: Path, processes: int, metrics_urls: Sequence[str], slo: str | None
) -> list[str]:
    """Return the command of the load generator."""
    from modem.load.folder import check_free
    from modem.load.shipped import folder as shipped

    check_free(folder)
    locustfile = shipped("scenarios").with_name("locustfile.py")
    command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--only-summary"]
    command += ["--no-report", "--host", host, "--scenario", options.scenario, "--out", str(folder)]
    named = {
        "--duration-s": options.duration_s,
        "--rate-scale": options.rate_scale,
        "--seed": options.seed,
        "--prompts": options.prompts,
        "--trace": options.trace,
        "--speed": options.speed,
        "--slo": slo,
    }
    command += [part for name, value in named.items() if value is not None for part in (name, str(value))]
    command += [part for text in options.sets for part in ("--set", text)]
    command += [part for url in metrics_urls for part in ("--metrics-url", url)]
    if processes > 1:
        wait = ("--expect-workers-max-wait", str(WORKERS_TIMEOUT_S))  # else locust waits for ever
        command += ["--processes", str(processes), *wait, *_own_port()]
    return command


def _own_port() -> list[str]:
    """Return a port for master and workers, so that two load tests on one machine do not meet."""
    from modem.laptop.environment import LOOPBACK, free_ports

    port = str(free_ports(1))
    return [
        *("--master-bind-host", LOOPBACK, "--master-bind-port", port),
        *("--master-host", LOOPBACK, "--master-port", port),
    ]


def _generate(command: Sequence[str], folder: Path, title: str) -> bool:
    """Run the load generator to its end; return whether it was interrupted.

    Raises:
        ConfigError: Nothing was recorded; the message is the generator's own.
    """
    from rich.console import Console

    from modem.cli.load_live import follow
    from modem.load.folder import REQUESTS
    from modem.load.progress import Progress

    console, progress, interrupted = Console(stderr=True), Progress(folder), False
    with tempfile.TemporaryFile("w+b") as log, _child(command, log) as child:
        try:
            follow(progress, title, console, lambda: child.poll() is not None)
        except KeyboardInterrupt:
            interrupted = True
            _stop(child)
            progress.look()
        log.seek(0)
        if folder.is_dir():
            with (folder / LOG).open("wb") as kept:
                shutil.copyfileobj(log, kept)
            log.seek(0)
        requests = folder / REQUESTS
        if not requests.exists() or not requests.stat().st_size:
            raise ConfigError(_said(log.read().decode("utf-8", "replace"), child.returncode))
    return interrupted


@contextmanager
def _child(command: Sequence[str], log: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the load generator. A session of its own: a Ctrl-C reaches it through this process alone."""
    from modem.laptop.processes import die_with_parent

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in a shell's background job, and inherited
        die_with_parent()

    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=prepare,
    )
    # SIGINT too: a shell's background job ignores it, and `kill -INT` is how a script ends a run early.
    stops = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, signal.default_int_handler) for number in stops]
    try:
        yield child
    finally:
        for number, handler in zip(stops, before, strict=True):
            signal.signal(number, handler)
        if child.poll() is None:
            child.kill()
            child.wait()


def _stop(child: "subprocess.Popen[bytes]") -> None:
    """Ask it to end with all that it has recorded; a second Ctrl-C does not wait for that."""
    typer.echo("stopping; what is recorded is kept (Ctrl-C again ends at once)", err=True)
    try:
        child.send_signal(signal.SIGINT)
        child.wait(STOP_TIMEOUT_S)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        child.kill()
        child.wait()


def _said(log: str, status: int) -> str:
    """Return the generator's own words for why there is nothing."""
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    if errors:
        return errors[-1]
    logged = [line for line in lines if _LOGGED_ERROR in line] or lines
    last = f": {logged[-1]}" if status and logged else ""
    return f"nothing was recorded (the load generator ended with status {status}){last}"


def _title(scenario: "Scenario", host: str) -> str:
    loop = ", closed loop: hides overload" if scenario.loop == "closed" else ""
    return f"{scenario.name} on {host}{loop}"


def _report(folder: Path, slo: str | None) -> int:
    from modem.cli.load_report import show_report, written

    report = written(folder, slo)
    show_report(report)
    return report.status
