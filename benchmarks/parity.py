"""How many decisions of the simulator are those of a live controller, of at least 100,000.

Runs many small deployments on one real cluster under bursts, records every input and decision of Serve's
controller, and replays them through the simulator's own controller: on every tick, and once more on those
only that the simulator would not skip. Some are simulated experts, whose replicas report their requests, the
others children of one application, whose handles do. The policies are Serve's own and those of modem that
look at one expert.

Run: ``python -m benchmarks.parity [--ticks 100000]``. It takes some ten minutes on an idle machine, and ends
with status 1 if a decision differs.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from deployments.simulation import serve_controllers
from tests.cluster import Cluster
from tests.parity.live import bursts, parity_config, targets
from tests.parity.replay import Outcome, replay_folder

ROUND_S = 30.0
"""Between two looks at how many ticks there are."""


def num_ticks(folder: Path) -> int:
    """Ticks recorded so far."""
    return sum(line.startswith('{"kind":"tick"') for path in folder.glob("*.jsonl") for line in path.open())


def record(folder: Path, options: argparse.Namespace) -> Counter[int]:
    """Run a cluster until it has made enough decisions; return the HTTP statuses of its requests."""
    of = targets(options.experts, options.crowd)
    statuses: Counter[int] = Counter()
    with Cluster(parity_config(of, folder, options.seed)) as cluster:
        started, seed = time.monotonic(), options.seed
        while num_ticks(folder) < options.ticks and time.monotonic() - started < options.longest_s:
            seed += 1
            statuses.update(asyncio.run(bursts(cluster, of, ROUND_S, options.gap_s, seed)))
            print(f"{time.monotonic() - started:.0f} s: {num_ticks(folder):,} ticks", flush=True)
    return statuses


def compare(folder: Path, skip: bool) -> Outcome:
    """Replay the records of one cluster."""
    with serve_controllers() as make:
        return replay_folder(folder, make, skip)


def report(name: str, outcome: Outcome) -> None:
    """Print one line, and the first mismatches."""
    equal = outcome.num_ticks - len(outcome.mismatches)
    print(
        f"{name}: {equal:,} of {outcome.num_ticks:,} decisions equal ({outcome.num_changes:,} changed the "
        f"number of replicas, {outcome.num_skipped:,} ticks skipped)"
    )
    for mismatch in outcome.mismatches[:5]:
        print(f"  live {dict(mismatch.record)}, simulated {mismatch.decided}")


def main() -> None:
    """Record, replay, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ticks", type=int, default=100_000)
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--crowd", type=int, default=40, help="small deployments besides the experts")
    parser.add_argument(
        "--gap-s", type=float, default=100.0, help="mean pause between visits of one deployment"
    )
    parser.add_argument("--longest-s", type=float, default=1200.0, help="stop here, even with fewer ticks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the records; deleted by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        statuses = record(folder, options)
        print(f"{sum(statuses.values())} requests, statuses {dict(statuses)}")
        outcomes = {skip: compare(folder, skip) for skip in (False, True)}
    report("every tick", outcomes[False])
    report("ticks that could change something", outcomes[True])
    sys.exit(any(outcome.mismatches for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
