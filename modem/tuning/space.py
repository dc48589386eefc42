"""Which values are tried, for each policy: ranges that follow from the expert, its profile and the targets.

Values are rounded to what a person would write, before they are tried: what is recommended is what was run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Protocol

from modem.simulation.setup import ExpertSetup
from modem.slo import Slo
from modem.tuning.settings import PolicyName, Scalar, Settings, base

DIGITS = 3
"""Significant digits of what is tried."""

LONGEST_HOLD_S = 1800


class Trial(Protocol):
    """What Optuna's ``Trial`` offers, as far as it is needed."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Choose a number."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Choose a whole number."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Choose one of some values."""
        ...


@dataclass(frozen=True, slots=True)
class Range:
    """The values of one parameter.

    Attributes:
        name: Its key.
        low: Smallest.
        high: Largest.
        start: What is tried first.
        whole: Whole numbers only.
        log: Small differences matter more where values are small.
        choices: Instead of a range: these.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    start: Scalar = 0.0
    whole: bool = False
    log: bool = False
    choices: tuple[str, ...] = ()

    def suggest(self, trial: Trial) -> Scalar:
        """Let a trial choose."""
        if self.choices:
            chosen: str = trial.suggest_categorical(self.name, self.choices)
            return chosen
        if self.low >= self.high:
            return self.first
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return rounded(trial.suggest_float(self.name, self.low, self.high, log=self.log))

    @property
    def first(self) -> Scalar:
        """What is tried first, within the range."""
        if self.choices or isinstance(self.start, str):
            return self.start
        within = max(self.low, min(self.high, self.start))
        return int(within) if self.whole else rounded(within)


@dataclass(frozen=True, slots=True)
class Space:
    """All that is tried for one expert under one policy.

    Attributes:
        policy: The policy.
        scaling: Keys of ``autoscaling_config``.
        params: Keys of ``policy_kwargs``.
        fixed: Parameters that are not searched.
        own_delay: The policy waits by itself before it gives a replica back, so Serve's delay is kept short.
    """

    policy: PolicyName
    scaling: tuple[Range, ...]
    params: tuple[Range, ...] = ()
    fixed: Mapping[str, Any] | None = None
    own_delay: bool = False

    def suggest(self, trial: Trial) -> Settings:
        """Let a trial choose settings."""
        return self._settings({each.name: each.suggest(trial) for each in (*self.scaling, *self.params)})

    def first(self) -> Mapping[str, Scalar]:
        """Return what is tried first, by name."""
        return {each.name: each.first for each in (*self.scaling, *self.params) if _is_open(each)}

    def _settings(self, values: Mapping[str, Scalar]) -> Settings:
        scaling = {each.name: values[each.name] for each in self.scaling}
        params: dict[str, Any] = {each.name: values[each.name] for each in self.params}
        look_back_s = scaling["look_back_period_s"]
        if self.own_delay:
            # The policy waits by itself, and Serve's delay would only come on top of what it has seen.
            scaling["downscale_delay_s"] = look_back_s
        if scaling["min_replicas"]:
            scaling.pop("downscale_to_zero_delay_s", None)  # never looked at
        return Settings(self.policy, scaling, _nested(self.policy, {**(self.fixed or {}), **params}))


def _is_open(each: Range) -> bool:
    return bool(each.choices) or each.low < each.high


def _nested(policy: PolicyName, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put the parameters of a forecast's inner policy where they belong."""
    if policy != "forecast":
        return params
    outer = ("interval_s", "bucket_s", "certainty", "max_growth", "hold_s", "tolerance", "surge")
    inner = {key: value for key, value in params.items() if key not in outer}
    own = {key: value for key, value in params.items() if key in outer}
    return {**own, "policy": {"kind": "token_load", **inner}}


def space_of(policy: PolicyName, setup: ExpertSetup, slo: Slo) -> Space:
    """Return what is tried for an expert under a policy.

    Args:
        policy: The policy.
        setup: The expert: its bounds, its profile, and what it scales by now.
        slo: The targets.

    Raises:
        ConfigError: The expert does not scale.
    """
    if policy == "ongoing_requests":
        return Space(policy, (*_common(setup), *_of_serve(setup)))
    rhythm = _rhythm(setup)
    if policy == "slo":
        fixed = {**rhythm, **_fixed_of_slo(slo)}
        return Space(policy, _common(setup), (*_held(), *_of_slo(setup, slo)), fixed, True)
    params = (*_held(), *_of_tokens(setup, slo))
    scaling = (*_common(setup), _target(setup))
    if policy == "forecast":
        ahead = (
            Range("bucket_s", 30, 600, 120, whole=True, log=True),
            Range("certainty", 0, 3, 1.0),
            Range("max_growth", 1, 4, 2.0),
        )
        return Space(policy, scaling, (*params, *ahead), rhythm, True)
    return Space(policy, scaling, params, rhythm, True)


def _rhythm(setup: ExpertSetup) -> Mapping[str, Any]:
    """Let a policy decide as often as there is something new: else it costs controller and search time."""
    interval_s = min(base(setup).metrics_interval_s, 60.0)
    return {"interval_s": interval_s} if interval_s > 1 else {}


def _common(setup: ExpertSetup) -> tuple[Range, ...]:
    """Return what matters under any policy."""
    now = base(setup)
    shortest_s = max(2, ceil(2 * now.metrics_interval_s))
    to_zero_s = now.downscale_to_zero_delay_s or now.downscale_delay_s
    return (
        Range("min_replicas", 0 if setup.may_sleep else 1, now.max_replicas, now.min_replicas, whole=True),
        Range("upscale_delay_s", 0, 60, min(now.upscale_delay_s, 10), whole=True),
        Range("look_back_period_s", shortest_s, max(60, shortest_s), now.look_back_period_s, whole=True),
        Range("downscale_to_zero_delay_s", max(60, shortest_s), 3600, to_zero_s, whole=True, log=True),
    )


def _target(setup: ExpertSetup) -> Range:
    # A replica that is full must look as if it had too much to do, or none is added.
    most = min(0.95 * setup.max_ongoing_requests, float(setup.profile.max_num_seqs))
    return Range(
        "target_ongoing_requests", min(1.0, most), most, base(setup).target_ongoing_requests, log=True
    )


def _of_serve(setup: ExpertSetup) -> tuple[Range, ...]:
    now = base(setup)
    return (
        _target(setup),
        Range("downscale_delay_s", 60, LONGEST_HOLD_S, now.downscale_delay_s, whole=True, log=True),
        Range("upscaling_factor", 1, 4, now.upscaling_factor or 1.0),
        Range("aggregation_function", choices=("mean", "max"), start=now.aggregation_function),
    )


def _held() -> tuple[Range, ...]:
    return (
        Range("hold_s", 60, LONGEST_HOLD_S, 600, whole=True, log=True),
        Range("tolerance", 0, 0.3, 0.1),
        Range("surge", 1, 3, 1.5),
    )


def _of_tokens(setup: ExpertSetup, slo: Slo) -> tuple[Range, ...]:
    found = []
    if setup.profile.kv_capacity_tokens:
        found.append(Range("kv_utilization", 0.2, 1, 0.8))
    if setup.profile.prefill.tokens_per_s:
        limit = slo.tightest("ttft")
        wait_s = limit.most_s if limit else 1.0
        found.append(Range("prefill_wait_s", 0.02 * wait_s, 5 * wait_s, 0.5 * wait_s, log=True))
    return tuple(found)


def _of_slo(setup: ExpertSetup, slo: Slo) -> tuple[Range, ...]:
    ttft_s = _ttft_s(slo)
    found = [
        Range("ttft_s", 0.05 * ttft_s, 2 * ttft_s, ttft_s, log=True),
        Range("headroom", 0, 4, 0.5),
        Range("certainty", 1, 5, 3.0),
        Range("max_growth", 1, 4, 2.0),
    ]
    decode, most = setup.profile.decode, setup.profile.max_num_seqs
    slowest_s, quickest_s = decode.at(most), decode.at(1)
    if slowest_s > 1.05 * quickest_s:
        # How full a batch may be; the policy knows it as the time between tokens that goes with it.
        found.append(Range("itl_s", 1.02 * quickest_s, 1.2 * slowest_s, slowest_s, log=True))
    if setup.profile.kv_capacity_tokens:
        found.append(Range("kv_utilization", 0.2, 1, 0.8))
    return tuple(found)


def _fixed_of_slo(slo: Slo) -> Mapping[str, Any]:
    share = max(target.share for target in slo.targets)
    return {"share": min(max(share, 0.5), 0.999)}


def _ttft_s(slo: Slo) -> float:
    """Return the time to first token to aim at; a target for the whole answer bounds it as well."""
    limit = slo.tightest("ttft") or slo.tightest("e2e")
    return min(limit.most_s, 1800.0) if limit else 2.0


def rounded(value: float) -> float:
    """Return a number with `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")
