"""``modem load list``: the scenarios that come with the load tester."""

from modem.cli.router import fail
from modem.errors import ConfigError


def list_command() -> None:
    """List the scenarios, with what they send."""
    from modem.cli.router_eval import show
    from modem.evaluation.tables import make_table
    from modem.load.scenarios import read_scenario, scenario_names

    try:
        scenarios = [read_scenario(name) for name in scenario_names()]
    except ConfigError as error:
        fail(error)
    rows = [(found.name, found.loop, _lasts(found.duration_s), found.description) for found in scenarios]
    show([make_table("", ("scenario", "loop", "lasts", "what it is"), rows)])


def _lasts(duration_s: float | None) -> str:
    return "as its trace" if duration_s is None else f"{duration_s:g} s"
