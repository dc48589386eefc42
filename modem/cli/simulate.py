"""``modem simulate``: replay a trace against a Serve config, without a cluster."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modem.cli.router import fail
from modem.cli.router_eval import command, show, write
from modem.errors import ConfigError

if TYPE_CHECKING:
    from modem.simulation.profile import Profile
    from modem.simulation.result import SimulationResult
    from modem.simulation.setup import Platform, Setup
    from modem.simulation.summary import Summary, Targets
    from modem.traces.servegen import Part
    from modem.traces.trace import Trace


def simulate_command(
    config: Annotated[Path, typer.Option(help="A Serve config file: its experts and their autoscaling.")],
    trace: Annotated[
        list[str],
        typer.Option(
            help="JSONL of ours or Mooncake's, Azure's or ServeGen's CSV, with =DOMAIN after it for one "
            "domain; or poisson:rate_rps=2,duration_s=600 and so on. Repeatable: on one clock."
        ),
    ],
    profile: Annotated[
        list[str] | None,
        typer.Option(help="A profile for all experts, or DOMAIN=FILE for one; the committed one by default."),
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option(
            help="Who gets requests without a domain: math=1,other=3; with ' to ' between for drift."
        ),
    ] = None,
    ttft_target_s: Annotated[float, typer.Option(min=0, help="Longest time to the first token.")] = 2.0,
    itl_target_s: Annotated[
        float | None, typer.Option(min=0, help="Longest mean time between tokens.")
    ] = None,
    gpus: Annotated[
        float | None, typer.Option(min=0, help="GPUs of the cluster; any number by default.")
    ] = None,
    start_s: Annotated[float, typer.Option(min=0, help="Leave out what comes before in the trace.")] = 0.0,
    duration_s: Annotated[float | None, typer.Option(min=0, help="Leave out what comes later.")] = None,
    rate: Annotated[
        float,
        typer.Option(min=0, help="Times the trace's requests: 0.5 leaves half out, 3 copies each twice."),
    ] = 1.0,
    json_out: Annotated[Path | None, typer.Option("--json", help="File for all figures.")] = None,
    html: Annotated[Path | None, typer.Option(help="File for one page; its plots as PNGs beside it.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="For all that is drawn.")] = 0,
) -> None:
    """Say what a trace would get from a Serve config, and what it would cost.

    Decisions are made by Ray Serve's own code and the configured policies, on simulated time.

    Exit status: 0 done, 2 the config, the trace, a profile or an option is wrong.
    """
    from modem.simulation.summary import Targets, summarize

    try:
        setup = setup_of(config, profile or [])
        arrivals = read_traces(trace, setup.domains, mix, part_of(start_s, duration_s, rate), seed)
        result = run(setup, arrivals, seed, gpus)
        targets = Targets(ttft_s=ttft_target_s, itl_s=itl_target_s)
        summary = summarize(result, targets)
        _write(result, summary, targets, json_out, html)
    except ConfigError as error:
        fail(error)
    _print(result, summary)


def run(setup: "Setup", trace: "Trace", seed: int, gpus: float | None = None) -> "SimulationResult":
    """Simulate under Serve's own control loop.

    Raises:
        ConfigError: A policy cannot be built, or a domain of the trace has no expert.
    """
    from dataclasses import replace

    from modem.simulation.simulate import simulate

    # By name: the library and its command line must import without Ray.
    serve: Any = importlib.import_module("deployments.simulation")
    platform: Platform = replace(setup.platform, gpus=gpus)
    with serve.serve_controllers() as controllers:
        return simulate(setup.experts, trace, controllers, seed, platform)


def setup_of(config: Path, profiles: list[str]) -> "Setup":
    """Return what is simulated: a config's experts with the profiles of a command line.

    Raises:
        ConfigError: The config or a profile is wrong.
    """
    from modem.simulation.profile import load_profile
    from modem.simulation.setup import read_setup

    default: Profile | None = None
    own: dict[str, Profile] = {}
    for text in profiles:
        domain, equals, file = text.partition("=")
        if equals and not Path(text).exists():
            own[domain] = load_profile(Path(file))
        else:
            default = load_profile(Path(text))
    return read_setup(config, own, default)


def read_traces(
    sources: list[str], domains: tuple[str, ...], mix: str | None, part: "Part | None", seed: int
) -> "Trace":
    """Return the traces of a command line, on one clock.

    Raises:
        ConfigError: One of them is wrong.
    """
    import numpy as np

    from modem.traces.mix import parse_mix
    from modem.traces.source import load
    from modem.traces.trace import overlay

    chosen = parse_mix(mix, domains) if mix is not None else None
    generators = np.random.default_rng(seed).spawn(len(sources))
    return overlay(
        [load(source, rng, domains, chosen, part) for source, rng in zip(sources, generators, strict=True)]
    )


def part_of(start_s: float, duration_s: float | None, rate: float) -> "Part | None":
    """Return what part of a trace is asked for; None for all of it."""
    from modem.traces.servegen import Part

    if start_s == 0 and duration_s is None and rate == 1:
        return None
    return Part(start_s, duration_s, rate)


def _write(
    result: "SimulationResult",
    summary: "Summary",
    targets: "Targets",
    json_out: Path | None,
    html: Path | None,
) -> None:
    from modem.simulation.page import render
    from modem.simulation.plots import draw
    from modem.simulation.report import to_json

    if json_out is not None:
        write(json_out, to_json(result, summary, command()))
    if html is not None:
        plots = draw(result, targets, html.with_name(f"{html.stem}-plots"))
        write(html, render(result, summary, command(), plots))


def _print(result: "SimulationResult", summary: "Summary") -> None:
    from modem.simulation.report import notes, tables

    show([*notes(result), *tables(summary)])
