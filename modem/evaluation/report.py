"""An evaluation as tables, as Markdown and as JSON."""

import dataclasses
import json
import shlex
from pathlib import PurePath
from typing import Any

from modem.evaluation.added import AddedFigures
from modem.evaluation.evaluate import Policy, Report, SetFigures
from modem.evaluation.metrics import Classification, GroupFigures
from modem.evaluation.sets import BORDERLINE_SUBJECTS
from modem.evaluation.tables import Table, make_table, percent, points, to_markdown

FORMAT = "modem-evaluation-1"

_MAX_GROUPS = 60
"""Rows of a table by source or subject; the JSON has them all."""


def to_json(report: Report, command: str) -> str:
    """Write an evaluation as JSON; holds everything."""
    content: dict[str, Any] = {"format": FORMAT, "command": public(command), **dataclasses.asdict(report)}
    return json.dumps(content, indent=2) + "\n"


def render(report: Report, command: str) -> str:
    """Write an evaluation as Markdown."""
    head = [
        f"# Evaluation of `{report.router.name}` {report.router.version}",
        f"```sh\n{public(command)}\n```",
        policy_line(report.policy),
    ]
    parts = [to_markdown(table) for table in [*overview(report), *details(report)]]
    return "\n\n".join([*head, *parts, cost_line(report)]) + "\n"


def overview(report: Report) -> list[Table]:
    """Return the tables that say how good the router is."""
    tables = [sets_table(report)]
    tables += [robustness_table(report)] if report.robustness else []
    tables += [_added_table(report.added)] if report.added is not None else []
    tables += [_stability_table(report)] if any(found.stability for found in report.sets) else []
    return tables


def details(report: Report) -> list[Table]:
    """Return the tables that say where it errs."""
    tables: list[Table] = []
    for found in report.sets:
        tables += [domains_table(found), _confusion_table(found), _risk_table(found)]
        for what in ("source", "subject", "kind"):
            groups: tuple[GroupFigures, ...] = getattr(found, f"{what}s")
            tables += [_groups_table(found.name, what, groups)] if len(groups) > 1 else []
    return tables


def sets_table(report: Report) -> Table:
    """Return a line of figures for each set."""
    rows = []
    for found in report.sets:
        rows.append(_set_row(found.name, found.scores, found))
        if found.without_borderline is not None:
            rows.append(_set_row(f"{found.name} without borderline", found.without_borderline, None))
    header = ("set", "prompts", "accuracy", "95 % interval", "macro", "ECE", "decided", "to the fallback")
    return make_table("Sets", header, rows, _sets_note(report))


def robustness_table(report: Report) -> Table:
    """Return the loss from each wrapping, a column for each set."""
    found = report.robustness
    sizes = " / ".join(str(one.num_prompts) for one in found)
    plain = [cell for one in found for cell in (percent(one.accuracy), percent(one.decided_accuracy))]
    rows = [(f"as it stands ({sizes} prompts)", *plain)]
    for losses in zip(*(one.losses for one in found), strict=True):
        lost = [
            cell for loss in losses for cell in (points(loss.loss_points), points(loss.decided_loss_points))
        ]
        rows.append((losses[0].wrapping, *lost))
    header = ["wrapping", *(cell for one in found for cell in (one.set, f"{one.set}, decided"))]
    note = "Points lost against the same prompts as they stand; below 0: gained."
    return make_table("Robustness", header, rows, note)


def domains_table(found: SetFigures) -> Table:
    """Return recall and precision of each domain, of scores and of decisions."""
    decided = {figures.domain: figures for figures in found.decisions.domains}
    rows = []
    for figures in found.scores.domains:
        other = decided.get(figures.domain)
        shares = [figures.recall, figures.precision]
        shares += [other.recall, other.precision] if other else [None, None]
        rows.append((figures.domain, str(figures.num_prompts), *map(percent, shares)))
    header = ("domain", "prompts", "recall", "precision", "decided recall", "decided precision")
    return make_table(f"{found.name}: domains", header, rows)


def policy_line(policy: Policy) -> str:
    """Say in one sentence what made decisions out of scores."""
    return (
        f"Accuracy is that of the most probable domain; *decided* is what the gateway does with threshold "
        f"{policy.threshold:g}, margin {policy.margin:g}, switch margin {policy.switch_margin:g} and "
        f"fallback {policy.fallback}."
    )


def cost_line(report: Report) -> str:
    """Say in one sentence what a decision costs."""
    cost = report.cost
    return (
        f"One decision at a time on the machine of this evaluation: median {cost.p50_ms:.1f} ms, "
        f"95th percentile {cost.p95_ms:.1f} ms, {cost.cpu_ms:.1f} ms of processor time "
        f"({cost.num_decisions} prompts of `{report.sets[0].name}`)."
    )


def public(command: str) -> str:
    """Return a command without the folders of the machine that it ran on: of an absolute path the name."""
    words = (PurePath(word).name if PurePath(word).is_absolute() else word for word in shlex.split(command))
    return shlex.join(words)


def _set_row(name: str, scores: Classification, found: SetFigures | None) -> tuple[str, ...]:
    low, high = scores.interval
    cells = (name, str(scores.num_prompts), percent(scores.accuracy), f"{100 * low:.1f} to {100 * high:.1f}")
    if found is None:
        return (*cells, percent(scores.macro), "-", "-", "-")
    to_fallback = sum(found.reasons.get(reason, 0) for reason in ("low_confidence", "out_of_domain"))
    return (
        *cells,
        percent(scores.macro),
        f"{found.calibration.ece:.3f}",
        percent(found.decisions.accuracy),
        percent(to_fallback / scores.num_prompts),
    )


def _sets_note(report: Report) -> str:
    if not any(found.without_borderline for found in report.sets):
        return ""
    return f"Borderline subjects: {', '.join(sorted(BORDERLINE_SUBJECTS))}."


def _stability_table(report: Report) -> Table:
    rows = [
        (
            found.name,
            str(found.stability.num_groups),
            percent(found.stability.all_same),
            percent(found.stability.pairs_same),
            percent(found.stability.all_right),
        )
        for found in report.sets
        if found.stability is not None
    ]
    header = ("set", "groups", "all the same domain", "two of a group the same", "all right")
    return make_table("The same in other words", header, rows)


def _added_table(found: AddedFigures) -> Table:
    rows = [
        (f"recall of {found.num_prompts} prompts", percent(found.recall)),
        ("the same, decided", percent(found.decided_recall)),
        (f"taken of {found.num_near} prompts that only look like it", percent(found.taken)),
        (f"moved of {found.num_others} prompts of all domains", percent(found.moved)),
        ("moved of those that went to a specialist", percent(found.moved_specialists)),
    ]
    title = f"The domain {found.name}, added by {found.num_examples} examples"
    return make_table(title, ("what", "share"), rows)


def _confusion_table(found: SetFigures) -> Table:
    confusion = found.scores.confusion
    rows = [
        (domain, *(str(number) for number in row))
        for domain, row in zip(confusion.domains, confusion.counts, strict=True)
        if sum(row)
    ]
    return make_table(f"{found.name}: confusion", ("true \\ chosen", *confusion.domains), rows)


def _risk_table(found: SetFigures) -> Table:
    # A quarter of the curve is enough to read; the plot has all of it.
    shown = found.risk[3::4] or found.risk
    rows = [(f"{p.threshold:.2f}", percent(p.coverage), percent(p.risk)) for p in shown]
    return make_table(f"{found.name}: what a threshold does", ("threshold", "covered", "mistakes"), rows)


def _groups_table(name: str, what: str, groups: tuple[GroupFigures, ...]) -> Table:
    worst = sorted(groups, key=lambda group: (group.accuracy, group.name))[:_MAX_GROUPS]
    rows = [(group.name, str(group.num_prompts), percent(group.accuracy)) for group in worst]
    return make_table(f"{name}: by {what}, worst first", (what, "prompts", "accuracy"), rows)
