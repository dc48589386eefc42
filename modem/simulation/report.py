"""A simulation in tables and in JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from modem.evaluation.tables import Table, make_table, percent
from modem.simulation.result import SimulationResult
from modem.simulation.summary import Figures, Quantiles, Summary

_HEADER = (
    "domain",
    "requests",
    "TTFT s p50/p90/p99",
    "end to end s p50/p90/p99",
    "within target",
    "goodput rps",
    "refused",
    "lost",
)
_COST_HEADER = (
    "domain",
    "replicas mean/most",
    "replica-hours",
    "GPU-hours",
    "USD",
    "busy",
    "starts",
    "cold starts",
    "changes",
    "turns",
)


def tables(summary: Summary) -> tuple[Table, Table]:
    """Return what requests got, and what that cost."""
    rows = [*summary.domains, ("all", summary.total)]
    targets = summary.targets
    more = [
        f"{name} at most {value:g} s"
        for name, value in (("mean time between tokens", targets.itl_s), ("end to end", targets.e2e_s))
        if value is not None
    ]
    target = "; ".join([f"target: first token within {targets.ttft_s:g} s", *more])
    return (
        make_table("What requests got", _HEADER, [_service(name, figures) for name, figures in rows], target),
        make_table("What it took", _COST_HEADER, [_cost(name, figures) for name, figures in rows]),
    )


def notes(result: SimulationResult) -> list[str]:
    """Return what a reader has to know to weigh the figures."""
    trace = result.trace
    profiles = dict.fromkeys((expert.profile.name, expert.profile.source) for expert in result.experts)
    return [
        f"trace: {trace.origin}; {len(trace)} requests in {trace.span_s:.6g} s, "
        f"simulated until {result.end_s:.6g} s, seed {result.seed}",
        *(f"profile: {name} ({source})" for name, source in profiles),
        *_too_long(result),
    ]


def _too_long(result: SimulationResult) -> list[str]:
    """Say how many requests a live expert would refuse for their length."""
    trace, number = result.trace, 0
    lengths = trace.prompt_tokens + trace.output_tokens
    for setup in result.experts:
        if setup.context_length_tokens is not None and setup.domain in trace.domains:
            own = trace.domain_index == trace.domains.index(setup.domain)
            number += int((own & (lengths > setup.context_length_tokens)).sum())
    if not number:
        return []
    return [
        f"{number} of {len(trace)} requests are longer than their expert's context: a live expert would "
        "refuse them, here they are computed"
    ]


def to_json(result: SimulationResult, summary: Summary, command: str) -> str:
    """Return everything but the single requests."""
    document: dict[str, Any] = {
        "command": command,
        "trace": {
            "origin": result.trace.origin,
            "num_requests": len(result.trace),
            "span_s": result.trace.span_s,
        },
        "seed": result.seed,
        "end_s": result.end_s,
        "targets": asdict(summary.targets),
        "platform": asdict(result.platform),
        "total": asdict(summary.total),
        "domains": {name: asdict(figures) for name, figures in summary.domains},
        "experts": {
            setup.domain: {
                "profile": {
                    "name": setup.profile.name,
                    "source": setup.profile.source,
                    "method": setup.profile.method,
                },
                "autoscaling_config": _autoscaling(setup.autoscaling),
                "num_ticks": history.num_ticks,
                "decisions": [asdict(decision) for decision in history.decisions],
                "replicas": [asdict(life) for life in history.replicas],
            }
            for setup, history in zip(result.experts, result.histories, strict=True)
        },
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _autoscaling(config: Any) -> Any:
    return None if config is None else config.model_dump(mode="json", exclude_unset=True)


def _service(name: str, figures: Figures) -> Sequence[str]:
    refused = figures.num_rejected + figures.num_timed_out
    lost = figures.num_killed + figures.num_unfinished
    return (
        name,
        str(figures.num_requests),
        _quantiles(figures.ttft_s),
        _quantiles(figures.e2e_s),
        percent(figures.share_within),
        f"{figures.goodput_rps:.3g}",
        str(refused),
        str(lost),
    )


def _cost(name: str, figures: Figures) -> Sequence[str]:
    return (
        name,
        f"{figures.mean_replicas:.2f} / {figures.max_replicas}",
        f"{figures.replica_hours:.2f}",
        f"{figures.gpu_hours:.2f}",
        f"{figures.cost_usd:.2f}",
        percent(figures.utilisation),
        str(figures.num_starts),
        str(figures.num_cold_starts),
        str(figures.num_decisions),
        str(figures.num_turns),
    )


def _quantiles(values: Quantiles) -> str:
    found = (values.p50, values.p90, values.p99)
    return " / ".join("-" if value is None else f"{value:.3g}" for value in found)
