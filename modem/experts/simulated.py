"""A deterministic engine with the timing of a real one: for load, chaos and autoscaling tests.

The same prompt gives the same text in any process. One word is one token. Time passes through
an injected ``sleep``, so tests can count it instead of waiting.
"""

import asyncio
import functools
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from modem.autoscaling.stats import ReplicaStats
from modem.config import SimulatedExpertConfig
from modem.errors import ExpertFailedError, RequestError
from modem.experts.metering import EngineMeter
from modem.openai.request import Endpoint, check_messages, check_prompt
from modem.openai.sse import DONE

Sleep = Callable[[float], Awaitable[None]]
FinishReason = Literal["stop", "length"]
_WORDS = tuple(
    "the a one this that each some any field value system result answer question reason cause "  # noqa: SIM905
    "effect state change rule case part whole sum rate mean bound limit proof test model data "
    "code cell gene drug dose heart force mass light wave city river book song market law".split()
)
_HERE = "\0"
"""Stands for a token in an event that is made once. What a client sends stands before it."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What one accepted request will produce.

    Attributes:
        id: Response id.
        prompt_tokens: Words in the prompt.
        tokens: The answer, token by token.
        finish_reason: ``length`` if ``max_tokens`` cut it.
        chat: Whether the reply has the chat shape.
        include_usage: Whether a stream ends with a usage chunk.
    """

    id: str
    prompt_tokens: int
    tokens: tuple[str, ...]
    finish_reason: FinishReason
    chat: bool
    include_usage: bool

    @property
    def usage(self) -> dict[str, int]:
        """OpenAI's usage object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": len(self.tokens),
            "total_tokens": self.prompt_tokens + len(self.tokens),
        }


class SimulatedEngine:
    """Plans answers and produces them in time.

    Args:
        config: Timing, length, failures.
        sleep: Waits so many seconds.
        clock: Seconds since the epoch, for the ``created`` field.
        timer: Seconds since whenever; measures what `stats` tells.
    """

    def __init__(
        self,
        config: SimulatedExpertConfig,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.num_running = 0
        self.num_waiting = 0
        self.num_generated_tokens = 0
        self._slots = asyncio.Semaphore(config.max_num_seqs)
        self._sleep = sleep
        self._clock = clock
        self._meter = EngineMeter(timer)

    def plan(self, endpoint: Endpoint, body: Mapping[str, Any], request_id: str) -> Generation:
        """Check a request and plan its answer.

        Raises:
            RequestError: What a real engine would refuse: a wrong model, a prompt beyond the
                context, a wrong type.
            ExpertFailedError: This prompt is one of the share that fails.
        """
        if body.get("model") != self.config.model_id:
            error = RequestError(f"The model `{body.get('model')}` does not exist.", "model")
            error.status = 404
            raise error
        prompt = _prompt(endpoint, body)
        num_prompt, num_output = len(prompt.split()), self._num_output_tokens(body)
        if num_prompt >= self.config.max_model_len:
            raise RequestError(
                f"This model's maximum context length is {self.config.max_model_len} tokens. However, "
                f"your request has {num_prompt} input tokens. Please reduce the length of the input.",
                "messages" if endpoint == "chat/completions" else "prompt",
            )
        num_output = min(num_output, self.config.max_model_len - num_prompt)
        digest = hashlib.sha256(f"{self.config.model_id}\n{prompt}".encode("utf-8", "replace")).digest()
        if int.from_bytes(digest[:4]) / 2**32 < self.config.failure_rate:
            raise ExpertFailedError("simulated failure")
        cut = num_output < self.config.output_tokens
        options = body.get("stream_options") or {}
        return Generation(
            id=request_id,
            prompt_tokens=num_prompt,
            tokens=_words(digest, num_output),
            finish_reason="length" if cut else "stop",
            chat=endpoint == "chat/completions",
            include_usage=bool(isinstance(options, Mapping) and options.get("include_usage")),
        )

    async def tokens(self, generation: Generation) -> AsyncIterator[str]:
        """Yield the tokens when they are due: the first after TTFT, each further one after TPOT."""
        answer = self._meter.arrived(generation.prompt_tokens)
        try:
            async with self._place():
                answer.started()
                for index, token in enumerate(generation.tokens):
                    await self._sleep(self.config.tpot_s if index else self.config.ttft_s)
                    answer.produced()
                    self.num_generated_tokens += 1
                    yield token
        finally:
            answer.gone()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Hold a place in the batch, after waiting for one."""
        self.num_waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.num_waiting -= 1
        self.num_running += 1
        try:
            yield
        finally:
            self.num_running -= 1
            self._slots.release()

    def stats(self, startup_s: float = 0.0) -> ReplicaStats:
        """Return load and capacity, as a replica publishes them.

        The batch is the only limit of this engine: its KV cache holds the longest request in every place.

        Args:
            startup_s: What the replica around it took to start.
        """
        meter = self._meter
        return ReplicaStats(
            running_requests=self.num_running,
            waiting_requests=self.num_waiting,
            prefill_tokens=meter.prefill_tokens,
            context_tokens=meter.context_tokens,
            kv_capacity_tokens=self.config.max_num_seqs * self.config.max_model_len,
            max_running_requests=self.config.max_num_seqs,
            prefill_tokens_per_s=meter.reads.tokens_per_s,
            decode_step_s=self.config.tpot_s,
            ttft_s=meter.ttft_s,
            itl_s=meter.itl_s,
            startup_s=startup_s,
        )

    async def events(self, generation: Generation) -> AsyncIterator[bytes]:
        """Yield the server-sent events of a streamed answer, as vLLM writes them."""
        role = {"role": "assistant", "content": ""} if generation.chat else None
        before, behind = self._around_token(generation)
        tokens = self.tokens(generation)
        try:
            async for token in tokens:
                if role:  # an engine sends it with its first output, not on acceptance
                    yield self._event(generation, [_choice(generation, delta=role)])
                    role = None
                yield before + _quoted(token) + behind
        finally:
            await tokens.aclose()  # type: ignore[attr-defined]
        yield self._event(
            generation, [_choice(generation, delta={}, text="", finish_reason=generation.finish_reason)]
        )
        if generation.include_usage:
            yield self._event(generation, [], usage=generation.usage)
        yield DONE

    def _around_token(self, generation: Generation) -> tuple[bytes, bytes]:
        """Return what stands before and behind a token in its event: the token is all that differs."""
        event = self._event(generation, [_choice(generation, delta={"content": _HERE}, text=_HERE)])
        before, _, behind = event.rpartition(json.dumps(_HERE).encode())
        return before, behind

    async def complete(self, generation: Generation) -> bytes:
        """Return the whole answer as one JSON object."""
        text = "".join([token async for token in self.tokens(generation)])
        choice = _choice(generation, text=text, finish_reason=generation.finish_reason)
        if generation.chat:
            choice["message"] = {"role": "assistant", "content": text}
        reply = self._head(generation, "chat.completion" if generation.chat else "text_completion")
        return json.dumps({**reply, "choices": [choice], "usage": generation.usage}).encode()

    def _num_output_tokens(self, body: Mapping[str, Any]) -> int:
        for name in ("max_completion_tokens", "max_tokens"):
            limit = body.get(name)
            if limit is None:
                continue
            if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
                raise RequestError(f"{name} must be at least 1, got {limit!r}.", name)
            return min(limit, self.config.output_tokens)
        return self.config.output_tokens

    def _head(self, generation: Generation, kind: str) -> dict[str, Any]:
        created = int(self._clock())
        return {"id": generation.id, "object": kind, "created": created, "model": self.config.model_id}

    def _event(
        self, generation: Generation, choices: list[dict[str, Any]], usage: Mapping[str, int] | None = None
    ) -> bytes:
        head = self._head(generation, "chat.completion.chunk" if generation.chat else "text_completion")
        event = {**head, "choices": choices} | ({"usage": usage} if usage else {})
        return b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


def _choice(
    generation: Generation,
    delta: Mapping[str, str] | None = None,
    text: str | None = None,
    finish_reason: FinishReason | None = None,
) -> dict[str, Any]:
    content = {"delta": delta} if generation.chat and delta is not None else {}
    if not generation.chat:
        content = {"text": text}  # type: ignore[dict-item]
    return {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}


def _prompt(endpoint: Endpoint, body: Mapping[str, Any]) -> str:
    if endpoint == "chat/completions":
        check_messages(body.get("messages"))
        return "\n".join(f"{m['role']}: {m.get('content')}" for m in body["messages"])
    prompt = body.get("prompt")
    check_prompt(prompt)
    return prompt if isinstance(prompt, str) else " ".join(map(str, prompt))  # type: ignore[arg-type]


@functools.cache
def _quoted(token: str) -> bytes:
    return json.dumps(token).encode()


def _words(digest: bytes, num: int) -> tuple[str, ...]:
    """Draw an answer; a shorter one is the beginning of a longer one."""
    drawn = b"".join(hashlib.sha256(digest + index.to_bytes(4)).digest() for index in range(-(-num // 32)))
    words = [_WORDS[byte % len(_WORDS)] for byte in drawn[:num]]
    return tuple(word if index == 0 else f" {word}" for index, word in enumerate(words))
