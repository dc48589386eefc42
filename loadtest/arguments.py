"""The scenario's options among locust's own, on the command line and in the web form."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from locust.argument_parser import LocustArgumentParser

from modem.errors import ConfigError
from modem.load.address import parse_address
from modem.load.folder import default_folder
from modem.load.options import Options

DEFAULT_HOST = "http://127.0.0.1:8000"
DEFAULT_SCENARIO = "steady"


def add_arguments(parser: LocustArgumentParser) -> None:
    """Add them. All are texts, since the web form knows nothing else; an empty one is none."""
    for name, default, text in (
        ("--scenario", DEFAULT_SCENARIO, "Name of a scenario, or a YAML file"),
        ("--out", "", "Folder for the run; runs/<scenario>-<time> by default"),
        ("--duration-s", "", "How long requests are sent, instead of the scenario's"),
        ("--rate-scale", "", "Factor on its rate or its users"),
        ("--seed", "", "Of all that is drawn"),
        ("--prompts", "", "JSONL file of prompts, or a folder of them"),
        ("--trace", "", "Trace to replay"),
        ("--speed", "", "How many times as fast as it was recorded"),
        ("--slo", "", "Targets that set the exit code, such as ttft_p99<2s,error_rate<0.1%%"),
    ):
        parser.add_argument(name, type=str, default=default, help=text)
    hidden: dict[str, Any] = {"action": "append", "default": [], "include_in_web_ui": False}
    parser.add_argument("--set", **hidden, metavar="KEY=VALUE", help="Any other key of it; repeatable")
    parser.add_argument(
        "--metrics-url", **hidden, metavar="URL", help="Prometheus page with queues per expert; repeatable"
    )
    parser.add_argument(
        "--no-report",
        action="store_true",
        default=False,
        include_in_web_ui=False,
        help="Write no report; modem load report does it later",
    )


def options_of(parsed: Namespace) -> Options:
    """Return the changes to a scenario.

    Raises:
        ConfigError: A number is none.
    """
    return Options(
        scenario=parsed.scenario or DEFAULT_SCENARIO,
        duration_s=_number("--duration-s", parsed.duration_s),
        rate_scale=_number("--rate-scale", parsed.rate_scale),
        seed=_whole("--seed", parsed.seed),
        prompts=parsed.prompts or None,
        trace=parsed.trace or None,
        speed=_number("--speed", parsed.speed),
        sets=tuple(parsed.set),
    )


def host_of(parsed: Namespace) -> str:
    """Return the tested server's base URL.

    Raises:
        ConfigError: It is none.
    """
    return str(parse_address(parsed.host or DEFAULT_HOST))


def folder_of(parsed: Namespace, scenario: str) -> Path:
    """Return where to write, by default a folder of its own for each run."""
    return Path(parsed.out) if parsed.out else default_folder(scenario)


def _number(name: str, text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise ConfigError(f"{name} {text!r}: not a number") from None


def _whole(name: str, text: str) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        raise ConfigError(f"{name} {text!r}: not a whole number") from None
