"""``modem router calibrate``: the threshold and margins that cost the least, written into the config."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modem.cli.labelled import accepted_domains, hear_cases, read_cases
from modem.cli.progress import progress_bar
from modem.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from modem.config import GatewayConfig
    from modem.evaluation.tables import Table
    from modem.routing.costs import Costs, Judged, Outcome, Targets
    from modem.serve_config.load import Front

EXIT_CONFIG = 2
_COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
_REASON = "Chosen by `modem router calibrate`: the least expected cost on {} labelled requests."


def calibrate(
    config: Annotated[Path, typer.Option(help="The Serve config file: its router, domains and settings.")],
    data: Annotated[
        list[Path],
        typer.Option(
            help="JSONL of prompt (or messages) and domain, or a folder of them; may be repeated. "
            "Prompts that the router has not learnt, mixed as your traffic is."
        ),
    ],
    cost: Annotated[
        Path | None,
        typer.Option(help="YAML of wrong_specialist (1.0), needless_fallback (0.4) and pairs."),
    ] = None,
    target_accuracy: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least accuracy among prompts not doubted.")
    ] = None,
    target_cost: Annotated[float | None, typer.Option(min=0, help="Greatest mean cost.")] = None,
    target_fallback: Annotated[
        float | None, typer.Option(min=0, max=1, help="Greatest share that falls back for doubt.")
    ] = None,
    choose_switch_margin: Annotated[
        bool, typer.Option("--switch-margin", help="Choose switch_margin too; needs conversations.")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the settings into the config file.")] = False,
) -> None:
    """Choose threshold and margin (and switch_margin) by the expected cost of wrong decisions.

    Exit status: 0 done, 2 a file is wrong or no settings reach the targets.
    """
    from modem.routing.costs import Costs, Settings, Targets, read_costs

    targets = Targets(target_accuracy, target_cost, target_fallback)
    try:
        costs = read_costs(cost) if cost is not None else Costs()
        front, judged = _judge(config, data)
        before, after, sweep = _choose(judged, front.gateway, costs, targets, choose_switch_margin)
        _print(judged, after.settings.within(front.gateway), (before, after), sweep)
        if not write:
            typer.echo("nothing is written without --write")
        elif after.settings == Settings.of(front.gateway):
            typer.echo(f"{config} has these settings already")
        else:
            _write(config, before, after, len(judged))
            typer.echo(f"wrote {config}; the Gateway takes it over live with: serve deploy {config}")
    except ConfigError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_CONFIG) from None


def _judge(config: Path, data: Sequence[Path]) -> "tuple[Front, list[Judged]]":
    """Have the configured router score the data, added domains included."""
    from modem.routing.added import with_added
    from modem.routing.costs import Judged
    from modem.routing.load import load_router
    from modem.serve_config.load import load

    front = load(config).front
    cases = read_cases(data)
    router = with_added(load_router(front.args.router), front.gateway.added_domains())
    accepted = accepted_domains(cases, front.gateway, router)
    with progress_bar("scoring") as progress:
        (heard,) = hear_cases([router], cases, progress)
    return front, [Judged(one, right) for one, right in zip(heard, accepted, strict=True)]


def _choose(
    judged: "Sequence[Judged]",
    gateway: "GatewayConfig",
    costs: "Costs",
    targets: "Targets",
    with_switch_margin: bool,
) -> "tuple[Outcome, Outcome, tuple[Outcome, ...]]":
    """Return what is set now, the best, and the switch margins that were tried on conversations."""
    from modem.routing.costs import choose, outcome, switch_margins

    before = outcome(judged, gateway, costs)
    with progress_bar("trying settings") as progress:
        after = choose(judged, gateway, costs, targets, progress)
    if not any(one.heard.history for one in judged):
        if with_switch_margin:
            raise ConfigError(
                "--switch-margin needs conversations: lines with messages of several user turns"
            )
        return before, after, ()
    best, sweep = switch_margins(judged, after.settings.within(gateway), costs)
    if with_switch_margin:
        after = outcome(judged, best.settings.within(gateway), costs)
    return before, after, sweep


def _write(config: Path, before: "Outcome", after: "Outcome", num_judged: int) -> None:
    """Change the settings in the file, and nothing else.

    Raises:
        ConfigError: The file cannot be changed in place or written, or would be wrong.
    """
    from modem.serve_config.check import check_text
    from modem.serve_config.edit import set_numbers
    from modem.serve_config.load import load

    text = config.read_bytes().decode("utf-8")
    doc, _ = check_text(text, str(config))
    if doc is None:
        raise ConfigError(f"{config}: is no longer a Serve config file")
    names = [n for n in after.settings.__slots__ if _get(after, n) != _get(before, n)]
    numbers = {name: _get(after, name) for name in names}
    changed = set_numbers(text, (*doc.gateway_path, "routing"), numbers, _REASON.format(num_judged))
    try:
        config.write_bytes(changed.encode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{config}: cannot be written: {error.strerror}") from error
    load(config)


def _get(found: "Outcome", name: str) -> float:
    value: float = getattr(found.settings, name)
    return value


def _print(
    judged: "Sequence[Judged]",
    gateway: "GatewayConfig",
    outcomes: "tuple[Outcome, Outcome]",
    sweep: "Sequence[Outcome]",
) -> None:
    from rich.console import Console

    from modem.evaluation.tables import to_rich
    from modem.routing.calibration import NUM_BINS, calibration_error
    from modem.routing.costs import sure_of

    console = Console(highlight=False)
    console.print(to_rich(_settings_table(outcomes, len(judged))))
    sure, right = sure_of(judged, gateway)
    console.print(f"expected calibration error {calibration_error(sure, right):.3f}, {NUM_BINS} intervals")
    console.print(to_rich(_reliability_table(sure, right)))
    console.print(to_rich(_risk_table(sure, right)))
    if sweep:
        console.print(to_rich(_switch_table(sweep)))


def _settings_table(outcomes: "tuple[Outcome, Outcome]", num_judged: int) -> "Table":
    from modem.evaluation.tables import make_table, percent

    def column(name: str) -> list[str]:
        return [f"{_get(found, name):g}" for found in outcomes]

    before, after = outcomes
    rows = [[name, *column(name)] for name in before.settings.__slots__]
    rows.append(["mean cost", f"{before.cost:.4f}", f"{after.cost:.4f}"])
    for label, name in (
        ("right", "accuracy"),
        ("wrong specialist", "wrong_specialist"),
        ("needless fallback", "needless_fallback"),
        ("falls back for doubt", "doubted"),
        ("right where not in doubt", "answered_accuracy"),
    ):
        rows.append([label, percent(getattr(before, name)), percent(getattr(after, name))])
    return make_table(f"{num_judged} labelled requests", ("", "before", "after"), rows)


def _reliability_table(sure: "NDArray[np.float64]", right: "NDArray[np.bool_]") -> "Table":
    from modem.evaluation.tables import make_table
    from modem.routing.calibration import bins

    rows = [
        (f"{row.confidence:.3f}", f"{row.accuracy:.3f}", str(row.num_prompts)) for row in bins(sure, right)
    ]
    return make_table("reliability", ("confidence", "right", "prompts"), rows)


def _risk_table(sure: "NDArray[np.float64]", right: "NDArray[np.bool_]") -> "Table":
    """Return the share of mistakes if only the most confident choices were taken."""
    import numpy as np

    from modem.evaluation.tables import make_table, percent

    rows = []
    for coverage in _COVERAGES:
        threshold = float(np.quantile(sure, 1 - coverage, method="lower"))
        kept = sure >= threshold
        rows.append((percent(float(kept.mean())), f"{threshold:.3f}", percent(1 - float(right[kept].mean()))))
    return make_table("risk against coverage", ("coverage", "confidence", "risk"), rows)


def _switch_table(sweep: "Sequence[Outcome]") -> "Table":
    from modem.evaluation.tables import make_table, percent

    rows = [
        (f"{_get(found, 'switch_margin'):g}", f"{found.cost:.4f}", percent(found.accuracy)) for found in sweep
    ]
    return make_table("conversations, by switch_margin", ("switch_margin", "mean cost", "right"), rows)
