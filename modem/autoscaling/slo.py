"""``slo``: holds a time to first token, and a time between tokens, by what the load will be."""

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from modem.autoscaling.base import Decision, ExpertLoad
from modem.autoscaling.demand import Profile
from modem.autoscaling.growth import History
from modem.autoscaling.hysteresis import HoldParams, Needs, settle
from modem.autoscaling.stats import ReplicaStats
from modem.autoscaling.step_time import StepTime, StepTimes

FULL = 0.9
"""A batch of which this share is taken, on average over the look-back window, is full at times."""

MIN_WINDOW_S = 60.0
MAX_WINDOW_S = 600.0


class SloParams(HoldParams):
    """Parameters of `Slo`, besides those of `HoldParams`.

    Attributes:
        ttft_s: Time to first token to hold, in seconds.
        itl_s: Mean time between two tokens to hold, in seconds; None for no such target.
        share: Share of requests that should be within ``ttft_s``.
        headroom: Square roots of the load that are kept free for chance (square-root staffing).
        kv_utilization: Share of a replica's KV cache that its requests should fill.
        certainty: Standard deviations by which the load must have grown before it counts as growth.
        max_growth: Most times its present load that an expert is prepared for; 1 to not look ahead.
        startup_s: Time that a replica takes to start; as measured by replicas if not given.
        prefill_tokens_per_s: A replica's speed of reading prompts; as measured if not given.
        decode_step_s: Seconds of a decode step with an empty batch; learned from replicas if not given.
        decode_step_per_request_s: Seconds that each request in the batch adds to it; likewise.
    """

    kind: Literal["slo"] = "slo"
    ttft_s: float = Field(gt=0, le=3600)
    itl_s: float | None = Field(default=None, gt=0, le=60)
    share: float = Field(default=0.99, ge=0.5, lt=1)
    headroom: float = Field(default=0.5, ge=0, le=5)
    kv_utilization: float = Field(default=0.8, gt=0, le=1)
    certainty: float = Field(default=3.0, ge=0, le=10)
    max_growth: float = Field(default=2.0, ge=1, le=100)
    startup_s: float | None = Field(default=None, gt=0)
    prefill_tokens_per_s: float | None = Field(default=None, gt=0)
    decode_step_s: float | None = Field(default=None, gt=0)
    decode_step_per_request_s: float | None = Field(default=None, ge=0)

    def build(self) -> "Slo":
        """Return the policy."""
        return Slo(self)


@dataclass(frozen=True, slots=True)
class SloState:
    """What `Slo` remembers of one expert.

    Attributes:
        profile: What its replicas can.
        needs: What was needed lately.
        history: Ongoing requests of the last minutes.
        step_times: Decode steps seen so far.
    """

    profile: Profile
    needs: Needs
    history: History
    step_times: StepTimes


class Slo:
    """As many replicas as hold the targets for the load of the moment at which a new replica would be up.

    .. code-block:: text

        requests' = requests + growth * (upscale_delay_s + startup_s)         at most max_growth * requests
        places    = (requests' + headroom * sqrt(requests')) / capacity
        prefill   = prefill_tokens' / (prefill_tokens_per_s * wait_s)
        wait_s    = (ttft_s - tokens_per_request / prefill_tokens_per_s) / ln(1 / (1 - share))
        n         = max(places, prefill)

    - ``growth`` is the steepest rise of the last minutes that is no chance (`History`).
    - ``capacity`` is how many requests a replica may have: the least of its batch, what fits into its KV
      cache, and the batch whose decode step takes ``itl_s`` (`StepTime`). Where a replica publishes no size
      of its batch, ``target_ongoing_requests`` stands for it.
    - ``wait_s`` is the mean wait at which ``share`` of the prompts are read in time, if waits are
      exponential, as they are in a queue under heavy load.
    - ``prefill_tokens`` leaves out prompts that wait for a place in a full batch: more places help those.
    - If first tokens come late all the same while requests wait, it asks for one replica more than there are.

    Sources: batch size as the lever on the time between tokens, and waiting requests as the one on the first
    token, Chiron (arXiv 2501.08090); the load at the end of the start-up, SageServe (arXiv 2502.14617);
    square-root staffing, Halfin and Whitt (Operations Research 29, 1981); exponential waits, Kingman (1961).
    """

    def __init__(self, params: SloParams) -> None:
        self._params = params

    def decide(self, load: ExpertLoad, state: SloState | None) -> Decision[SloState]:
        """Decide; see the class."""
        params = self._params
        profile = (state.profile if state else Profile()).learn(load)
        seen = [(s.running_requests, s.decode_step_s) for s in load.stats if s.decode_step_s > 0]
        step_times = (state.step_times if state else StepTimes()).observe(load.now_s, seen)
        ahead_s = load.upscale_delay_s + (params.startup_s or profile.startup_s)
        history = state.history if state else History()
        growth = history.growth_per_s(load.now_s, load.ongoing_requests, params.certainty)
        if load.running_replicas != history.running_replicas:
            growth = 0.0
        factor = self._factor(load, growth * ahead_s)
        need, reason = self._need(load, factor, profile, step_times)
        number, needs = settle(load, need, params, state.needs if state else None)
        window_s = min(MAX_WINDOW_S, max(MIN_WINDOW_S, ahead_s))
        history = history.note(load.now_s, load.ongoing_requests, load.running_replicas, window_s)
        return Decision(number, need, reason, SloState(profile, needs, history, step_times))

    def _factor(self, load: ExpertLoad, more: float) -> float:
        """Return how many times the present load is to be prepared for."""
        if load.ongoing_requests <= 0:
            return 1.0
        return min(self._params.max_growth, 1 + more / load.ongoing_requests)

    def _need(
        self, load: ExpertLoad, factor: float, profile: Profile, step_times: StepTimes
    ) -> tuple[float, str]:
        params = self._params
        expected = load.ongoing_requests * factor
        limits = self._limits(load, profile, step_times)
        reason = min(limits, key=limits.__getitem__)
        need = (expected + params.headroom * math.sqrt(expected)) / limits[reason]
        if speed := params.prefill_tokens_per_s or profile.prefill_tokens_per_s:
            unread = factor * sum(_in_turn(each, profile) for each in load.stats)
            prefill = unread / (speed * self._wait_s(profile, speed))
            need, reason = (prefill, "prefill") if prefill > need else (need, reason)
        if self._is_late(load) and load.running_replicas + 1 > need:
            need, reason = load.running_replicas + 1, "late"
        return need, reason

    def _limits(self, load: ExpertLoad, profile: Profile, step_times: StepTimes) -> dict[str, float]:
        """Return what bounds the requests of one replica, by name."""
        params = self._params
        limits = {"requests": load.target_ongoing_requests}
        if profile.max_running_requests:
            limits = {"batch": profile.max_running_requests}
        if profile.kv_capacity_tokens and profile.tokens_per_request:
            held = params.kv_utilization * profile.kv_capacity_tokens / profile.tokens_per_request
            limits["kv"] = max(1.0, held)
        line = self._step_time(step_times)
        if params.itl_s is not None and line is not None:
            limits["itl"] = line.most_requests(params.itl_s)
        return limits

    def _step_time(self, step_times: StepTimes) -> StepTime | None:
        params = self._params
        if params.decode_step_s is not None and params.decode_step_per_request_s is not None:
            return StepTime(params.decode_step_s, params.decode_step_per_request_s)
        return step_times.line()

    def _wait_s(self, profile: Profile, speed: float) -> float:
        """Return the mean wait for prompt reading that holds the target."""
        params = self._params
        left_s = params.ttft_s - profile.tokens_per_request / speed
        # Where a typical prompt alone takes longer than the target, replicas cannot help; do not divide by 0.
        return max(left_s, 0.1 * params.ttft_s) / math.log(1 / (1 - params.share))

    def _is_late(self, load: ExpertLoad) -> bool:
        """Return whether first tokens come too late, with all replicas at work and requests in the queue."""
        told = [each.ttft_s for each in load.stats if each.ttft_s > 0]
        waiting = load.queued_requests + sum(each.waiting_requests for each in load.stats)
        complete = load.running_replicas >= max(1, load.target_replicas)
        return complete and waiting >= 1 and bool(told) and sum(told) / len(told) > self._params.ttft_s


def _in_turn(stats: ReplicaStats, profile: Profile) -> float:
    """Return the prompt tokens of a replica that only reading stands in the way of."""
    full = 0 < FULL * profile.max_running_requests <= stats.running_requests
    waiting = stats.waiting_requests * profile.tokens_per_request if full else 0.0
    return max(0.0, stats.prefill_tokens - waiting)
