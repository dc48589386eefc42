"""When a number of replicas may change: up at once, down late, and not to and fro.

The rules are those of Kubernetes' horizontal autoscaler (a tolerance, and for steps down the largest
recommendation of a window; kubernetes.io, "Horizontal Pod Autoscaling", "Stabilization window"), with one
more: after a step down, too, the direction is kept for a while, unless the load rises a lot.
"""

import math
from dataclasses import dataclass

from pydantic import Field

from modem.autoscaling.base import ExpertLoad, PolicyParams

NUM_BUCKETS = 20
"""How finely the window of past needs is kept: a need may count this much (5 %) longer than the window."""

_ROUNDING = 1e-9


class HoldParams(PolicyParams):
    """Parameters that all of modem's own policies have.

    Attributes:
        interval_s: Seconds between two decisions; in between the last one stands. Replicas report every
            ``metrics_interval_s``, so more often would only cost the controller time.
        hold_s: Least seconds between two changes of direction. A replica is given back when it was not
            needed for so long. Serve's own ``downscale_delay_s`` is part of it, not on top: the longer of the
            two counts.
        tolerance: Share by which the need must differ from what there is before anything changes.
        surge: A need of more than this many times what there is ends the wait after a step down.
    """

    interval_s: float = Field(default=1.0, ge=0, le=60)
    hold_s: float = Field(default=600.0, ge=0, le=86400)
    tolerance: float = Field(default=0.1, ge=0, le=1)
    surge: float = Field(default=1.5, ge=1, le=10)


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest need of a short time.

    Attributes:
        from_s: When that time began.
        until_s: When it was last looked at.
        need: The largest need in between, in replicas.
    """

    from_s: float
    until_s: float
    need: float


@dataclass(frozen=True, slots=True)
class Needs:
    """The needs of a window of time, oldest first; never more than some `NUM_BUCKETS` of them.

    Attributes:
        window_s: How far back they reach.
        since_s: When the first need ever was noted.
        peaks: Largest needs.
    """

    window_s: float
    since_s: float
    peaks: tuple[Peak, ...] = ()

    def note(self, now_s: float, need: float) -> "Needs":
        """Return the needs with one more, and without those that are too old."""
        kept = [peak for peak in self.peaks if peak.until_s >= now_s - self.window_s]
        if kept and now_s - kept[-1].from_s < self.window_s / NUM_BUCKETS:
            last = kept.pop()
            kept.append(Peak(last.from_s, now_s, max(last.need, need)))
        else:
            kept.append(Peak(now_s, now_s, need))
        return Needs(self.window_s, self.since_s, tuple(kept))

    @property
    def highest(self) -> float:
        """The largest need of the window; 0 if nothing was noted."""
        return max((peak.need for peak in self.peaks), default=0.0)


def settle(load: ExpertLoad, need: float, params: HoldParams, before: Needs | None) -> tuple[int, Needs]:
    """Turn a need into a number of replicas that does not go to and fro.

    - Up, to ``ceil(need)``, if the need exceeds what Serve aims at by more than the tolerance. Within
      ``hold_s`` of a step down only if it exceeds it ``surge`` times.
    - Down, to the largest need since the present number was last needed (tolerance included), once that is
      ``hold_s`` ago, and the last step up as well. Serve's ``downscale_delay_s`` runs after this and counts.
    - The last replica is Serve's: with no need at all the answer is 0, and ``downscale_to_zero_delay_s`` says
      how long Serve waits.

    So two changes of direction lie at least ``hold_s`` apart, whatever the load does, unless it surges.

    Args:
        load: The present; its target is what there is.
        need: Replicas that it needs, not rounded.
        params: Tolerance and times.
        before: The needs noted so far; None at the first call.

    Returns:
        A number of replicas within the bounds, and the needs to be given back next time.
    """
    needs = (before or Needs(params.hold_s, load.now_s)).note(load.now_s, need)
    if need > load.target_replicas * (1 + params.tolerance):
        held = just_fell(load, params.hold_s) and need <= load.target_replicas * params.surge
        number = load.target_replicas if held else _replicas(need)
    elif load.target_replicas <= 1:
        number = min(1, _replicas(need))
    else:
        number = _given_back(load, params, needs)
    return load.within_bounds(number), needs


def _given_back(load: ExpertLoad, params: HoldParams, needs: Needs) -> int:
    """Return what is left after a step down, or the present number if it is too early for one."""
    since_s, low = needs.since_s, []
    for peak in reversed(needs.peaks):
        if _replicas(peak.need * (1 + params.tolerance)) >= load.target_replicas:
            since_s = peak.until_s
            break
        low.append(peak.need)
    if load.last_scale_up_s is not None:
        since_s = max(since_s, load.last_scale_up_s)
    if not low or load.now_s - since_s < params.hold_s - load.downscale_delay_s:
        return load.target_replicas
    return _replicas(max(low) * (1 + params.tolerance))


def just_fell(load: ExpertLoad, hold_s: float) -> bool:
    """Return whether the last step was one down and is not ``hold_s`` ago."""
    down_s, up_s = load.last_scale_down_s, load.last_scale_up_s
    return down_s is not None and (up_s is None or up_s < down_s) and load.now_s - down_s < hold_s


def _replicas(need: float) -> int:
    return math.ceil(need - _ROUNDING)
