"""How much a service can take: the knee of a run whose rate rises in steps until goodput falls."""

from dataclasses import dataclass

import numpy as np

from modem.load.columns import Bools, Columns
from modem.load.goodput import times
from modem.load.percentiles import Spread
from modem.load.run import Stairs

HOLDS_SHARE = 0.95
"""A step holds if so many of its requests were good."""
_WHOLE_SHARE = 0.5
"""A last step that was cut to less than this says nothing."""


@dataclass(frozen=True, slots=True)
class Step:
    """One rate.

    Attributes:
        start_s: When it began.
        length_s: How long it was offered.
        planned_rps: The scenario's rate.
        offered_rps: Requests a second that came to be sent in it.
        goodput_rps: Good ones among them.
        share_good: The same as a share of those offered.
        ttft_p99_s: 99th percentile of their times to first token; None without an answer.
        counts: Whether it was long enough to say something.
    """

    start_s: float
    length_s: float
    planned_rps: float
    offered_rps: float
    goodput_rps: float
    share_good: float
    ttft_p99_s: float | None
    counts: bool

    @property
    def holds(self) -> bool:
        """Whether nearly all of its requests were good."""
        return self.counts and self.share_good >= HOLDS_SHARE


@dataclass(frozen=True, slots=True)
class Knee:
    """What the steps say.

    Attributes:
        rps: The highest offered rate that held, if a higher one did not; None if there is no such rate.
        verdict: In words.
    """

    rps: float | None
    verdict: str


def steps(records: Columns, good: Bools, stairs: Stairs, first_rps: float, span_s: float) -> tuple[Step, ...]:
    """Cut a run into its steps; one without any request is left out.

    Args:
        records: Of all domains.
        good: Which of them were good; shape ``[n]``.
        stairs: How the rate rose.
        first_rps: The first step's rate.
        span_s: How long requests were sent.
    """
    number = np.floor(records.intended_s / stairs.step_s).astype(np.int64)
    ttft_s = times(records).ttft_s
    found = []
    for each in np.unique(number).tolist():
        start_s, own = each * stairs.step_s, number == each
        length_s = min(stairs.step_s, span_s - start_s)
        counts = length_s >= _WHOLE_SHARE * stairs.step_s
        num, num_good = int(own.sum()), int((own & good).sum())
        found.append(
            Step(
                start_s=start_s,
                length_s=length_s,
                planned_rps=first_rps * stairs.growth**each,
                offered_rps=num / max(length_s, 1e-9),
                goodput_rps=num_good / max(length_s, 1e-9),
                share_good=num_good / num,
                ttft_p99_s=Spread.of(ttft_s[own]).p99,
                counts=counts,
            )
        )
    return tuple(found)


def knee(found: tuple[Step, ...]) -> Knee:
    """Return the highest offered rate of which 95 % came good, and what that is worth."""
    counted = [step for step in found if step.counts]
    holding = [step for step in counted if step.holds]
    if not counted:
        return Knee(None, "no knee: no step was offered for half of its time")
    if not holding:
        least = min(step.offered_rps for step in counted)
        return Knee(None, f"no knee: even {least:.3g} requests/s did not hold; begin with a lower rate")
    best = max(holding, key=lambda step: step.offered_rps)
    broken = [step for step in counted if not step.holds]
    if not any(step.offered_rps > best.offered_rps for step in broken):
        return Knee(
            None,
            f"no knee: {best.offered_rps:.3g} requests/s, the most that was offered, still held; "
            "raise duration_s, so that there are more steps",
        )
    verdict = (
        f"the knee is at {best.offered_rps:.3g} requests/s: {100 * best.share_good:.1f} % of them were good"
    )
    if any(step.offered_rps < best.offered_rps for step in broken):
        verdict += "; a lower rate did not hold, so take longer steps to be sure"
    return Knee(best.offered_rps, verdict)
