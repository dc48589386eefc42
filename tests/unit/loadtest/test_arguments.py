"""The scenario's options, as texts of a command line or a web form."""

from argparse import Namespace
from pathlib import Path

import pytest
from locust.argument_parser import get_empty_argument_parser

from loadtest.arguments import add_arguments, folder_of, host_of, options_of
from modem.errors import ConfigError


def parsed(*arguments: str, host: str | None = None) -> Namespace:
    parser = get_empty_argument_parser(default_config_files=[])
    add_arguments(parser)
    found: Namespace = parser.parse_args(list(arguments))
    found.host = host
    return found


def test_without_any_it_is_the_steady_scenario_on_the_own_machine() -> None:
    options = options_of(parsed())
    assert options.scenario == "steady"
    assert (options.duration_s, options.rate_scale, options.seed, options.prompts) == (None, None, None, None)
    assert (options.trace, options.speed, options.sets) == (None, None, ())
    assert host_of(parsed()) == "http://127.0.0.1:8000"


def test_all_of_them() -> None:
    options = options_of(
        parsed(
            *("--scenario", "ramp", "--duration-s", "2.5", "--rate-scale", "3", "--seed", "7"),
            *("--prompts", "p", "--trace", "t", "--speed", "10", "--set", "a=1", "--set", "b=2"),
        )
    )
    assert (options.scenario, options.duration_s, options.rate_scale, options.seed) == ("ramp", 2.5, 3, 7)
    assert (options.prompts, options.trace, options.speed, options.sets) == ("p", "t", 10, ("a=1", "b=2"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--duration-s", "long"), "--duration-s 'long': not a number"),
        (("--seed", "1.5"), "--seed '1.5': not a whole number"),
        (("--speed", "x"), "--speed 'x': not a number"),
    ],
)
def test_a_text_that_is_no_number_is_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        options_of(parsed(*arguments))


def test_a_wrong_host_is_refused() -> None:
    with pytest.raises(ConfigError, match="leave out '/v1'"):
        host_of(parsed(host="http://host/v1"))


def test_each_run_has_a_folder_of_its_own() -> None:
    assert folder_of(parsed("--out", "here"), "ramp") == Path("here")
    found = folder_of(parsed(), "ramp")
    assert found.parent == Path("runs")
    assert found.name.startswith("ramp-20")


def test_the_web_form_has_them_too() -> None:
    parser = get_empty_argument_parser(default_config_files=[])
    add_arguments(parser)
    assert {"scenario", "duration_s", "rate_scale", "seed", "slo", "out"} <= set(
        parser.args_included_in_web_ui
    )
