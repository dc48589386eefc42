"""How a request of a load test ended. Only ``ok`` has latencies; all else is a failure of its class."""

from collections.abc import Mapping
from typing import Literal, get_args

Outcome = Literal[
    "ok",
    "rate_limited",
    "unavailable",
    "timeout",
    "aborted",
    "broken_stream",
    "no_connection",
    "client_error",
    "server_error",
    "bad_answer",
]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
FAILURES: tuple[Outcome, ...] = OUTCOMES[1:]
MEANINGS: Mapping[Outcome, str] = {
    "ok": "answered to the end",
    "rate_limited": "429: too many requests wait",
    "unavailable": "503: the expert is not up",
    "timeout": "no end within the scenario's timeout_s",
    "aborted": "cancelled by the client, because the run was over",
    "broken_stream": "the answer began and broke off, or ended with an error event",
    "no_connection": "no connection, or it was closed before an answer began",
    "client_error": "another 4xx: the request was wrong",
    "server_error": "another 5xx: the server broke",
    "bad_answer": "200, but no chat completion: HTML, no JSON, no event stream",
}


def outcome_of_status(status: int) -> Outcome:
    """Return the class of an HTTP status; ``ok`` only means that the body decides."""
    if status == 200:
        return "ok"
    if status == 429:
        return "rate_limited"
    if status == 503:
        return "unavailable"
    if 400 <= status < 500:
        return "client_error"
    if status >= 500:
        return "server_error"
    return "bad_answer"  # a redirect, 204 and the like: nobody who serves the API sends them
