"""``modem up``: the whole stack on this machine, from a config file to a URL and back to nothing."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

from modem.cli.models import prepare_with_bar
from modem.errors import ConfigError
from modem.laptop.environment import RunDir
from modem.laptop.launch import DaemonError, Interrupted, LocalCluster, StartError, StopSignals
from modem.laptop.preflight import Plan, check_machine, read_plan
from modem.laptop.readiness import Readiness

EXIT_INTERRUPTED = 130
NUM_TRIES = 3
_EXPLAINED = {"asleep": "asleep, starts on first use"}


def up(
    config: Annotated[Path, typer.Argument(help="A Serve config file, such as serve_config.cpu.yaml.")],
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait until it is ready.")] = 900,
    keep_logs: Annotated[
        bool, typer.Option(help="Keep the run's folder, with its logs, at the end.")
    ] = False,
) -> None:
    """Start everything on this machine, wait until it answers, and stop it again on Ctrl-C."""
    console = Console(stderr=True, highlight=False)
    try:
        plan = read_plan(config)
        for warning in check_machine(plan):
            console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
        if plan.models:
            prepare_with_bar(list(plan.models), console)
        run = RunDir.create()
    except ConfigError as error:
        _fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    with StopSignals() as signals:
        _serve(LocalCluster(plan, run, signals), plan, run, timeout_s, keep_logs, console)


def _serve(
    cluster: LocalCluster, plan: Plan, run: RunDir, timeout_s: float, keep_logs: bool, console: Console
) -> None:
    """Run the cluster from start to end; its processes are gone whichever way this is left."""
    console.print(f"log: {run.log}", markup=False, soft_wrap=True)
    status = 0
    try:
        try:
            state = _start(cluster, timeout_s, console)
            _welcome(plan, state)
            cluster.watch(_changes(console, state))
        finally:
            console.print("stopping ...")
            cluster.stop()
    except Interrupted:
        status = EXIT_INTERRUPTED
    except (ConfigError, StartError) as error:
        _fail(error, f"; log: {run.log}")
    if not keep_logs:
        run.remove()
    if status:
        raise typer.Exit(status)


def _start(cluster: LocalCluster, timeout_s: float, console: Console) -> Readiness:
    """Start and wait; on a machine that is too busy for Ray's fixed limits, more than once."""
    for tries_left in reversed(range(NUM_TRIES)):
        cluster.start()
        try:
            with console.status("Ray starting") as spinner:
                return cluster.wait_until_ready(timeout_s, _progress(console, spinner))
        except DaemonError as error:
            if not tries_left:
                raise
            console.print(f"{error}, probably because this machine is busy: trying again", markup=False)
            cluster.stop()
    raise AssertionError("the last try returns or raises")


def _fail(error: Exception, suffix: str = "") -> NoReturn:
    for line in str(error).splitlines():
        typer.echo(f"error: {line}{suffix}", err=True)
    raise typer.Exit(1) from None


def _progress(console: Console, spinner: Status) -> Callable[[Readiness], None]:
    """Show the state in the spinner; where there is no terminal, print it when it changes."""
    seen = ""

    def show(state: Readiness) -> None:
        nonlocal seen
        text = str(state)
        spinner.update(text)
        if text != seen and not console.is_terminal:
            console.print(text, markup=False, soft_wrap=True)
        seen = text

    return show


def _changes(console: Console, before: Readiness) -> Callable[[Readiness], None]:
    """Print each part whose state is another than last time: an expert wakes, or falls asleep."""
    seen = {part.name: part.state for part in before.parts}

    def show(state: Readiness) -> None:
        for part in state.parts:
            if seen.get(part.name) != part.state:
                console.print(f"{part.name}: {_EXPLAINED.get(part.state, part.state)}", markup=False)
            seen[part.name] = part.state

    return show


def _welcome(plan: Plan, state: Readiness) -> None:
    """Say where it answers, what is ready, and what to try first; on stdout, for scripts too."""
    console = Console(highlight=False)
    table = Table("part", "state")
    for part in state.parts:
        table.add_row(part.name, _EXPLAINED.get(part.state, part.state))
    console.print(table)
    for line in ("", f"ready: {plan.url}/v1 (Ctrl-C stops it)", "", *_first_steps(plan.url)):
        console.print(line, markup=False, soft_wrap=True)


def _first_steps(url: str) -> list[str]:
    body = '{"model": "auto", "messages": [{"role": "user", "content": "What is 7 times 8?"}]}'
    code = (
        f"from openai import OpenAI; client = OpenAI(base_url='{url}/v1', api_key='none'); "
        "print(client.chat.completions.create(model='auto', messages=[{'role': 'user', "
        "'content': 'Why is the sky blue?'}]).choices[0].message.content)"
    )
    return [
        f"curl {url}/v1/chat/completions -H 'content-type: application/json' -d {shlex.quote(body)}",
        "",
        f'python -c "{code}"',  # the code has no double quotes
    ]
