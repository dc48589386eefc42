"""Whether there is something to test, before anything is sent."""

import urllib.error
import urllib.request
from http.client import HTTPException

from modem.errors import ConfigError
from modem.load.address import Address
from modem.load.cluster import model_ids
from modem.load.planned import AUTO
from modem.load.scenario import Scenario
from modem.traces.mix import parse_mix

TIMEOUT_S = 10.0
# The load does not go through a proxy either.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def check_server(address: Address, scenario: Scenario, timeout_s: float = TIMEOUT_S) -> None:
    """Ask the server for its models.

    Raises:
        ConfigError: There is none, it is none of the OpenAI API, or it lacks a model that the scenario asks.
    """
    url = f"{address}/v1/models"
    status, kind, body = _get(url, timeout_s)
    try:
        if status != 200:
            raise ValueError
        models = model_ids(body)
    except ValueError:
        what = f"{status}, {kind or 'without a type'}"
        raise ConfigError(
            f"--host {address}: GET {url} is no list of models ({what}); is it modem?"
        ) from None
    wanted = [AUTO]
    if scenario.pinned:
        wanted = list(parse_mix(scenario.mix).domains) if scenario.mix else []
    for model in wanted:
        if model not in models:
            raise ConfigError(_lacks(address, model, models, scenario.pinned))


def _get(url: str, timeout_s: float) -> tuple[int, str, bytes]:
    try:
        with _OPENER.open(url, timeout=timeout_s) as reply:
            return reply.status, reply.headers.get_content_type(), reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get_content_type(), error.read()
    except urllib.error.URLError as error:
        raise ConfigError(f"no server at {url}: {_reason(error.reason)}; start it with: modem up") from error
    except (OSError, HTTPException) as error:
        raise ConfigError(f"no HTTP server at {url}: {_reason(error)}") from error


def _reason(error: object) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _lacks(address: Address, model: str, models: list[str], pinned: bool) -> str:
    hint = "choose a mix of these" if pinned else "for a server without a router: --set pinned=true"
    return f"--host {address}: serves no model {model!r} but {', '.join(models) or 'none'}; {hint}"
