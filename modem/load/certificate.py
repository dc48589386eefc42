"""Whether the client measured the server, or itself.

A load generator that is short of CPU sends late and looks at answers late, and reports both as the server's
latency. So each run carries a certificate, which is refused if the client had a part in its figures:

- sends: 99 % of all requests must be sent within 20 ms of their time, the arrival error that a person's
  impatience (seconds) and Poisson gaps (tens of milliseconds at 50 requests/s) do not feel. Latencies count
  from the *intended* send, so what is late is in the figures, not hidden; it is just not the server's.
- stalls: an event that comes in while the loop is busy is seen when it is free again. Less than 1 % of all
  moments may have had a wait of more than 10 ms ahead, so that the stalls cannot make up a 99th percentile.
  Counted from the longest stall of each second; single ones, such as a collection of garbage, do no harm.
- mean lag: many short stalls shift every time by a little. 5 ms is a tenth of a slow engine's step, and the
  most by which a client's 99th percentile should differ from the server's own record.
- CPU: a process at more than 0.9 of a core for more than 5 % of its seconds has no reserve left; what the
  clocks say next is chance. (One second of it, for the start, is normal.)
- all of an open loop's planned arrivals must have been sent, none twice, and the client must have samples of
  itself from every worker.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from modem.load.run import Run
from modem.load.samples import ClientSample

LATE_S = 0.020
"""A request that is sent this much after its time is late."""
STALL_S = 0.010
"""A wait of the event loop that would be seen in a latency."""
STALLED_SHARE = 0.01
"""So many moments may have such a wait ahead."""
MEAN_LAG_S = 0.005
BUSY_SHARE = 0.9
"""CPU of one process; it runs on one core."""
BUSY_SECONDS_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Lateness:
    """How far the client kept to its plan.

    Attributes:
        p99_s: 99 % of the requests were sent at most so much after their time.
        worst_s: The latest.
        num_late: Sent more than `LATE_S` after their time.
        late: Positions in the plan of all of them, ascending.
        num_never_sent: Of the plan; None in a closed loop, which has none, and where nobody told.
    """

    p99_s: float
    worst_s: float
    num_late: int
    late: tuple[int, ...]
    num_never_sent: int | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whether the figures are the server's.

    Attributes:
        ok: They are.
        reasons: Why not; empty if they are.
        lateness: Of all workers together.
        stalled_share: Share of moments with a wait of more than `STALL_S` ahead, of the worst worker; None
            without samples.
        lag_mean_s: Mean lag of the event loop, of the worst worker; None without samples.
        cpu_share: Mean CPU, of the busiest worker; None without samples.
    """

    ok: bool
    reasons: tuple[str, ...]
    lateness: Lateness
    stalled_share: float | None
    lag_mean_s: float | None
    cpu_share: float | None


def certify(run: Run) -> Certificate:
    """Say whether the client kept up."""
    lateness = _lateness(run)
    workers = [
        [sample for sample in run.client if sample.worker == worker]
        for worker in sorted({sample.worker for sample in run.client})
    ]
    reasons = (*_plan_reasons(run, lateness), *_worker_reasons(run, workers))
    return Certificate(
        ok=not reasons,
        reasons=reasons,
        lateness=lateness,
        stalled_share=max((_stalled_share(each) for each in workers), default=None),
        lag_mean_s=max((_mean([x.lag_mean_s for x in each]) for each in workers), default=None),
        cpu_share=max((_mean([x.cpu_share for x in each]) for each in workers), default=None),
    )


def _lateness(run: Run) -> Lateness:
    records = run.records
    late_s = records.late_s
    is_late = late_s > LATE_S
    return Lateness(
        p99_s=float(np.quantile(late_s, 0.99)),
        worst_s=float(late_s.max()),
        num_late=int(is_late.sum()),
        late=tuple(np.unique(records.index[is_late]).tolist()),
        num_never_sent=_never_sent(run),
    )


def _never_sent(run: Run) -> int | None:
    """Count planned requests without a record.

    Indices ascend with time. Of a run that was cut short, those up to the last that was sent should be there.
    """
    if run.settings.is_closed or run.info.num_planned is None:
        return None
    sent = np.unique(run.records.index)
    due = run.info.num_planned if run.info.ended == "done" else int(sent[-1]) + 1
    return max(due - len(sent), 0)


def _plan_reasons(run: Run, lateness: Lateness) -> Iterator[str]:
    if lateness.p99_s > LATE_S:
        yield (
            f"sent too late: 1 % of the requests by more than {1000 * lateness.p99_s:.0f} ms "
            f"(allowed: {1000 * LATE_S:.0f} ms)"
        )
    if lateness.num_never_sent:
        yield f"{lateness.num_never_sent} planned requests were never sent, or their records were lost"
    pairs = np.stack((run.records.index, run.records.turn), axis=1)
    num_twice = len(pairs) - len(np.unique(pairs, axis=0))
    if num_twice:
        yield f"{num_twice} requests are recorded twice: did two runs write into one folder?"


def _worker_reasons(run: Run, workers: Sequence[Sequence[ClientSample]]) -> Iterator[str]:
    seen = {samples[0].worker for samples in workers}
    blind = sorted(set(np.unique(run.records.worker).tolist()) - seen)
    if blind:
        yield f"no samples of the client's own lag from worker {', '.join(map(str, blind))}"
    for samples in workers:
        name = f"worker {samples[0].worker}"
        share, lag_s = _stalled_share(samples), _mean([x.lag_mean_s for x in samples])
        if share > STALLED_SHARE:
            yield (
                f"{name}: its event loop stalled: {100 * share:.1f} % of all moments had more than "
                f"{1000 * STALL_S:.0f} ms to wait (allowed: {100 * STALLED_SHARE:.0f} %)"
            )
        if lag_s > MEAN_LAG_S:
            yield f"{name}: its event loop lagged {1000 * lag_s:.1f} ms (allowed: {1000 * MEAN_LAG_S:.0f} ms)"
        num_busy = sum(sample.cpu_share > BUSY_SHARE for sample in samples)
        if num_busy > max(1, BUSY_SECONDS_SHARE * len(samples)):
            yield (
                f"{name}: {num_busy} of {len(samples)} seconds with more than {BUSY_SHARE:g} of a core; "
                "use more workers"
            )


def _stalled_share(samples: Sequence[ClientSample]) -> float:
    """Return the share of moments at which more than `STALL_S` of a stall lay ahead.

    A stall of s seconds has ``s - STALL_S`` of them.
    """
    return _mean([max(sample.lag_max_s - STALL_S, 0.0) for sample in samples])


def _mean(values: Sequence[float]) -> float:
    """Return the mean over samples, which are a second each."""
    return sum(values) / len(values)
