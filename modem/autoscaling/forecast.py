"""``forecast``: another policy, for the load that is to come as well as for the one that is."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from modem.autoscaling.base import AnyPolicy, Decision, ExpertLoad
from modem.autoscaling.demand import Profile
from modem.autoscaling.hysteresis import HoldParams, Needs, settle
from modem.autoscaling.ongoing_requests import OngoingRequestsParams
from modem.autoscaling.schedule import Floor, floor_at
from modem.autoscaling.seasonal import Outlook, Series, require_library
from modem.autoscaling.slo import SloParams
from modem.autoscaling.stats import ReplicaStats
from modem.autoscaling.token_load import TokenLoadParams


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no such time zone; write a name like 'UTC' or 'Europe/Berlin'") from None
    return name


Inner = Annotated[OngoingRequestsParams | TokenLoadParams | SloParams, Field(discriminator="kind")]


class ForecastParams(HoldParams):
    """Parameters of `Forecast`, besides those of `HoldParams`.

    Attributes:
        policy: The policy that sizes the expert, with ``kind`` and its parameters. Its own ``interval_s``,
            ``hold_s``, ``tolerance`` and ``surge`` do not count here, but the ones beside it do.
        bucket_s: Seconds over which the load is averaged before it is fitted; one fit for each.
        season_s: Length of a season in seconds: a day.
        startup_s: How far to look ahead besides ``upscale_delay_s``; a replica's start-up if not given.
        certainty: Times the usual error of the fit by which the load must be expected to grow.
        max_growth: Most times its present load that an awake expert is prepared for.
        wake_above: Expected ongoing requests from which an idle expert is woken in advance, or kept awake.
        floors: Least numbers of replicas by the clock; each begins early enough for replicas to be up.
        timezone: Time zone of the floors.
    """

    kind: Literal["forecast"] = "forecast"
    policy: Inner = TokenLoadParams()
    bucket_s: float = Field(default=300.0, ge=10, le=3600)
    season_s: float = Field(default=86400.0, gt=0)
    startup_s: float | None = Field(default=None, gt=0)
    certainty: float = Field(default=1.0, ge=0, le=10)
    max_growth: float = Field(default=2.0, ge=1, le=100)
    wake_above: float = Field(default=0.5, gt=0)
    floors: tuple[Floor, ...] = ()
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"

    def build(self) -> "Forecast":
        """Return the policy.

        Raises:
            ConfigError: statsmodels is not installed.
        """
        require_library()
        return Forecast(self)


@dataclass(frozen=True, slots=True)
class ForecastState:
    """What `Forecast` remembers of one expert.

    Attributes:
        inner: State of the policy within.
        profile: What its replicas can.
        needs: What was needed lately.
        series: Ongoing requests of the last days.
        outlook: How they should go on; None if too little was seen.
    """

    inner: Any
    profile: Profile
    needs: Needs
    series: Series
    outlook: Outlook | None = None


class Forecast:
    """The most of what another policy needs now, what it would need then, and a floor by the clock.

    .. code-block:: text

        then      = now + upscale_delay_s + startup_s
        requests' = requests + max(0, F(then) - F(now) - certainty * error)
        n         = max( policy(load), policy(load * requests' / requests), floor(now), floor(then) )

    ``F`` is additive Holt-Winters smoothing with a damped trend over means of ``bucket_s``, with a season of
    ``season_s`` once two seasons were seen (`Series.outlook`). Only its rise is used, so a forecast can add
    replicas and never take one away that the present load needs.

    Where a rise is expected, more requests with the same tokens are smaller requests, and may need less.

    What it has seen lives in Serve's memory: a change of the deployment's settings starts it anew.

    Sources: forecast beside a reactive guard, SageServe (arXiv 2502.14617); the method, Winters (Management
    Science 6, 1960), implemented by statsmodels.
    """

    def __init__(self, params: ForecastParams) -> None:
        self._params = params
        self._inner: AnyPolicy = params.policy.build()

    def decide(self, load: ExpertLoad, state: ForecastState | None) -> Decision[ForecastState]:
        """Decide; see the class."""
        params = self._params
        profile = (state.profile if state else Profile()).learn(load)
        then_s = load.now_s + load.upscale_delay_s + (params.startup_s or profile.startup_s)
        series, outlook = self._look_ahead(load, state, then_s - load.now_s)
        now = self._inner.decide(load, state.inner if state else None)
        need, reason = now.need, now.reason
        more = self._rise(load, outlook, then_s)
        if more > 0 and (coming := self._need_of(load, more, now.state)) > need:
            need, reason = coming, "forecast"
        # Before the floor is looked at: it is a number of replicas, and needs no tolerance on top.
        number, needs = settle(load, need, params, state.needs if state else None)
        floor = max(floor_at(at_s, params.floors, params.timezone) for at_s in (load.now_s, then_s))
        if floor > need:
            need, reason = floor, "floor"
        number = load.within_bounds(max(number, floor))
        return Decision(number, need, reason, ForecastState(now.state, profile, needs, series, outlook))

    def _look_ahead(
        self, load: ExpertLoad, state: ForecastState | None, ahead_s: float
    ) -> tuple[Series, Outlook | None]:
        """Note the present load, and fit anew whenever a bucket is complete."""
        params = self._params
        if state is None:
            return Series(params.bucket_s, load.now_s).note(load.now_s, load.ongoing_requests), None
        series = state.series.note(load.now_s, load.ongoing_requests)
        if series.from_s == state.series.from_s:
            return series, state.outlook
        return series, series.outlook(params.season_s, ahead_s)

    def _rise(self, load: ExpertLoad, outlook: Outlook | None, then_s: float) -> float:
        """Return by how many ongoing requests the load should grow until then."""
        if outlook is None:
            return 0.0
        params, requests = self._params, load.ongoing_requests
        rise = outlook.at(then_s) - outlook.at(load.now_s) - params.certainty * outlook.error
        if rise <= 0 or requests + rise < params.wake_above:
            return 0.0
        if load.running_replicas == 0:
            return rise
        return min(rise, max((params.max_growth - 1) * requests, params.wake_above))

    def _need_of(self, load: ExpertLoad, more: float, inner: Any) -> float:
        """Return what the inner policy would need for so many requests more; its state stays as it is."""
        requests = load.ongoing_requests + more
        if load.running_replicas == 0 or load.ongoing_requests <= 0:
            return requests / load.target_ongoing_requests
        # Of less than one request the tokens say nothing that could be multiplied.
        factor = requests / max(load.ongoing_requests, 1.0)
        stats = tuple(_scaled(each, factor) for each in load.stats)
        return self._inner.decide(replace(load, ongoing_requests=requests, stats=stats), inner).need


def _scaled(stats: ReplicaStats, factor: float) -> ReplicaStats:
    return replace(
        stats,
        running_requests=stats.running_requests * factor,
        waiting_requests=stats.waiting_requests * factor,
        prefill_tokens=stats.prefill_tokens * factor,
        context_tokens=stats.context_tokens * factor,
    )
