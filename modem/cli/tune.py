"""``modem tune``: search the autoscaling settings that hold a latency target with the fewest GPU-hours."""

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from modem.cli.progress import progress_bar
from modem.cli.router import fail
from modem.cli.router_eval import command, show, write
from modem.errors import ConfigError

if TYPE_CHECKING:
    from modem.evaluation.tables import Table
    from modem.simulation.setup import Setup
    from modem.slo import Slo
    from modem.traces.trace import Trace
    from modem.tuning.bound import Bound
    from modem.tuning.budget import Joint
    from modem.tuning.patch import Patch
    from modem.tuning.problem import Controllers, Problem, Scenario
    from modem.tuning.settings import PolicyName, Settings
    from modem.tuning.tune import ExpertResult, Plan
    from modem.tuning.workers import Crew

_MOST_PROCESSES = 8
_JOINT_TRIALS = 40


class Found(NamedTuple):
    """All that was found."""

    results: "tuple[ExpertResult, ...]"
    bounds: "Mapping[str, Bound]"
    joint: "Joint | None"
    joint_held_out: "Joint | None"
    chosen: "Mapping[str, Settings]"


class _Reading(NamedTuple):
    """How traces are read."""

    mix: str | None
    rate: float
    seed: int


def tune_command(
    config: Annotated[Path, typer.Option(help="A Serve config file: its experts and their autoscaling.")],
    trace: Annotated[
        list[str],
        typer.Option(
            help="What `modem simulate` takes; + between files lays them on one clock. Repeatable: "
            "settings must hold on each of them."
        ),
    ],
    slo: Annotated[str, typer.Option(help="'ttft_p99<2s', 'ttft_p90<500ms,e2e_p99<30s' and so on.")],
    held_out: Annotated[
        list[str] | None, typer.Option(help="A trace that no choice depends on, for the final figures.")
    ] = None,
    held_out_from_s: Annotated[
        float | None, typer.Option(min=0, help="Or: of each trace, what comes from here on.")
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option(help="Who gets requests without a domain; as for `modem simulate`."),
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0, help="Times the requests of every trace; as for `modem simulate`.")
    ] = 1.0,
    profile: Annotated[
        list[str] | None, typer.Option(help="A profile for all experts, or DOMAIN=FILE for one.")
    ] = None,
    budget_gpus: Annotated[float | None, typer.Option(min=0, help="GPUs that all experts share.")] = None,
    max_replicas: Annotated[
        int | None, typer.Option(min=1, help="Most replicas of each expert, instead of the config's.")
    ] = None,
    trials: Annotated[int, typer.Option(min=3, help="Settings to try for each expert.")] = 200,
    policies: Annotated[
        str, typer.Option(help="Of ongoing_requests, token_load, slo, forecast.")
    ] = "ongoing_requests,token_load,slo",
    margin: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the allowed misses to leave unused.")
    ] = 0.1,
    seeds: Annotated[int, typer.Option(min=1, help="Simulations of promising settings.")] = 2,
    fresh_seeds: Annotated[int, typer.Option(min=1, help="Further ones that confirm the best.")] = 3,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that work; one for each core by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="For all that is drawn.")] = 0,
    out: Annotated[Path | None, typer.Option(help="File for the config with the settings in it.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="File for all figures.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Folder for a plot of each expert.")] = None,
) -> None:
    """Search policy and parameters of every expert on traces, without a cluster.

    Decisions are made by Ray Serve's own code and the policies themselves, on simulated time. Figures on what
    was held out are reported apart.

    Exit status: 0 done, 1 no settings hold the target for every expert, 2 something that was given is wrong.
    """
    from modem.slo import parse_slo
    from modem.tuning.tune import Plan
    from modem.tuning.workers import crew

    try:
        target = parse_slo(slo)
        plan = Plan(
            policies=_policies(policies),
            num_trials=trials,
            seeds=tuple(range(seed, seed + seeds)),
            fresh_seeds=tuple(range(seed + 1000, seed + 1000 + fresh_seeds)),
            margin=margin,
            seed=seed,
        )
        setup = _setup(config, profile or [], budget_gpus, max_replicas)
        tuned, held = _scenarios(trace, held_out or [], held_out_from_s, setup, _Reading(mix, rate, seed))
        with crew(processes or min(os.cpu_count() or 1, _MOST_PROCESSES)) as workers:
            found = _tune(setup, target, tuned, held, plan, budget_gpus, workers)
        _show(found, target, plan, budget_gpus)
        done = _write_config(config, _written(found.chosen, setup), out)
        _write(found, target, plan, json_out, plot)
    except ConfigError as error:
        fail(error)
    _show_changes(done, config, out)
    if not _holds(found, margin):
        typer.echo("no settings hold the target for every expert: see the tables above", err=True)
        raise typer.Exit(1)


def _policies(text: str) -> "tuple[PolicyName, ...]":
    from modem.tuning.settings import SEARCHED

    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in SEARCHED]
    if wrong or not names:
        raise ConfigError(f"--policies {text!r}: write some of {', '.join(SEARCHED)}, with commas")
    return tuple(name for name in SEARCHED if name in names)


def _setup(config: Path, profiles: list[str], budget_gpus: float | None, max_replicas: int | None) -> "Setup":
    from dataclasses import replace

    from modem.cli.simulate import setup_of
    from modem.tuning.budget import within
    from modem.tuning.settings import base

    setup = setup_of(config, profiles)
    experts = list(setup.experts)
    if max_replicas is not None:
        changed = {"max_replicas": max_replicas}
        experts = [replace(e, autoscaling=base(e).model_copy(update=changed)) for e in experts]
    if budget_gpus is not None:
        experts = [within(each, budget_gpus) for each in experts]
    return replace(setup, experts=tuple(experts))


def _scenarios(
    traces: Sequence[str],
    held_out: Sequence[str],
    from_s: float | None,
    setup: "Setup",
    reading: "_Reading",
) -> "tuple[list[Scenario], list[Scenario]]":
    """Return what is tuned on, and what is held out."""
    from modem.tuning.problem import Scenario

    if held_out and from_s is not None:
        raise ConfigError("give --held-out or --held-out-from-s, not both")
    whole = [_trace(each, setup, reading) for each in traces]
    if from_s is None:
        return [Scenario(one) for one in whole], [Scenario(_trace(x, setup, reading)) for x in held_out]
    short = [name for name, one in zip(traces, whole, strict=True) if one.span_s <= from_s]
    if short:
        raise ConfigError(f"--held-out-from-s {from_s:g}: the trace {short[0]} is over by then")
    return [Scenario(one.between(0, from_s)) for one in whole], [Scenario(one, from_s) for one in whole]


def _trace(text: str, setup: "Setup", reading: "_Reading") -> "Trace":
    from modem.cli.simulate import part_of, read_traces

    sources = [text] if Path(text).exists() else [part.strip() for part in text.split("+")]
    return read_traces(sources, setup.domains, reading.mix, part_of(0, None, reading.rate), reading.seed)


def serve_controllers() -> "Controllers":
    """Return Serve's own control loop for simulations; by name, because it needs Ray."""
    serve: Any = importlib.import_module("deployments.simulation")
    controllers: Controllers = serve.serve_controllers
    return controllers


def _tune(
    setup: "Setup",
    slo: "Slo",
    tuned: "Sequence[Scenario]",
    held: "Sequence[Scenario]",
    plan: "Plan",
    budget_gpus: float | None,
    workers: "Crew",
) -> Found:
    from modem.tuning.problem import problems_of
    from modem.tuning.tune import tune

    controllers = serve_controllers()
    problems = problems_of(setup.experts, setup.platform, slo, tuned, held)
    with progress_bar("tuning") as progress:
        results = tune(problems, plan, controllers, workers, progress)
    chosen = {r.domain: r.recommended.best.settings for r in results if r.recommended is not None}
    joint = joint_held_out = None
    if budget_gpus is not None and chosen:
        joint, joint_held_out = _fit(setup, slo, tuned, held, plan, budget_gpus, results)
        if joint.shared:
            from modem.tuning.budget import shared

            by_domain = {expert.domain: expert for expert in setup.experts}
            chosen = {d: shared(s, by_domain[d], budget_gpus) for d, s in joint.settings.items()}
        else:
            chosen = dict(joint.settings)
    return Found(results, _bounds(problems), joint, joint_held_out, chosen)


def _fit(
    setup: "Setup",
    slo: "Slo",
    tuned: "Sequence[Scenario]",
    held: "Sequence[Scenario]",
    plan: "Plan",
    budget_gpus: float,
    results: "Sequence[ExpertResult]",
) -> "tuple[Joint, Joint | None]":
    from modem.tuning.budget import Table, choices_of, fit

    choices = {result.domain: choices_of(result) for result in results if result.policies}
    table = Table(setup.experts, setup.platform, slo, budget_gpus, serve_controllers())
    with progress_bar("within the budget") as progress:
        joint = fit(table, tuned, choices, plan.seeds, min(_JOINT_TRIALS, plan.num_trials), progress)
    if not held:
        return joint, None
    gpus = budget_gpus if joint.binds else None
    return joint, table.run(joint.settings, joint.shared, gpus, held, plan.fresh_seeds)


def _bounds(problems: "Sequence[Problem]") -> "Mapping[str, Bound]":
    """Return the least that any scaler could do with on what was held out."""
    from modem.tuning.bound import held_out_bound

    return {each.domain: held_out_bound(each) for each in problems if each.held_out}


def _show(found: Found, slo: "Slo", plan: "Plan", budget_gpus: float | None) -> None:
    from modem.tuning.report import budget_table, describe, front_table, held_out_table

    items: list[Table | str] = [f"target: {slo}"]
    items += [front_table(result, plan.margin) for result in found.results]
    if any(result.present_held_out is not None for result in found.results):
        items.append(held_out_table(found.results, found.bounds))
    else:
        items.append("nothing was held out: the figures above are those of the traces that were tuned on")
    if found.joint is not None and budget_gpus is not None:
        items.append(budget_table(found.joint, found.joint_held_out, budget_gpus))
    items.append("recommended:")
    items += [f"  {domain}: {describe(settings)}" for domain, settings in found.chosen.items()]
    show(items)


def _written(chosen: "Mapping[str, Settings]", setup: "Setup") -> "Mapping[str, Settings]":
    """Return the settings with the most replicas that they were tried with, where an option said another."""
    from dataclasses import replace

    from modem.tuning.settings import base

    most = {each.domain: base(each).max_replicas for each in setup.experts if each.domain in chosen}
    return {
        domain: replace(settings, scaling={**settings.scaling, "max_replicas": most[domain]})
        for domain, settings in chosen.items()
    }


def _write_config(config: Path, chosen: "Mapping[str, Settings]", out: Path | None) -> "Patch":
    from modem.tuning.patch import patch

    done = patch(config.read_bytes().decode("utf-8"), str(config), chosen)
    if out is not None:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_bytes(done.text.encode("utf-8"))
        except OSError as error:
            raise ConfigError(f"{out}: cannot be written: {error.strerror}") from error
    return done


def _write(found: Found, slo: "Slo", plan: "Plan", json_out: Path | None, plot: Path | None) -> None:
    from modem.tuning.plots import draw
    from modem.tuning.report import to_json

    if json_out is not None:
        write(json_out, to_json(found.results, found.bounds, slo, plan, command()))
    if plot is not None:
        for file in draw(found.results, plot):
            typer.echo(f"wrote {file}")


def _show_changes(done: "Patch", config: Path, out: Path | None) -> None:
    from modem.tuning.report import changes_table

    if not done.changes:
        typer.echo(f"{config} has these settings already")
        return
    show([changes_table(done.changes)])
    restarts = list(dict.fromkeys(each.application for each in done.changes if each.restarts))
    if restarts:
        typer.echo(
            f"a changed policy, or its parameters, restarts the replicas of {', '.join(restarts)} when it is "
            "deployed; all other numbers apply live"
        )
    else:
        typer.echo("all of it applies live, without a restart")
    if out is None:
        typer.echo("nothing is written without --out")
    else:
        typer.echo(f"wrote {out}; check it with: modem config check {out}; apply it with: serve deploy {out}")


def _holds(found: Found, margin: float) -> bool:
    from modem.tuning.score import ROUNDING

    if found.joint is not None and found.joint.binds:
        return found.joint.worst <= 1 + ROUNDING
    tuned = [result.recommended for result in found.results if result.recommended is not None]
    return all(each.best.score.holds(margin) for each in tuned)
