"""What the autoscaling policies cost against Ray Serve's own, all of them tuned, on traffic not tuned on.

Four mixes of five domains, each on replicas of a 70B model on four H100 (a derived profile, see
``modem/simulation/profiles/70b-h100-tp4.json``):

- ``azure``: Azure's conversation and code traces of one hour, on one clock, with a mix of domains that moves.
- ``azure5``: the same at five times their rate (copies of requests, up to 30 s off), up to 32 replicas each.
- ``mooncake``: Mooncake's conversation trace of one hour, with a mix that moves; its stamps, which are
  quantised, are spread at random. Its prompts are long (one in a hundred has 85,000 tokens, 7 s of reading),
  so the target is 10 s.
- ``servegen``: five clients of ServeGen's, a domain each, whose rates move by themselves, at three times
  their rates; tuned on an hour of one day, looked at on the same hour of the next. Lengths of m-large are
  those of its client 1, those of m-mid are log-normal, because its files have none.

For each policy and expert settings are searched on the first half (or day) that hold the target with a margin
on fresh seeds, the cheapest wins; figures are those of the other half, which no choice depends on. Every
policy has the same number of trials. A policy that misses the target there is said to; only those that hold
it are compared.

Run: ``python -m benchmarks.autoscaling --traces DIR [--trials 30] [--mixes azure,azure5,mooncake,servegen]``,
where DIR holds ``AzureLLMInferenceTrace_{conv,code}.csv``, ``mooncake_conversation_trace.jsonl`` and
``servegen/m-{large,mid}/chunk-*``. ``--trials 8 --seeds 1`` takes a few minutes.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deployments.simulation import serve_controllers
from modem.cli.progress import progress_bar
from modem.cli.router_eval import show
from modem.evaluation.tables import Table, make_table
from modem.serve_config.schema import AutoscalingConfig
from modem.simulation.profile import committed_profile
from modem.simulation.setup import ExpertSetup, Platform
from modem.slo import Slo, parse_slo
from modem.traces.mix import parse_mix
from modem.traces.servegen import Part
from modem.traces.source import load
from modem.traces.trace import Trace, overlay
from modem.tuning.bound import held_out_bound
from modem.tuning.problem import Problem, Scenario, problems_of
from modem.tuning.report import share_text
from modem.tuning.score import ROUNDING
from modem.tuning.settings import SEARCHED, PolicyName
from modem.tuning.tune import ExpertResult, HeldOut, Plan, tune
from modem.tuning.workers import crew

DOMAINS = ("math", "health", "science", "coding", "other")
PROFILE = "70b-h100-tp4"
MOST_REPLICAS = 8
MORE_RATE, MORE_REPLICAS = 5.0, 32
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
BASELINE: PolicyName = "ongoing_requests"

CONVERSATION = "other=5,health=2,science=2,math=1 to other=2,health=1,science=3,math=4"
CODE = "coding=8,math=1,science=1 to coding=5,math=4,science=1"
MOONCAKE = "other=4,coding=3,science=1,math=1,health=1 to other=1,coding=1,science=3,math=3,health=2"
CLIENTS = {
    "other": ("m-mid", 103),
    "coding": ("m-mid", 105),
    "science": ("m-large", 100),
    "health": ("m-mid", 100),
    "math": ("m-large", 0),
}
"""ServeGen's model and client of each domain: two with large swings, a steady one, two bursty ones."""
MORNING_S = 7 * HOUR_S
SERVEGEN_S = HOUR_S
SERVEGEN_RATE = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """Traffic to tune on and traffic to look at.

    Attributes:
        name: For the report.
        slo: The target.
        tuned: What settings are chosen on.
        held_out: What they are judged on.
        max_replicas: Most of each expert.
    """

    name: str
    slo: Slo
    tuned: Scenario
    held_out: Scenario
    max_replicas: int = MOST_REPLICAS


def azure(folder: Path, seed: int) -> Mix:
    """Azure's two traces on one clock."""
    return _halved("azure", "ttft_p99<2s", _azure(folder, seed, None))


def azure5(folder: Path, seed: int) -> Mix:
    """Azure's two traces at five times their rate."""
    whole = _azure(folder, seed, Part(rate_scale=MORE_RATE))
    return replace(_halved("azure5", "ttft_p99<2s", whole), max_replicas=MORE_REPLICAS)


def _azure(folder: Path, seed: int, part: Part | None) -> Trace:
    one, other = np.random.default_rng(seed).spawn(2)
    names = ("AzureLLMInferenceTrace_conv.csv", "AzureLLMInferenceTrace_code.csv")
    return overlay(
        [
            load(str(folder / name), rng, DOMAINS, parse_mix(mix, DOMAINS), part)
            for name, rng, mix in zip(names, (one, other), (CONVERSATION, CODE), strict=True)
        ]
    )


def mooncake(folder: Path, seed: int) -> Mix:
    """Mooncake's conversation trace."""
    name = str(folder / "mooncake_conversation_trace.jsonl")
    whole = load(name, np.random.default_rng(seed), DOMAINS, parse_mix(MOONCAKE, DOMAINS))
    return _halved("mooncake", "ttft_p99<10s", whole)


def servegen(folder: Path, seed: int) -> Mix:
    """Five clients of ServeGen's, an hour of two days."""
    generators = np.random.default_rng(seed).spawn(2)
    first, second = (
        _clients(folder, MORNING_S + day * DAY_S, rng) for day, rng in zip((0, 1), generators, strict=True)
    )
    return Mix("servegen", parse_slo("ttft_p99<2s"), Scenario(first), Scenario(second))


def _clients(folder: Path, start_s: float, rng: np.random.Generator) -> Trace:
    found = []
    for domain, (model, client) in CLIENTS.items():
        file = folder / "servegen" / model / f"chunk-{client}-trace.csv"
        found.append(load(f"{file}={domain}", rng, DOMAINS, None, Part(start_s, SERVEGEN_S, SERVEGEN_RATE)))
    return overlay(found)


def _halved(name: str, slo: str, whole: Trace) -> Mix:
    middle_s = whole.span_s / 2
    return Mix(name, parse_slo(slo), Scenario(whole.between(0, middle_s)), Scenario(whole, middle_s))


MIXES: Mapping[str, Callable[[Path, int], Mix]] = {
    "azure": azure,
    "azure5": azure5,
    "mooncake": mooncake,
    "servegen": servegen,
}


def experts(max_replicas: int) -> tuple[ExpertSetup, ...]:
    """Five experts with the numbers of modem's own config for GPUs, and room to grow."""
    return tuple(
        ExpertSetup(
            domain=domain,
            profile=committed_profile(PROFILE),
            autoscaling=AutoscalingConfig(
                min_replicas=0,
                max_replicas=max_replicas,
                target_ongoing_requests=64,
                metrics_interval_s=2,
                look_back_period_s=10,
                upscale_delay_s=20,
                downscale_delay_s=600,
                downscale_to_zero_delay_s=1800,
            ),
            max_ongoing_requests=160,
            max_queued_requests=256,
            graceful_shutdown_timeout_s=630.0,
            application=f"expert-{domain}",
        )
        for domain in DOMAINS
    )


@dataclass(frozen=True, slots=True)
class Line:
    """One way to scale all experts, on what was held out.

    Attributes:
        name: Of the policy.
        gpu_hours: Of all experts.
        share: Share of all requests within the target.
        worst: Most that an expert uses of its budget of misses.
        holds: Whether each expert holds the target there.
    """

    name: str
    gpu_hours: float
    share: float
    worst: float
    holds: bool


def line(name: str, found: Sequence[HeldOut]) -> Line:
    """Add up experts."""
    scores = [each.score for each in found]
    number = sum(score.num_requests for score in scores)
    return Line(
        name,
        sum(score.cost_hours for score in scores),
        sum(score.share * score.num_requests for score in scores) / number,
        max(score.budget_used for score in scores),
        all(score.budget_used <= 1 + ROUNDING for score in scores),
    )


def lines(results: Sequence[ExpertResult]) -> list[Line]:
    """Return one line for each policy, one for the best of each expert, and one for the untuned config."""
    found = []
    for policy in SEARCHED:
        held = [
            each.held_out
            for result in results
            for each in result.policies
            if each.policy == policy and each.held_out is not None
        ]
        if held:
            found.append(line(f"{policy}, tuned", held))
    best = [r.recommended.held_out for r in results if r.recommended and r.recommended.held_out]
    found.append(line("the cheapest for each expert", best))
    found.append(
        line("Ray's default, as in modem's config", [x for r in results if (x := r.present_held_out)])
    )
    return found


def table(mix: Mix, found: Sequence[Line], bound_hours: float) -> Table:
    """Return the comparison."""
    base = next(each for each in found if each.name == f"{BASELINE}, tuned")
    rows = [
        (
            each.name,
            f"{each.gpu_hours:.2f}",
            share_text(each.share),
            f"{100 * each.worst:.0f} %",
            "yes" if each.holds else "no",
            f"{100 * (each.gpu_hours / base.gpu_hours - 1):+.1f} %",
            f"{each.gpu_hours / bound_hours:.2f}",
        )
        for each in found
    ]
    header = (
        "settings",
        "GPU-hours",
        "within target",
        "worst expert's budget",
        "all experts hold it",
        "against Ray's default, tuned",
        "times the bound",
    )
    title = f"{mix.name}, held out: {mix.slo}, lower bound {bound_hours:.2f} GPU-hours"
    return make_table(title, header, rows, verdict(found))


def verdict(found: Sequence[Line]) -> str:
    """Say in a sentence which policy beats the baseline, or that none does."""
    base = next(each for each in found if each.name == f"{BASELINE}, tuned")
    others = [each for each in found if each.name.endswith(", tuned") and each is not base]
    if not base.holds:
        return "Ray's default, tuned, misses the target on what was held out, so nothing is compared with it"
    better = [each for each in others if each.holds and each.gpu_hours < 0.995 * base.gpu_hours]
    worse = [each.name for each in others if each not in better]
    said = [f"{each.name}: {100 * (1 - each.gpu_hours / base.gpu_hours):.1f} % fewer" for each in better]
    if worse:
        said.append(f"no better than Ray's default, or misses the target: {', '.join(worse)}")
    return "; ".join(said)


def run(mix: Mix, plan: Plan, processes: int) -> tuple[Table, dict[str, object]]:
    """Tune on one mix and look at what was held out."""
    begun_s, begun_cpu_s = time.monotonic(), time.process_time()
    problems = problems_of(
        experts(mix.max_replicas), Platform(num_gateways=2), mix.slo, [mix.tuned], [mix.held_out]
    )
    with crew(processes) as workers, progress_bar(mix.name) as progress:
        results = tune(_asked(problems), plan, serve_controllers, workers, progress)
    bound_hours = sum(held_out_bound(problem).cost_hours for problem in _asked(problems))
    found = lines(results)
    record: dict[str, object] = {
        "mix": mix.name,
        "slo": str(mix.slo),
        "tuned_on": mix.tuned.trace.origin,
        "held_out": mix.held_out.trace.origin,
        "bound_hours": bound_hours,
        "seconds": time.monotonic() - begun_s,
        "own_cpu_s": time.process_time() - begun_cpu_s,
        "lines": [
            {"name": x.name, "gpu_hours": x.gpu_hours, "share": x.share, "worst": x.worst} for x in found
        ],
        "recommended": {
            r.domain: f"{r.recommended.policy} {dict(r.recommended.best.settings.scaling)} "
            f"{dict(r.recommended.best.settings.params)}"
            for r in results
            if r.recommended is not None
        },
    }
    return table(mix, found, bound_hours), record


def _asked(problems: Sequence[Problem]) -> list[Problem]:
    """Leave out experts without a request in one of the parts: there is nothing to choose, or to judge."""
    return [
        each
        for each in problems
        if each.num_requests and any((s.trace.t_s >= s.from_s).any() for s in each.held_out)
    ]


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=Path, required=True, help="folder of the traces")
    parser.add_argument("--mixes", default=",".join(MIXES), help="which of them")
    parser.add_argument("--trials", type=int, default=30, help="settings of each policy for each expert")
    parser.add_argument("--seeds", type=int, default=2, help="simulations of promising settings")
    parser.add_argument("--policies", default="ongoing_requests,token_load,slo")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    policies = tuple(name for name in SEARCHED if name in args.policies.split(","))
    plan = Plan(
        policies=policies,
        num_trials=args.trials * len(policies),
        seeds=tuple(range(args.seed, args.seed + args.seeds)),
        seed=args.seed,
    )
    records = []
    for name in args.mixes.split(","):
        shown, record = run(MIXES[name](args.traces, args.seed), plan, args.processes)
        show([shown, f"{record['seconds']:.0f} s"])
        records.append(record)
        if args.json is not None:
            args.json.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
