"""Errors on the wire: one table from the error tree to HTTP, and from an engine's reply to the tree."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modem.errors import ExpertFailedError, InternalError, OverloadedError, RequestError, ServingError

_VALIDATION = re.compile(r"^\d+ validation errors?:\s*\{.*?'loc': '([^']*)', 'msg': (['\"])(.*?)\2", re.S)
_CONTEXT_LENGTH = re.compile(r"maximum (context|model) length|max_model_len|longer than the maximum", re.I)
_NOT_FIELDS = (None, "input_tokens", "input_text")
"""What vLLM calls the prompt's field; no request has fields of these names."""


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """An HTTP error response in OpenAI's shape."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def to_body(error: ServingError) -> dict[str, Any]:
    """Return OpenAI's error object."""
    return {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
        }
    }


def to_response(error: Exception) -> ErrorResponse:
    """Map any exception to its HTTP response; what is not ours becomes a bare 500."""
    if not isinstance(error, ServingError):
        error = InternalError("Internal error. The request id in x-request-id finds it in the logs.")
    headers = {"content-type": "application/json"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
    return ErrorResponse(error.status, json.dumps(to_body(error)).encode(), headers)


def from_engine(
    status: int, body: bytes, retry_after_s: float, prompt_field: str = "messages"
) -> ServingError:
    """Turn an engine's error reply into ours.

    vLLM's 4xx messages are for the client and are kept; the type and code become OpenAI's.
    A 5xx message may carry internals and is dropped.

    Args:
        status: HTTP status, 400 or above.
        body: The reply.
        retry_after_s: What to advise on overload.
        prompt_field: The request's field that holds the prompt.
    """
    message, param = _engine_message(body)
    if status in (429, 503):
        return OverloadedError(
            "Too many requests wait for this expert. Retry later.", None, None, retry_after_s
        )
    if status >= 500:
        return ExpertFailedError("The expert failed while answering. Retry, or name another model.")
    if _CONTEXT_LENGTH.search(message):
        field = prompt_field if param in _NOT_FIELDS else param
        return RequestError(message, field, "context_length_exceeded")
    error = RequestError(message or "The expert refused the request.", param)
    error.status = status
    return error


def _engine_message(body: bytes) -> tuple[str, str | None]:
    try:
        error = json.loads(body)
        error = error.get("error", error)
        message, param = error.get("message"), error.get("param")
    except (ValueError, AttributeError):
        return "", None
    message = message if isinstance(message, str) else ""
    if found := _VALIDATION.match(message):
        # vLLM lists pydantic's errors as Python dicts; the first says what a client needs.
        param = found[1].removeprefix("body.")
        message = f"'{param}': {found[3]}."
    return message, (param if isinstance(param, str) else None)
