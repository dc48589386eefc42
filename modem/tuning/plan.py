"""Planning: the smallest fixed fleet that holds targets at given rates, and what autoscaling would save."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, exp

import numpy as np

from modem.errors import ConfigError
from modem.simulation.control import Controller
from modem.simulation.profile import Profile
from modem.simulation.setup import ExpertSetup, Platform
from modem.simulation.simulate import simulate
from modem.slo import Slo
from modem.traces import synthetic
from modem.traces.lengths import LognormalLengths
from modem.traces.trace import Trace
from modem.tuning.bound import lower_bound
from modem.tuning.measure import measure
from modem.tuning.problem import Controllers, Problem, Scenario, requests_of, try_settings
from modem.tuning.score import Score, score
from modem.tuning.settings import Settings, base
from modem.tuning.work import decode_tokens_per_s, prefill_s

MOST_REPLICAS = 512

_SIGMA = 0.8
_LENGTHS = ("prompt", "output", "sigma")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests of one expert.

    Attributes:
        rate_rps: Mean requests a second.
        lengths: Of prompts and answers.
        cv: Standard deviation over mean of the times between requests: 1 is Poisson, 4 and more are bursts.
        duration_s: Length of a trace.
    """

    rate_rps: float
    lengths: LognormalLengths
    cv: float = 1.0
    duration_s: float = 1800.0

    def trace(self, seed: int, domain: str) -> Trace:
        """Draw a trace."""
        rng = np.random.default_rng(seed)
        if self.cv == 1:
            drawn = synthetic.poisson(rng, self.rate_rps, self.duration_s, self.lengths)
        else:
            drawn = synthetic.gamma_bursty(rng, self.rate_rps, self.cv, self.duration_s, self.lengths)
        return replace(drawn, domains=(domain,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """How the rate moves over a day: a sine whose mean is the rate that is given.

    Attributes:
        peak_ratio: Highest over lowest rate.
        period_s: Length of the day.
    """

    peak_ratio: float = 4.0
    period_s: float = 86400.0

    @property
    def peak(self) -> float:
        """The highest rate, in times of the mean."""
        return 1 + (self.peak_ratio - 1) / (self.peak_ratio + 1)


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fixed number of replicas.

    Attributes:
        replicas: How many.
        score: What they get; its cost is that of the traces.
    """

    replicas: int
    score: Score


@dataclass(frozen=True, slots=True)
class DayResult:
    """A day with a rate that moves.

    Attributes:
        peak: The smallest fixed fleet that holds the targets at the highest rate.
        fixed_hours: GPU-hours of that fleet in a day.
        scaled: What autoscaling gets on a simulated day.
        least_hours: GPU-hours that any scaler needs; see `modem.tuning.bound`.
    """

    peak: Fleet
    fixed_hours: float
    scaled: Score
    least_hours: float

    @property
    def saved(self) -> float:
        """Share of the fixed fleet's GPU-hours that autoscaling saves; negative if it costs more."""
        return 1 - self.scaled.cost_hours / self.fixed_hours if self.fixed_hours else 0.0


def smallest_fleet(
    setup: ExpertSetup, platform: Platform, load: Load, slo: Slo, seeds: tuple[int, ...]
) -> Fleet:
    """Return the fewest replicas that hold the targets with each seed, by bisection.

    More replicas are taken to serve no worse, as they do but for chance.

    Raises:
        ConfigError: Even `MOST_REPLICAS` do not: a single request may take too long.
    """
    traces = {seed: load.trace(seed, setup.domain) for seed in seeds}

    def tried(replicas: int) -> Score:
        fixed = replace(setup, autoscaling=None, num_replicas=replicas)
        runs = [
            [measure(simulate([fixed], traces[seed], _Nobody(), seed, platform), 0, slo)] for seed in seeds
        ]
        return score(runs, slo)

    low = 0
    high = least_replicas(setup.profile, traces[seeds[0]])
    found = tried(high)
    while not found.holds():
        low, high = high, 2 * high
        if high > MOST_REPLICAS:
            raise ConfigError(
                f"domain {setup.domain}: {low} replicas do not hold {slo}: {100 * found.share:.1f} % of the "
                "requests are within it; allow more time, or shorter prompts"
            )
        found = tried(high)
    best = found
    while high - low > 1:
        middle = (low + high) // 2
        found = tried(middle)
        low, high, best = (low, middle, found) if found.holds() else (middle, high, best)
    return Fleet(high, best)


def least_replicas(profile: Profile, trace: Trace) -> int:
    """Return replicas whose engines would be busy all the time; at least 1."""
    work_s = float(prefill_s(profile, trace.prompt_tokens).sum())
    work_s = max(work_s, float((trace.output_tokens - 1).sum()) / decode_tokens_per_s(profile))
    return max(1, ceil(work_s / max(trace.span_s, 1e-9)))


class _Nobody:
    """Makes no controller: a fixed fleet has none."""

    def reset(self) -> None:
        """There is nothing to forget."""

    def __call__(self, setup: ExpertSetup) -> Controller:
        """Fail: only an expert that scales asks for one."""
        raise AssertionError(f"{setup.domain}: a fixed fleet has no controller")


def plan_day(
    setup: ExpertSetup,
    platform: Platform,
    load: Load,
    day: Day,
    slo: Slo,
    settings: Settings,
    seeds: tuple[int, ...],
    controllers: Controllers,
) -> DayResult:
    """Return what autoscaling saves on a day, against a fixed fleet for its highest rate.

    Args:
        setup: The expert, with the autoscaling that is asked about.
        platform: What is around it.
        load: Its requests; their rate is the mean of the day.
        day: How the rate moves.
        slo: The targets.
        settings: The policy.
        seeds: Of the simulations; the day is simulated with the first.
        controllers: Make controllers.

    Raises:
        ConfigError: As `smallest_fleet`, or the policy cannot be built.
    """
    peak = smallest_fleet(setup, platform, replace(load, rate_rps=load.rate_rps * day.peak), slo, seeds)
    drawn = synthetic.diurnal(
        np.random.default_rng(seeds[0]),
        load.rate_rps,
        day.period_s,
        day.peak_ratio,
        day.period_s,
        load.lengths,
    )
    trace = replace(drawn, domains=(setup.domain,))
    setup = _roomy(setup, 2 * peak.replicas)
    problem = Problem(setup, platform, slo, (Scenario(trace),))
    with controllers() as make:
        run = try_settings(problem, settings, problem.scenarios[0], seeds[0], make)
    per_replica = peak.score.cost_hours / (peak.replicas * load.duration_s)
    return DayResult(
        peak,
        per_replica * peak.replicas * day.period_s,
        score([[run]], slo),
        lower_bound(setup.profile, requests_of(trace, setup.domain), slo).cost_hours,
    )


def _roomy(setup: ExpertSetup, most: int) -> ExpertSetup:
    """Return an expert that may have as many replicas as it takes."""
    scaling = base(setup)
    return replace(
        setup,
        autoscaling=scaling.model_copy(
            update={"max_replicas": max(most, 1), "min_replicas": min(scaling.min_replicas, most)}
        ),
    )


def parse_rates(text: str) -> Mapping[str, float]:
    """Read ``math=2,health=0.5``: requests a second.

    Raises:
        ConfigError: A part is wrong.
    """
    return _numbers(text, "--rates", "DOMAIN=RATE", "math=2,health=0.5")


def parse_lengths(text: str) -> LognormalLengths:
    """Read ``prompt=1200,output=200``: mean tokens; ``sigma`` for how much they vary.

    Raises:
        ConfigError: A part is wrong or missing.
    """
    values = _numbers(text, "--lengths", "NAME=NUMBER", "prompt=1200,output=200", least=0.0)
    wrong = [name for name in values if name not in _LENGTHS]
    missing = [name for name in ("prompt", "output") if name not in values]
    if wrong or missing:
        what = f"there is no {wrong[0]!r}" if wrong else f"{missing[0]} is missing"
        raise ConfigError(f"--lengths {text!r}: {what}; write prompt=1200,output=200 and perhaps sigma=0.8")
    sigma = values.get("sigma", _SIGMA)
    # The mean of a log-normal distribution is so many times its median.
    mean = exp(sigma**2 / 2)
    return LognormalLengths(
        prompt_median_tokens=max(values["prompt"] / mean, 1.0),
        output_median_tokens=max(values["output"] / mean, 1.0),
        sigma=sigma,
    )


def _numbers(text: str, option: str, form: str, example: str, least: float = 1e-9) -> Mapping[str, float]:
    values: dict[str, float] = {}
    for item in text.split(","):
        name, equals, number = item.strip().partition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not name or not equals or not least <= value < float("inf"):
            raise ConfigError(
                f"{option} {text!r}: {item.strip()!r} is no {form}; write for example {example}"
            )
        if name in values:
            raise ConfigError(f"{option} {text!r}: {name!r} stands there twice")
        values[name] = value
    return values
