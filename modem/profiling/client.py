"""Streams answers from a running expert and notes when each piece arrived.

The expert may be a replica's own port or a gateway in front of it; whatever speaks OpenAI's chat
completions will do.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from modem.errors import ConfigError

_NAMED = 200
"""Characters of a server's own message that are passed on."""


class RefusedError(Exception):
    """The server refused one request: it was too long, or too many wait."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One streamed answer; times are seconds on the client's clock.

    Attributes:
        prompt_tokens: Tokens of the prompt, as the server counts them.
        num_tokens: Tokens of the answer, as the server counts them.
        sent_s: When the request was sent.
        chunk_s: When each piece of text arrived; at least one.
    """

    prompt_tokens: int
    num_tokens: int
    sent_s: float
    chunk_s: tuple[float, ...]

    @property
    def ttft_s(self) -> float:
        """Seconds to the first token."""
        return self.chunk_s[0] - self.sent_s


class ExpertClient:
    """Asks one model.

    Args:
        session: Open, without a limit of connections.
        url: Of the server, without ``/v1``.
        model: The name it answers under.
        clock: Seconds.
    """

    def __init__(
        self, session: aiohttp.ClientSession, url: str, model: str, clock: Callable[[], float]
    ) -> None:
        self.url = url.rstrip("/")
        self.model = model
        self._session = session
        self._clock = clock

    async def ask(self, prompt: str, num_tokens: int) -> Answer:
        """Stream one answer of so many tokens.

        Raises:
            RefusedError: The prompt is too long, or too many requests wait.
            ConfigError: Anything else went wrong; the message says what to mend.
        """
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": num_tokens,
            # vLLM's: go on to max_tokens, and with tokens that have a text, whatever the model would say.
            "ignore_eos": True,
            "min_tokens": num_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        url = f"{self.url}/v1/chat/completions"
        async with _named(url):
            sent_s = self._clock()
            async with self._session.post(url, json=body) as reply:
                if reply.status != 200 or reply.content_type != "text/event-stream":
                    raise _refusal(url, reply.status, reply.content_type, await reply.text(errors="replace"))
                return await self._read(url, reply, sent_s)

    async def metrics(self) -> str:
        """Return the server's Prometheus text; empty if it has none."""
        url = f"{self.url}/metrics"
        async with _named(url), self._session.get(url) as reply:
            text = await reply.text(errors="replace")
            return text if reply.status == 200 and reply.content_type != "text/html" else ""

    async def _read(self, url: str, reply: aiohttp.ClientResponse, sent_s: float) -> Answer:
        chunk_s: list[float] = []
        last_s: float | None = None
        usage: dict[str, Any] = {}
        async for event in _events(url, reply):
            if "error" in event:
                raise ConfigError(f"{url}: broke off its answer: {_message(event)}")
            usage = event.get("usage") or usage
            for choice in event.get("choices", ())[:1]:
                if _has_token(choice):
                    chunk_s.append(self._clock())
                elif choice.get("finish_reason"):
                    last_s = self._clock()
        if not chunk_s and last_s is not None:  # a single token without a text comes with the end
            chunk_s.append(last_s)
        if not chunk_s:
            raise ConfigError(f"{url}: the answer of {self.model!r} has no tokens")
        if "prompt_tokens" not in usage:
            raise ConfigError(
                f"{url}: does not say how many tokens a prompt has (stream_options.include_usage)"
            )
        return Answer(int(usage["prompt_tokens"]), int(usage["completion_tokens"]), sent_s, tuple(chunk_s))


async def served_models(session: aiohttp.ClientSession, url: str) -> list[str]:
    """Return the models that a server lists, a gateway's ``auto`` left out; empty if it has no list.

    Raises:
        ConfigError: Nothing answers there.
    """
    where = f"{url.rstrip('/')}/v1/models"
    async with _named(where), session.get(where) as reply:
        text = await reply.text(errors="replace")
        try:
            return [card["id"] for card in json.loads(text)["data"] if card["id"] != "auto"]
        except (ValueError, KeyError, TypeError):
            return []


@asynccontextmanager
async def _named(url: str) -> AsyncIterator[None]:
    """Say in the project's terms what went wrong on the way to a server."""
    try:
        yield
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise ConfigError(f"{url}: not a URL; write http://HOST:PORT") from None
    except aiohttp.ClientConnectorError as error:
        raise ConfigError(
            f"{url}: nothing answers there ({error.os_error or error}); is it running?"
        ) from None
    except TimeoutError:
        raise ConfigError(f"{url}: no answer in time; raise --timeout-s") from None
    except (aiohttp.ClientError, asyncio.IncompleteReadError) as error:
        raise ConfigError(f"{url}: the connection broke: {str(error) or type(error).__name__}") from None


async def _events(url: str, reply: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Yield the JSON objects of a stream of server-sent events."""
    async for line in reply.content:
        if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
            continue
        try:
            event = json.loads(line[len(b"data: ") :])
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise ConfigError(
                f"{url}: not an OpenAI stream: {line[:_NAMED].decode(errors='replace').strip()}"
            )
        yield event


def _has_token(choice: dict[str, Any]) -> bool:
    """Say whether an event's choice carries a token; special tokens have no text of their own."""
    delta = choice.get("delta") or {}
    return bool(delta.get("content")) or ("role" not in delta and not choice.get("finish_reason"))


def _refusal(url: str, status: int, content_type: str, text: str) -> Exception:
    """Return the error for a reply that is no stream."""
    if content_type == "text/html":
        return ConfigError(f"{url}: a web page (status {status}), not an OpenAI API; is this the right port?")
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    said = _message(body) if isinstance(body, dict) else text.strip()[:_NAMED]
    if status == 404 and not (isinstance(body, dict) and body.keys() & {"error", "message"}):
        return ConfigError(f"{url}: no such route; give the URL without /v1 and what follows")
    if status in (400, 429, 503):
        return RefusedError(said or f"status {status}")
    if status == 200:
        return ConfigError(f"{url}: answers with {content_type or 'nothing'}, not with a stream of events")
    return ConfigError(f"{url}: status {status}: {said or 'no message'}")


def _message(body: dict[str, Any]) -> str:
    """Return the message in an OpenAI error, in vLLM's old shape, or in nobody's."""
    error = body.get("error", body)
    said = error.get("message") if isinstance(error, dict) else error
    return str(said or body)[:_NAMED]
