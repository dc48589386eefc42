"""``modem load run``: a scenario against a server, with a table while it runs and a report at its end."""

import shutil
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modem.cli.router import fail
from modem.errors import ConfigError, ModemError

if TYPE_CHECKING:
    from modem.load.options import Options
    from modem.load.scenario import Scenario

LOG = "locust.log"
"""What the load generator said, in the run's folder."""
INTERRUPTED = 130
_NEEDED = ("locust", "msgspec", "matplotlib")


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
        arguments = _arguments(options, host, folder, metrics_url or (), slo)
        interrupted = _generate(arguments, processes, folder, _title(found, host))
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
    options: "Options", host: str, folder: Path, metrics_urls: Sequence[str], slo: str | None
) -> list[str]:
    """Return the load generator's options."""
    from modem.load.folder import check_free
    from modem.load.shipped import folder as shipped

    check_free(folder)
    locustfile = shipped("scenarios").with_name("locustfile.py")
    command = ["-f", str(locustfile), "--headless", "--only-summary"]
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
    return command


def _generate(options: Sequence[str], processes: int, folder: Path, title: str) -> bool:
    """Run the load generators to their end; return whether they were interrupted.

    Raises:
        ConfigError: Nothing was recorded; the message is the generators' own.
    """
    from rich.console import Console

    from modem.cli.load_generators import generators, said
    from modem.cli.load_live import follow
    from modem.load.folder import REQUESTS
    from modem.load.progress import Progress

    requests = folder / REQUESTS
    console, progress, interrupted = Console(stderr=True), Progress(folder), False
    with tempfile.TemporaryFile("w+b") as log, generators(options, processes, log) as found:
        try:
            follow(
                progress,
                title,
                console,
                lambda: found.is_over or (found.has_lost_worker and not requests.exists()),
            )
        except KeyboardInterrupt:
            interrupted = True
            typer.echo("stopping; what is recorded is kept (Ctrl-C again ends at once)", err=True)
            found.stop()
            progress.look()
        log.seek(0)
        if folder.is_dir():
            with (folder / LOG).open("wb") as kept:
                shutil.copyfileobj(log, kept)
            log.seek(0)
        if not requests.exists() or not requests.stat().st_size:
            raise ConfigError(said(log.read().decode("utf-8", "replace"), found.status))
    return interrupted


def _title(scenario: "Scenario", host: str) -> str:
    loop = ", closed loop: hides overload" if scenario.loop == "closed" else ""
    return f"{scenario.name} on {host}{loop}"


def _report(folder: Path, slo: str | None) -> int:
    from modem.cli.load_report import show_report, written

    report = written(folder, slo)
    show_report(report)
    return report.status
