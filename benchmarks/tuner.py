"""How long `modem tune` takes: 200 settings for each of five experts on an hour of traffic.

The trace is made: an hour, five domains, Gamma arrivals with a mean of 7.5 requests a second in all, bursts
(CV 3), a mix that moves. Replicas are those of a 70B model on four H100, settings those of modem's config.

Run: ``python -m benchmarks.tuner [--trials 200] [--processes 2]``. Wall time depends on what else runs on
the machine; CPU seconds of all processes over the number of processes is what it takes on idle cores.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from deployments.simulation import serve_controllers
from modem.cli.progress import progress_bar
from modem.simulation.setup import read_setup
from modem.slo import parse_slo
from modem.traces.mix import parse_mix, split
from modem.traces.synthetic import gamma_bursty
from modem.tuning.problem import Scenario, problems_of
from modem.tuning.tune import Plan, tune
from modem.tuning.workers import crew

CONFIG = Path(__file__).parents[1] / "serve_config.yaml"
MIX = "math=1,health=1,science=1,coding=3,other=4 to math=3,health=2,science=2,coding=1,other=2"
RATE_RPS, CV, SPAN_S = 7.5, 3.0, 3600.0


def cpu_s() -> float:
    """CPU seconds of this process and of those that have ended below it."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Tune once, and say how long it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    setup = read_setup(CONFIG)
    rng = np.random.default_rng(args.seed)
    trace = split(gamma_bursty(rng, RATE_RPS, CV, SPAN_S), parse_mix(MIX, setup.domains), rng)
    problems = problems_of(setup.experts, setup.platform, parse_slo("ttft_p99<2s"), [Scenario(trace)])
    begun_s, begun_cpu_s = time.monotonic(), cpu_s()
    with crew(args.processes) as workers, progress_bar("tuning") as progress:
        results = tune(problems, Plan(num_trials=args.trials), serve_controllers, workers, progress)
    wall_s, used_s = time.monotonic() - begun_s, cpu_s() - begun_cpu_s
    tried = sum(result.num_trials for result in results)
    print(f"{len(trace)} requests, {tried} settings of {len(results)} experts, {args.processes} processes")
    print(f"wall {wall_s:.0f} s, CPU {used_s:.0f} s: {used_s / args.processes:.0f} s a process")
    for result in results:
        best = result.recommended
        if best is not None:
            print(f"  {result.domain}: {best.policy}, {best.best.score}")


if __name__ == "__main__":
    main()
