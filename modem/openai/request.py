"""The little that modem reads of an OpenAI request; all else passes through to the engine.

The engine validates the rest itself. What is checked here is what routing needs, and what
would otherwise come back as an error that does not say how to mend it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from modem.config import RESERVED_MODELS, DomainConfig, GatewayConfig
from modem.errors import RequestError, UnknownModelError
from modem.routing.text import RoutingText, plain_routing_text, routing_text

Endpoint = Literal["chat/completions", "completions"]
PIN_PREFIX = "modem/"


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One parsed request.

    Attributes:
        endpoint: Path below ``/v1/``.
        body: The client's JSON object, untouched.
        pinned: The domain the client named, or None if the router is to choose.
        stream: Whether the answer is a stream of server-sent events.
    """

    endpoint: Endpoint
    body: Mapping[str, Any]
    pinned: str | None
    stream: bool

    def routing_text(self) -> RoutingText:
        """Return what the router classifies."""
        if self.endpoint == "chat/completions":
            return routing_text(self.body["messages"])
        return plain_routing_text(_prompt_text(self.body["prompt"]))


def parse_object(raw: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        RequestError: The bytes are not JSON, or not an object.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        where = (
            f" at line {error.lineno}, column {error.colno}"
            if isinstance(error, json.JSONDecodeError)
            else ""
        )
        raise RequestError(
            f"The body is not valid JSON{where}. Send a JSON object with content-type application/json.",
            None,
            "invalid_json",
        ) from None
    if not isinstance(body, dict):
        raise RequestError(f"The body must be a JSON object, not {_kind(body)}.", None, "invalid_type")
    return body


def parse_completion(raw: bytes, endpoint: Endpoint, config: GatewayConfig) -> CompletionRequest:
    """Parse and check a request to ``/v1/chat/completions`` or ``/v1/completions``.

    Raises:
        RequestError: Malformed JSON, wrong types, empty messages.
        UnknownModelError: The model is not served; the message lists those that are.
    """
    body = parse_object(raw)
    stream = body.get("stream")
    if not isinstance(stream, bool | None):
        raise RequestError(f"'stream' must be true or false, not {_kind(stream)}.", "stream", "invalid_type")
    if endpoint == "chat/completions":
        check_messages(body.get("messages"))
    else:
        check_prompt(body.get("prompt"))
    return CompletionRequest(endpoint, body, pinned_domain(body.get("model"), config), bool(stream))


def pinned_domain(model: Any, config: GatewayConfig) -> str | None:
    """Return the domain that a ``model`` field names, or None for "let the router choose".

    Raises:
        RequestError: The field is not a string.
        UnknownModelError: No such model.
    """
    if model is None:
        return None
    if not isinstance(model, str):
        raise RequestError(f"'model' must be a string, not {_kind(model)}.", "model", "invalid_type")
    domain = model.removeprefix(PIN_PREFIX)
    if domain in RESERVED_MODELS:
        return None
    if domain in config.domains:
        return domain
    known = ", ".join(["auto", *config.domains])
    raise UnknownModelError(
        f"The model {model[:100]!r} does not exist. Available: {known}. "
        "Use 'auto' to let the router choose, or a domain's name to pin its expert.",
        "model",
    )


def check_messages(messages: Any) -> None:
    """Check that ``messages`` is a non-empty list of objects with a role.

    Raises:
        RequestError: It is not.
    """
    if messages is None:
        raise RequestError(
            '\'messages\' is missing. Send a list such as [{"role": "user", "content": "Hello"}].',
            "messages",
            "missing_field",
        )
    if not isinstance(messages, list):
        raise RequestError(f"'messages' must be a list, not {_kind(messages)}.", "messages", "invalid_type")
    if not messages:
        raise RequestError("'messages' is empty. Send at least one message.", "messages", "empty_array")
    for index, message in enumerate(messages):
        _check_message(message, f"messages[{index}]")


def _check_message(message: Any, name: str) -> None:
    if not isinstance(message, dict):
        raise RequestError(f"'{name}' must be an object, not {_kind(message)}.", name, "invalid_type")
    if not isinstance(message.get("role"), str):
        raise RequestError(f"'{name}.role' must be a string such as 'user'.", f"{name}.role", "invalid_type")
    content = message.get("content")
    if not isinstance(content, str | list | None):
        raise RequestError(
            f"'{name}.content' must be a string or a list of parts, not {_kind(content)}.",
            f"{name}.content",
            "invalid_type",
        )


def check_prompt(prompt: Any) -> None:
    """Check that ``prompt`` is a string or a list, and not empty.

    Raises:
        RequestError: It is not.
    """
    if prompt is None:
        raise RequestError("'prompt' is missing. Send a string.", "prompt", "missing_field")
    if not isinstance(prompt, str | list):
        raise RequestError(
            f"'prompt' must be a string or a list, not {_kind(prompt)}.", "prompt", "invalid_type"
        )
    if not prompt:
        raise RequestError("'prompt' is empty.", "prompt", "empty_string")


def body_for(request: CompletionRequest, domain: str, config: DomainConfig) -> bytes:
    """Write the request for one expert: its name, and its defaults where the client set none.

    The system prompt goes first in a chat unless the client sends a system or developer message.
    A client's explicit null counts as its own choice.

    Raises:
        RequestError: The body is nested too deeply to be written.
    """
    body = {**config.sampling.model_dump(exclude_none=True), **request.body, "model": domain}
    if "max_completion_tokens" in request.body and "max_tokens" not in request.body:
        # The two names mean the same; the client's must not meet our default of the other.
        body.pop("max_tokens", None)
    if config.system_prompt and request.endpoint == "chat/completions":
        messages = cast(Sequence[Mapping[str, Any]], request.body["messages"])
        if not any(message["role"] in ("system", "developer") for message in messages):
            body["messages"] = [{"role": "system", "content": config.system_prompt}, *messages]
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:  # what could just be read may be too deep to write further down the stack
        raise RequestError("The body is nested too deeply.", None, "invalid_json") from None
    return text.encode("utf-8", "replace")


def _prompt_text(prompt: str | list[Any]) -> str:
    if isinstance(prompt, str):
        return prompt
    # Token ids cannot be read without the expert's tokenizer: such prompts have no text.
    return "\n".join(part for part in prompt if isinstance(part, str))


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    return names[type(value)]
