"""Server-sent events, as far as a gateway that passes bytes through needs them."""

import json

from modem.errors import ServingError
from modem.openai.errors import from_engine, to_response

CONTENT_TYPE = "text/event-stream"
DONE = b"data: [DONE]\n\n"
_ERROR_START = b'data: {"error"'


def comment(text: str) -> bytes:
    """Return a comment, which clients ignore and which keeps connections open."""
    return f": {text}\n\n".encode()


def error_event(error: Exception) -> bytes:
    """Return the event that ends a stream with an error."""
    return b"data: " + to_response(error).body + b"\n\n"


def engine_error(chunk: bytes, retry_after_s: float) -> ServingError | None:
    """Return the error that an engine wrote into its stream in place of data, if ``chunk`` is one."""
    if not chunk.startswith(_ERROR_START):
        return None
    payload = chunk[len(b"data: ") :].split(b"\n", 1)[0]
    try:
        code = json.loads(payload)["error"].get("code")
    except (ValueError, AttributeError, KeyError, TypeError):
        code = None
    return from_engine(code if isinstance(code, int) and code >= 400 else 500, payload, retry_after_s)
