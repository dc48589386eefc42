"""A tuning in tables and in JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from modem.evaluation.tables import Table, make_table
from modem.slo import Slo
from modem.tuning.bound import Bound
from modem.tuning.budget import Joint
from modem.tuning.patch import Change
from modem.tuning.score import Score, Tried
from modem.tuning.settings import Settings
from modem.tuning.tune import ExpertResult, HeldOut, Plan, PolicyResult

HEADER = ("", "GPU-hours", "within target", "budget used", "by seed", "settings")
_HELD_HEADER = (
    "domain",
    "settings",
    "GPU-hours",
    "within target",
    "90 % interval",
    "budget used",
    "lower bound",
    "ratio",
)


def share_text(share: float) -> str:
    """Format a share with the digits that tell 99 % from 99.9 %."""
    return f"{100 * share:.2f} %"


def front_table(result: ExpertResult, margin: float) -> Table:
    """Return what nobody beats in cost and in the targets at once, and the best of each policy."""
    rows = [_row("front", each.score, describe(each.settings)) for each in result.front]
    best = [
        _row(f"best of {each.policy}, confirmed", each.best.score, describe(each.best.settings))
        for each in result.policies
    ]
    now = [] if result.present is None else [_row("as configured now", result.present)]
    recommended = result.recommended
    note = "nothing was tried: no requests" if recommended is None else ""
    if recommended is not None and not recommended.best.score.holds(margin):
        note = "none of them holds the target with the margin that is asked for"
    title = f"{result.domain}: {result.num_trials} settings on {result.num_requests} requests"
    return make_table(title, HEADER, [*rows, *best, *now], note)


def held_out_table(results: Sequence[ExpertResult], bounds: Mapping[str, Bound]) -> Table:
    """Return the figures on what was held out: what is recommended, and what is configured now."""
    rows = []
    for result in results:
        bound = bounds.get(result.domain)
        if result.recommended is not None and result.recommended.held_out is not None:
            name = f"recommended ({result.recommended.policy})"
            rows.append(_held_row(result.domain, name, result.recommended.held_out, bound))
        if result.present_held_out is not None:
            rows.append(_held_row(result.domain, "as configured now", result.present_held_out, bound))
    return make_table("On what was held out", _HELD_HEADER, rows)


def budget_table(joint: Joint, held_out: Joint | None, budget_gpus: float) -> Table:
    """Return what becomes of all experts together where they share GPUs."""
    rows = []
    for name, found in (("tuned on", joint), ("held out", held_out)):
        if found is not None:
            for domain, each in found.scores.items():
                rows.append((name, domain, *_row("", each)[1:4]))
            rows.append((name, "all", f"{found.cost_hours:.3f}", "", _used(found.worst)))
    if joint.binds:
        who = "the gpu_budget policy shares them out" if joint.shared else "who asks first has them"
        note = (
            f"alone they would hold {joint.wanted_gpus:g} GPUs at once, so the budget binds: "
            f"{joint.num_trials} combinations were tried; {who}"
        )
    else:
        note = f"they never hold more than {joint.most_gpus:g} GPUs at once, so the budget does not bind"
    header = ("requests", "domain", "GPU-hours", "within target", "budget used")
    return make_table(f"All experts on {budget_gpus:g} GPUs", header, rows, note)


def changes_table(changes: Sequence[Change]) -> Table:
    """Return what is different in a config file."""
    rows = [(each.application, each.key, _shown(each.before), _shown(each.after)) for each in changes]
    return make_table("Changes of the config", ("application", "key", "now", "recommended"), rows)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, Mapping) and "policy_function" in value:
        name = str(value["policy_function"]).rpartition(":")[2]
        return f"{name} {_short(value['policy_kwargs'])}" if value.get("policy_kwargs") else name
    return _short(value)


def _held_row(domain: str, name: str, found: HeldOut, bound: Bound | None) -> Sequence[str]:
    least = bound.cost_hours if bound else 0.0
    ratio = f"{found.score.cost_hours / least:.2f}" if least else "-"
    interval = f"{share_text(found.low)} to {share_text(found.high)}"
    share = share_text(found.score.share)
    used = _used(found.score.budget_used)
    return (domain, name, f"{found.score.cost_hours:.3f}", share, interval, used, f"{least:.3f}", ratio)


def _row(name: str, found: Score, settings: str = "") -> Sequence[str]:
    by_seed = " ".join(_used(each) for each in found.by_seed)
    share = share_text(found.share)
    return (name, f"{found.cost_hours:.3f}", share, _used(found.budget_used), by_seed, settings)


def _used(value: float) -> str:
    return f"{100 * value:.0f} %" if isfinite(value) else "all"


def describe(settings: Settings) -> str:
    """Return settings on one line."""
    values = {**settings.scaling, **settings.params}
    return f"{settings.policy}: " + " ".join(f"{key}={_short(value)}" for key, value in values.items())


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + " ".join(f"{key}={_short(inner)}" for key, inner in value.items()) + "}"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def to_json(
    results: Sequence[ExpertResult], bounds: Mapping[str, Bound], slo: Slo, plan: Plan, command: str
) -> str:
    """Return everything that was found."""
    document = {
        "command": command,
        "slo": str(slo),
        "plan": asdict(plan),
        "experts": {result.domain: _expert(result, bounds.get(result.domain)) for result in results},
    }
    return json.dumps(_finite(document), indent=1, allow_nan=False) + "\n"


def _expert(result: ExpertResult, bound: Bound | None) -> Mapping[str, Any]:
    return {
        "num_requests": result.num_requests,
        "num_trials": result.num_trials,
        "front": [_tried(each) for each in result.front],
        "policies": [_policy(each) for each in result.policies],
        "present": None if result.present is None else asdict(result.present),
        "present_held_out": None if result.present_held_out is None else asdict(result.present_held_out),
        "lower_bound_held_out": None if bound is None else asdict(bound),
    }


def _policy(result: PolicyResult) -> Mapping[str, Any]:
    held_out = None if result.held_out is None else asdict(result.held_out)
    return {"policy": result.policy, **_tried(result.best), "held_out": held_out}


def _tried(tried: Tried) -> Mapping[str, Any]:
    return {"settings": asdict(tried.settings), "score": asdict(tried.score)}


def _finite(value: Any) -> Any:
    """Replace what JSON has no number for by null."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value
