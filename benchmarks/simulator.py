"""How fast the simulator is: an hour of a real trace, and a day of five domains.

- ``hour``: Mooncake's conversation trace (FAST 2025; 12,031 requests in 59 minutes), split evenly over the
  five domains of ``serve_config.yaml``; a Poisson trace of the same size where the file is not given
- ``day``: 24 hours of the same five domains, 10 requests a second on average, a daily swing of 4 to 1

Both with the committed profile and the config's autoscaling, decided by Ray Serve's own code. Counted is
what `modem.simulation.simulate.simulate` takes, CPU and wall; reading the trace and importing Ray are given
apart. ``--every-tick`` leaves no tick out and shows what leaving them out saves.

Run: ``python -m benchmarks.simulator [--mooncake FILE] [--config FILE] [--rounds 3] [--every-tick] [--json]``
Get the file from github.com/kvcache-ai/Mooncake, ``FAST25-release/traces/conversation_trace.jsonl``.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from modem.simulation.result import SimulationResult
from modem.simulation.setup import Setup, read_setup
from modem.simulation.simulate import simulate
from modem.traces.source import load
from modem.traces.trace import Trace
from tests.cluster import ROOT

SEED = 1
HOUR = "poisson:rate_rps=3.4,duration_s=3537,prompt_median_tokens=6909,output_median_tokens=350,sigma=1"
DAY = "diurnal:rate_rps=10,duration_s=86400"


@dataclass(frozen=True, slots=True)
class Speed:
    """How long one trace took.

    Attributes:
        trace: What it was.
        num_requests: Of the trace.
        span_s: Length of the trace.
        cpu_s: Of each round, in order of time.
        wall_s: Of each round.
        num_ticks: Calls of controllers in one round.
        us_per_request: CPU microseconds a request, of the median round.
        times_real_time: Seconds of the trace in a CPU second, of the median round.
    """

    trace: str
    num_requests: int
    span_s: float
    cpu_s: tuple[float, ...]
    wall_s: tuple[float, ...]
    num_ticks: int
    us_per_request: float
    times_real_time: float


def measure(setup: Setup, trace: Trace, rounds: int, every_tick: bool) -> Speed:
    """Simulate a trace some times over."""
    from deployments.simulation import serve_controllers

    cpu_s, wall_s, num_ticks = [], [], 0
    for _ in range(rounds):
        cpu, wall = time.process_time(), time.perf_counter()
        with serve_controllers() as controllers:
            result = simulate(setup.experts, trace, controllers, SEED, setup.platform, every_tick)
        cpu_s.append(round(time.process_time() - cpu, 3))
        wall_s.append(round(time.perf_counter() - wall, 3))
        num_ticks = _ticks(result)
    median_s = statistics.median(cpu_s)
    return Speed(
        trace.origin,
        len(trace),
        trace.span_s,
        tuple(cpu_s),
        tuple(wall_s),
        num_ticks,
        round(1e6 * median_s / len(trace), 1),
        round(trace.span_s / median_s),
    )


def _ticks(result: SimulationResult) -> int:
    return sum(history.num_ticks for history in result.histories)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    began = time.perf_counter()
    work()
    return round(time.perf_counter() - began, 2)


def _import_ray() -> None:
    import deployments.simulation  # noqa: F401


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mooncake", type=Path, help="Mooncake's conversation trace.")
    parser.add_argument("--config", type=Path, default=ROOT / "serve_config.yaml")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every-tick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    setup = read_setup(options.config)
    import_s = timed(_import_ray)
    found = {}
    for name, source in (("hour", str(options.mooncake or HOUR)), ("day", DAY)):
        began = time.perf_counter()
        trace = load(source, np.random.default_rng(SEED), setup.domains)
        read_s = round(time.perf_counter() - began, 2)
        found[name] = {**asdict(measure(setup, trace, options.rounds, options.every_tick)), "read_s": read_s}
    versions = {name: version(name) for name in ("ray", "numpy", "pydantic")}
    if options.json:
        facts = {"python": platform.python_version(), **versions, "import_ray_s": import_s}
        print(json.dumps({"versions": facts, **found}, indent=1))
        return
    print(f"Python {platform.python_version()}, {versions}; importing Ray Serve {import_s} s")
    for name, speed in found.items():
        print(f"{name}: {speed['trace']}: {speed['num_requests']} requests in {speed['span_s']:.0f} s")
        print(f"  CPU s {speed['cpu_s']}, wall s {speed['wall_s']}, reading the trace {speed['read_s']} s")
        print(
            f"  {speed['us_per_request']} us a request, {speed['times_real_time']} times real time, "
            f"{speed['num_ticks']} decisions"
        )


if __name__ == "__main__":
    main()
