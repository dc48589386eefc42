"""The simulator against a live cluster: replica-seconds, times to first token, share within a target.

A trace is sent, each request when it is due, to a real cluster of slow simulated experts that scale on their
own (`benchmarks.live_cluster`), and is given to the simulator with a profile that `modem profile` measured on
the same cluster. How long replicas take to start depends on what else the machine does: the simulator gets
the starts that were seen during the trace.

With ``--tune TRACE`` the tuner then searches settings on that trace, and another cluster serves the last of
the others once more with the settings that it recommends.

Run: ``python -m benchmarks.live --trace gamma:rate_rps=3.5,cv=2,duration_s=300 [--rounds 3]``
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.live_cluster import (
    Run,
    all_run,
    measure_profile,
    measure_starts,
    replay,
    wait_until,
    warm,
)
from benchmarks.live_config import (
    DOMAINS,
    ENVIRONMENT,
    begins_quiet,
    config,
    initial,
    longest_hold_s,
    to_warm,
    write_config,
)
from modem.cli.router_eval import show
from modem.cli.simulate import run as simulate
from modem.evaluation.tables import Table
from modem.simulation.profile import Profile, Startup, load_profile
from modem.simulation.result import SimulationResult, Status
from modem.simulation.setup import Setup, read_setup
from modem.traces.mix import parse_mix
from modem.traces.servegen import Part
from modem.traces.source import load
from modem.traces.trace import Arrival, Trace
from tests.cluster import Cluster

ALL = "all"
LEAST_PAUSE_S = 8.0
"""Before each trace; longer than the look-back."""

LEAST_STARTS = 3
"""So many of a trace's own starts stand for those that were measured before it, with nothing else to do."""


@dataclass(frozen=True)
class Figures:
    """What one domain got and took, or all of them.

    Attributes:
        replica_s: Seconds of replicas, from creation to end, within the time of the trace.
        p50_s: Time to first token of the answered requests.
        p90_s: Likewise.
        p99_s: Likewise.
        share: Share of all requests that had their first token in time.
    """

    replica_s: float
    p50_s: float
    p90_s: float
    p99_s: float
    share: float

    @classmethod
    def of(cls, replica_s: float, ttft_s: NDArray[np.float64], target_s: float) -> "Figures":
        """Return the figures of requests; NaN for one that was not answered."""
        answered = ttft_s[~np.isnan(ttft_s)]
        p50, p90, p99 = np.quantile(answered, (0.5, 0.9, 0.99)) if len(answered) else (np.nan,) * 3
        share = float((answered <= target_s).sum() / len(ttft_s)) if len(ttft_s) else 1.0
        return cls(replica_s, float(p50), float(p90), float(p99), share)

    @classmethod
    def median(cls, several: Sequence["Figures"]) -> "Figures":
        """Return the median of each figure."""
        return cls(*(median(getattr(one, field.name) for one in several) for field in fields(cls)))


def live_figures(run: Run, trace: Trace, domain: str, target_s: float) -> Figures:
    """Return what was measured."""
    chosen = DOMAINS if domain == ALL else (domain,)
    ttft_s = [np.nan if one.ttft_s is None else one.ttft_s for one in run.requests if one.domain in chosen]
    replica_s = sum(run.replica_s(each, trace.span_s) for each in chosen)
    return Figures.of(replica_s, np.array(ttft_s), target_s)


def simulated_figures(result: SimulationResult, domain: str, target_s: float) -> Figures:
    """Return what was simulated."""
    trace = result.trace
    chosen = DOMAINS if domain == ALL else (domain,)
    own = np.isin(trace.domain_index, [i for i, name in enumerate(trace.domains) if name in chosen])
    ttft_s = np.where(result.requests.status == Status.ANSWERED, result.requests.first_s - trace.t_s, np.nan)
    replica_s = 0.0
    for setup, history in zip(result.experts, result.histories, strict=True):
        for life in history.replicas if setup.domain in chosen else ():
            ends_s = trace.span_s if life.stopped_s is None else min(life.stopped_s, trace.span_s)
            replica_s += max(ends_s - life.created_s, 0.0)
    return Figures.of(replica_s, ttft_s[own], target_s)


def compare(runs: Sequence[Run], results: Sequence[SimulationResult], trace: Trace, target_s: float) -> Table:
    """Return live and simulated figures side by side: medians of all rounds, and of all seeds."""
    rows = []
    for domain in (*DOMAINS, ALL):
        live = Figures.median([live_figures(run, trace, domain, target_s) for run in runs])
        simulated = Figures.median([simulated_figures(one, domain, target_s) for one in results])
        number = len(trace) if domain == ALL else trace.counts().get(domain, 0)
        cells = [_cell(live, simulated, name) for name in ("replica_s", "p50_s", "p90_s", "p99_s")]
        rows.append((domain, str(number), *cells, f"{live.share:.1%} / {simulated.share:.1%}"))
    header = ("domain", "requests", "replica-s", "TTFT p50 s", "p90 s", "p99 s", f"within {target_s:g} s")
    return Table(
        f"{trace.origin}: live / simulated = ratio; {len(runs)} rounds, {len(results)} seeds",
        header,
        tuple(rows),
    )


def _cell(live: Figures, simulated: Figures, name: str) -> str:
    a, b = getattr(live, name), getattr(simulated, name)
    return f"{a:.4g} / {b:.4g} = {b / a:.3f}" if a else f"{a:.4g} / {b:.4g}"


def conditions(runs: Sequence[Run], profile: Profile) -> str:
    """Return what one should know of the rounds."""
    statuses = Counter(one.status for run in runs for one in run.requests)
    starts = [took for run in runs for took in run.starts_s()]
    late = max(one.late_s for run in runs for one in run.requests)
    looks = [b.t_s - a.t_s for run in runs for a, b in pairwise(run.looks)]
    spread = f"{min(starts):.1f} to {max(starts):.1f}, median {median(starts):.1f} s" if starts else "none"
    loads = ", ".join(f"{run.load_average:.1f}" for run in runs)
    assumed_s = profile.startup_s.median_s
    return (
        f"statuses {dict(statuses)}; {len(starts)} starts: {spread} (profile: {assumed_s:.1f}); "
        f"sent at most {late:.2f} s late; a look every {median(looks):.2f} s, at most {max(looks):.1f}; "
        f"load average {loads}"
    )


def read_trace(source: str, options: argparse.Namespace) -> Trace:
    """Return a trace as the cluster can serve it."""
    rng = np.random.default_rng(options.seed)
    mix = parse_mix(options.mix, DOMAINS) if options.mix else None
    trace = load(source, rng, DOMAINS, mix, Part(options.start_s, options.duration_s, options.rate))
    trace = trace.faster(options.faster) if options.faster != 1 else trace

    def shorter(tokens: NDArray[np.int64], most: int) -> NDArray[np.int64]:
        return np.asarray(np.clip(tokens // options.shorter, 2, most), dtype=np.int64)

    return replace(
        trace,
        prompt_tokens=shorter(trace.prompt_tokens, 2000),
        output_tokens=shorter(trace.output_tokens, 200),
        origin=f"{trace.origin}, lengths over {options.shorter}" if options.shorter != 1 else trace.origin,
    )


def write_trace(trace: Trace, path: Path) -> Path:
    """Write a trace as `modem tune` reads it."""

    def line(one: Arrival) -> str:
        named = {"t_s": one.t_s, "domain": one.domain}
        return json.dumps({**named, "prompt_tokens": one.prompt_tokens, "output_tokens": one.output_tokens})

    path.write_text("".join(f"{line(one)}\n" for one in trace))
    return path


def tuned(training: Trace, held_out: Trace, folder: Path, options: argparse.Namespace) -> Path:
    """Let `modem tune` write the config that it recommends."""
    out = folder / "tuned.yaml"
    command = [
        str(Path(sys.executable).with_name("modem")), "tune",
        "--config", str(folder / "config.yaml"), "--profile", str(folder / "profile.json"),
        "--trace", str(write_trace(training, folder / "training.jsonl")),
        "--held-out", str(write_trace(held_out, folder / "held-out.jsonl")),
        "--slo", options.slo, "--trials", str(options.trials), "--out", str(out),
    ]  # fmt: skip
    subprocess.run(command, check=False, timeout=1800)  # 1: the target is missed; the best is written
    return out


def serve(
    cluster: Cluster, path: Path, profile: Profile, traces: Sequence[Trace], options: argparse.Namespace
) -> None:
    """Send each trace so many times, each time to a quiet cluster of a config, and compare."""
    document = yaml.safe_load(path.read_text())
    quiet = all_run(initial(document))
    wait_until(cluster, quiet)
    warm(cluster, to_warm(document))
    setup = read_setup(path, default=profile)
    setup = replace(setup, platform=replace(setup.platform, handles_at_start=True))
    for position, trace in enumerate(traces):
        runs = []
        for number in range(options.rounds):
            wait_until(cluster, quiet)
            # The simulator begins without a past: let the policies forget theirs, too, if they have one.
            is_new = position == number == 0 and begins_quiet(document)
            pause_s = LEAST_PAUSE_S + (0.0 if is_new else longest_hold_s(document))
            runs.append(asyncio.run(replay(cluster, trace, pause_s)))
            runs[-1].save(path.with_name(f"{path.stem}-{position}-{number}.json"))
        results = [simulate(_with_starts(setup, runs), trace, seed) for seed in range(options.seeds)]
        show([compare(runs, results, trace, options.target_s), conditions(runs, profile)])


def _with_starts(setup: Setup, runs: Sequence[Run]) -> Setup:
    """Return the experts with the starts that were seen under load, if there were some."""
    starts = tuple(round(took, 2) for run in runs for took in run.starts_s())
    if len(starts) < LEAST_STARTS:
        return setup
    startup = Startup(samples=starts)
    experts = [
        replace(one, profile=one.profile.model_copy(update={"startup_s": startup})) for one in setup.experts
    ]
    return replace(setup, experts=tuple(experts))


def main() -> None:
    """Measure, simulate, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trace", action="append", required=True, help="as for modem simulate; repeatable")
    parser.add_argument("--mix", help="as for modem simulate")
    parser.add_argument("--start-s", type=float, default=0.0)
    parser.add_argument("--duration-s", type=float, help="of the trace, before --faster")
    parser.add_argument("--rate", type=float, default=1.0, help="share of the requests")
    parser.add_argument("--faster", type=float, default=1.0)
    parser.add_argument("--shorter", type=int, default=1, help="divides lengths of prompts and answers")
    parser.add_argument("--target-s", type=float, default=3.0, help="of the time to first token")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn for traces")
    parser.add_argument("--profile", type=Path, help="instead of measuring one")
    parser.add_argument("--keep", type=Path, help="folder for all that was measured; deleted by default")
    parser.add_argument("--tune", help="a trace to tune on; the last --trace is held out")
    parser.add_argument("--tune-start-s", type=float, default=0.0)
    parser.add_argument("--tune-duration-s", type=float)
    parser.add_argument("--slo", default="ttft_p90<3s", help="for --tune")
    parser.add_argument("--trials", type=int, default=60, help="for --tune")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        measure(folder, options)


def _profile(cluster: Cluster, folder: Path) -> Profile:
    return measure_profile(cluster, measure_starts(cluster), folder / "profile.json")


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Do all that the options say."""
    traces = [read_trace(source, options) for source in options.trace]
    document = config()
    path = write_config(document, folder / "config.yaml")
    alone = {"min_replicas": 1, "initial_replicas": 1, "max_replicas": 1}
    with Cluster(config(alone, policies=False), ENVIRONMENT) as cluster:
        profile = load_profile(options.profile) if options.profile else _profile(cluster, folder)
        (folder / "profile.json").write_text(profile.to_json())
        cluster.deploy(document)
        serve(cluster, path, profile, traces, options)
    if options.tune:
        part = {"start_s": options.tune_start_s, "duration_s": options.tune_duration_s}
        training = read_trace(options.tune, argparse.Namespace(**{**vars(options), **part}))
        path = tuned(training, traces[-1], folder, options)
        # A cluster of its own: what ran before would go on for as long as the settings keep replicas.
        with Cluster(yaml.safe_load(path.read_text()), ENVIRONMENT) as cluster:
            serve(cluster, path, profile, traces[-1:], options)


if __name__ == "__main__":
    main()
