"""``modem plan``: the smallest fixed fleet for given rates, and what autoscaling saves."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from modem.cli.progress import progress_bar
from modem.cli.router import fail
from modem.cli.router_eval import command, show, write
from modem.errors import ConfigError

if TYPE_CHECKING:
    from modem.serve_config.schema import AutoscalingConfig
    from modem.simulation.profile import Profile
    from modem.simulation.setup import ExpertSetup, Platform
    from modem.slo import Slo
    from modem.tuning.plan import Day, DayResult, Fleet, Load
    from modem.tuning.settings import Settings

_SEATS = 1.25
"""Times what a batch holds that a replica takes: as in modem's own config files."""


class Planned(NamedTuple):
    """One expert."""

    domain: str
    rate_rps: float
    gpus: float
    fleet: "Fleet"
    day: "DayResult | None"


def plan_command(
    rates: Annotated[str, typer.Option(help="Requests a second of each domain: math=2,health=1.")],
    lengths: Annotated[str, typer.Option(help="Mean tokens: prompt=1200,output=200; sigma=0.8 for spread.")],
    slo: Annotated[str, typer.Option(help="'ttft_p99<2s', 'ttft_p90<500ms,e2e_p99<30s' and so on.")],
    config: Annotated[
        Path | None, typer.Option(help="A Serve config file, for the experts' profiles and limits.")
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(help="A profile for all experts (a file or a committed one's name), or DOMAIN=FILE."),
    ] = None,
    cv: Annotated[
        float, typer.Option(min=0.1, help="Burstiness: 1 is Poisson, 4 and more are bursts.")
    ] = 1.0,
    duration_s: Annotated[float, typer.Option(min=60, help="Length of each simulation.")] = 1800.0,
    seeds: Annotated[int, typer.Option(min=1, help="Simulations that must all hold the target.")] = 3,
    day: Annotated[bool, typer.Option(help="Say what autoscaling saves on a day whose rate moves.")] = True,
    peak_ratio: Annotated[float, typer.Option(min=1, help="Of such a day: highest over lowest rate.")] = 4.0,
    period_s: Annotated[float, typer.Option(min=600, help="Its length.")] = 86400.0,
    policy: Annotated[str, typer.Option(help="Its policy: ongoing_requests, token_load or slo.")] = "slo",
    json_out: Annotated[Path | None, typer.Option("--json", help="File for all figures.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="For all that is drawn.")] = 0,
) -> None:
    """Say how many replicas hold a target at given rates, from simulations of fixed fleets.

    Exit status: 0 done, 2 something that was given is wrong, or no number of replicas holds the target.
    """
    from modem.slo import parse_slo
    from modem.tuning.plan import Day, Load, parse_lengths, parse_rates

    try:
        target, mean = parse_slo(slo), parse_lengths(lengths)
        wanted = parse_rates(rates)
        experts, platform = _experts(list(wanted), config, profile or [])
        chosen = _policy(policy, target) if day else None
        shape = Day(peak_ratio=peak_ratio, period_s=period_s)
        numbers = tuple(range(seed, seed + seeds))
        planned = []
        with progress_bar("planning") as progress:
            for done, expert in enumerate(experts):
                progress(done, len(experts))
                load = Load(rate_rps=wanted[expert.domain], lengths=mean, cv=cv, duration_s=duration_s)
                planned.append(_plan(expert, platform, load, shape, target, chosen, numbers))
        if json_out is not None:
            write(json_out, _json(planned, target))
    except ConfigError as error:
        fail(error)
    _show(planned, target, policy, shape)


def _plan(
    expert: "ExpertSetup",
    platform: "Platform",
    load: "Load",
    day: "Day",
    slo: "Slo",
    chosen: "Settings | None",
    seeds: tuple[int, ...],
) -> Planned:
    from modem.cli.tune import serve_controllers
    from modem.tuning.plan import plan_day, smallest_fleet

    fleet = smallest_fleet(expert, platform, load, slo, seeds)
    found = None
    if chosen is not None:
        found = plan_day(expert, platform, load, day, slo, chosen, seeds, serve_controllers())
    return Planned(expert.domain, load.rate_rps, expert.profile.gpus_per_replica, fleet, found)


def _experts(
    domains: list[str], config: Path | None, profiles: list[str]
) -> "tuple[tuple[ExpertSetup, ...], Platform]":
    """Return the experts that are asked about: of a config file, or made from profiles alone."""
    from modem.simulation.setup import ExpertSetup, Platform

    default, own = _profiles(profiles)
    unknown = [domain for domain in own if domain not in domains]
    if unknown:
        raise ConfigError(f"--profile {unknown[0]}=...: --rates has no such domain")
    if config is not None:
        from modem.simulation.setup import read_setup

        setup = read_setup(config, own, default)
        missing = [domain for domain in domains if domain not in setup.domains]
        if missing:
            raise ConfigError(
                f"--rates: {config} has no domain {missing[0]}; it has {', '.join(setup.domains)}"
            )
        return tuple(each for each in setup.experts if each.domain in domains), setup.platform
    experts = []
    for domain in domains:
        profile = own.get(domain, default)
        if profile is None:
            raise ConfigError(f"domain {domain}: no profile: give --config, --profile NAME or {domain}=FILE")
        ongoing = max(2, round(_SEATS * profile.max_num_seqs))
        experts.append(
            ExpertSetup(
                domain=domain,
                profile=profile,
                autoscaling=_scaling(profile),
                max_ongoing_requests=ongoing,
                max_queued_requests=2 * ongoing,
                graceful_shutdown_timeout_s=600.0,
                application=f"expert-{domain}",
            )
        )
    return tuple(experts), Platform(num_gateways=2)


def _scaling(profile: "Profile") -> "AutoscalingConfig":
    """Return the numbers that modem's own config files have for a large expert that never sleeps."""
    from modem.serve_config.schema import AutoscalingConfig

    return AutoscalingConfig(
        min_replicas=1,
        target_ongoing_requests=max(1.0, profile.max_num_seqs / 2),
        metrics_interval_s=2,
        look_back_period_s=10,
        upscale_delay_s=20,
        downscale_delay_s=600,
    )


def _profiles(texts: list[str]) -> "tuple[Profile | None, dict[str, Profile]]":
    default: Profile | None = None
    own: dict[str, Profile] = {}
    for text in texts:
        domain, equals, name = text.partition("=")
        if equals and not Path(text).exists():
            own[domain] = _profile(name)
        else:
            default = _profile(text)
    return default, own


def _profile(name: str) -> "Profile":
    from modem.simulation.profile import committed_profile, load_profile

    path = Path(name)
    return load_profile(path) if path.exists() or path.suffix else committed_profile(name)


def _policy(name: str, slo: "Slo") -> "Settings":
    """Return a policy as it is without tuning."""
    from modem.tuning.settings import Settings

    if name == "slo":
        limit = slo.tightest("ttft") or slo.tightest("e2e")
        if limit is None:
            raise ConfigError("--policy slo needs a target for ttft or e2e; or take token_load")
        return Settings("slo", {}, {"ttft_s": limit.most_s})
    if name == "token_load":
        return Settings("token_load")
    if name == "ongoing_requests":
        return Settings("ongoing_requests")
    raise ConfigError(f"--policy {name!r}: write ongoing_requests, token_load or slo")


def _json(planned: "Sequence[Planned]", slo: "Slo") -> str:
    import json
    from dataclasses import asdict

    experts = {
        each.domain: {
            "rate_rps": each.rate_rps,
            "gpus": each.gpus * each.fleet.replicas,
            "fleet": asdict(each.fleet),
            "day": None if each.day is None else {**asdict(each.day), "saved": each.day.saved},
        }
        for each in planned
    }
    document = {"command": command(), "slo": str(slo), "experts": experts}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _show(planned: "Sequence[Planned]", slo: "Slo", policy: str, day: "Day") -> None:
    from modem.evaluation.tables import make_table
    from modem.tuning.report import share_text

    rows = [
        (
            each.domain,
            f"{each.rate_rps:g}",
            str(each.fleet.replicas),
            f"{each.gpus * each.fleet.replicas:g}",
            share_text(each.fleet.score.share),
        )
        for each in planned
    ]
    total = sum(each.gpus * each.fleet.replicas for each in planned)
    rows.append(("all", "", str(sum(each.fleet.replicas for each in planned)), f"{total:g}", ""))
    header = ("domain", "requests a second", "replicas", "GPUs", "within target")
    tables = [make_table(f"Smallest fixed fleet for {slo}", header, rows)]
    days = [(each.domain, each.day) for each in planned if each.day is not None]
    if days:
        day_header = (
            "domain",
            "fixed for the peak",
            "its GPU-hours",
            "autoscaling's",
            "within target",
            "saved",
            "lower bound",
        )
        day_rows = [
            (
                domain,
                str(found.peak.replicas),
                f"{found.fixed_hours:.1f}",
                f"{found.scaled.cost_hours:.1f}",
                share_text(found.scaled.share),
                f"{100 * found.saved:.0f} %",
                f"{found.least_hours:.1f}",
            )
            for domain, found in days
        ]
        title = (
            f"A day of {day.period_s / 3600:g} h whose highest rate is {day.peak_ratio:g} times its lowest, "
            f"policy {policy} untuned"
        )
        note = "" if all(x.scaled.holds() for _, x in days) else "not everywhere within target: tune it first"
        tables.append(make_table(title, day_header, day_rows, note))
    show(tables)
