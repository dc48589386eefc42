import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.config import SimulatedExpertConfig
from modem.errors import ExpertFailedError, RequestError, ServingError
from modem.experts.simulated import Generation, SimulatedEngine
from modem.openai.request import Endpoint
from modem.openai.sse import DONE

CHAT: Endpoint = "chat/completions"
TEXT: Endpoint = "completions"
TEXT_OF_TWO_AND_TWO = "whole wave reason model cell test"


class Time:
    """A sleep that only counts."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


class Gate:
    """A sleep that ends when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def sleep(self, _: float) -> None:
        await self.open.wait()


def engine(sleep: Callable[[float], Awaitable[None]] | None = None, **config: Any) -> SimulatedEngine:
    settings = SimulatedExpertConfig.model_validate({"model_id": "math", **config})
    return SimulatedEngine(settings, sleep or Time().sleep, clock=lambda: 1234.5)


def chat(text: str = "one two three", **fields: Any) -> dict[str, Any]:
    return {"model": "math", "messages": [{"role": "user", "content": text}], **fields}


def prompt(text: Any = "one two three", **fields: Any) -> dict[str, Any]:
    return {"model": "math", "prompt": text, **fields}


def plan(body: dict[str, Any], endpoint: Endpoint = CHAT, **config: Any) -> Generation:
    return engine(**config).plan(endpoint, body, "id-1")


async def stream(found: SimulatedEngine, body: dict[str, Any], endpoint: Endpoint = CHAT) -> list[Any]:
    """All events of an answer, the end mark checked and left out."""
    raw = [event async for event in found.events(found.plan(endpoint, body, "id-1"))]
    assert raw[-1] == DONE
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in raw)
    return [json.loads(event.removeprefix(b"data: ")) for event in raw[:-1]]


async def whole(found: SimulatedEngine, body: dict[str, Any], endpoint: Endpoint = CHAT) -> Any:
    return json.loads(await found.complete(found.plan(endpoint, body, "id-1")))


class TestText:
    def test_the_same_prompt_gives_the_same_text_in_any_instance(self) -> None:
        assert plan(chat()).tokens == plan(chat()).tokens
        assert plan(prompt(), TEXT).tokens == plan(prompt(), TEXT).tokens

    def test_it_is_the_same_in_any_process(self) -> None:
        # Pinned: a hash that changes with the process would make two replicas disagree.
        assert "".join(plan(chat("What is 2+2?"), output_tokens=6).tokens) == TEXT_OF_TWO_AND_TWO

    def test_another_prompt_or_expert_gives_another_text(self) -> None:
        texts = {plan(chat(f"prompt {i}")).tokens for i in range(20)}
        assert len(texts) == 20
        other = engine(model_id="health").plan(CHAT, {**chat(), "model": "health"}, "id-1")
        assert other.tokens != plan(chat()).tokens

    def test_fewer_tokens_are_the_beginning_of_more(self) -> None:
        assert plan(chat(max_tokens=5)).tokens == plan(chat()).tokens[:5]

    def test_one_word_is_one_token(self) -> None:
        generation = plan(prompt("one two  three\nfour"), TEXT)
        assert generation.prompt_tokens == 4
        assert len("".join(generation.tokens).split()) == len(generation.tokens) == 32


class TestLength:
    @pytest.mark.parametrize(
        ("fields", "num_tokens", "finish_reason"),
        [
            ({}, 32, "stop"),
            ({"max_tokens": 5}, 5, "length"),
            ({"max_tokens": 1}, 1, "length"),
            ({"max_tokens": 32}, 32, "stop"),
            ({"max_tokens": 1000}, 32, "stop"),
            ({"max_tokens": None}, 32, "stop"),
            ({"max_completion_tokens": 4}, 4, "length"),
            ({"max_completion_tokens": 4, "max_tokens": 9}, 4, "length"),
            ({"max_completion_tokens": None, "max_tokens": 9}, 9, "length"),
        ],
    )
    def test_the_answer_has(self, fields: dict[str, Any], num_tokens: int, finish_reason: str) -> None:
        generation = plan(chat(**fields))
        assert (len(generation.tokens), generation.finish_reason) == (num_tokens, finish_reason)

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    @pytest.mark.parametrize("value", [0, -1, 1.5, "5", True, [5]])
    def test_a_wrong_limit_is_refused(self, name: str, value: Any) -> None:
        with pytest.raises(RequestError, match=f"{name} must be at least 1, got") as caught:
            plan(chat(**{name: value}))
        assert caught.value.param == name

    def test_the_context_cuts_a_long_answer(self) -> None:
        generation = plan(prompt("a b c d e f"), TEXT, max_model_len=10)
        assert (len(generation.tokens), generation.finish_reason) == (4, "length")

    @pytest.mark.parametrize(("endpoint", "param"), [(CHAT, "messages"), (TEXT, "prompt")])
    def test_a_prompt_beyond_the_context_is_refused_with_both_lengths(
        self, endpoint: Endpoint, param: str
    ) -> None:
        body = chat("w " * 9) if endpoint == CHAT else prompt("w " * 10)  # a chat has the role as well
        with pytest.raises(RequestError, match=r"context length is 10 tokens.* 10 input tokens") as caught:
            plan(body, endpoint, max_model_len=10)
        assert (caught.value.status, caught.value.param) == (400, param)
        shorter = chat("w " * 8) if endpoint == CHAT else prompt("w " * 9)
        assert len(plan(shorter, endpoint, max_model_len=10).tokens) == 1


class TestRefusals:
    @pytest.mark.parametrize("model", [None, "health", 3, "modem/math"])
    def test_of_another_model(self, model: Any) -> None:
        with pytest.raises(RequestError, match="does not exist") as caught:
            plan({**chat(), "model": model})
        assert (caught.value.status, caught.value.param) == (404, "model")

    @pytest.mark.parametrize("messages", [None, [], "hi", [1], [{}]])
    def test_of_wrong_messages(self, messages: Any) -> None:
        with pytest.raises(RequestError):
            plan({"model": "math", "messages": messages})

    @pytest.mark.parametrize("value", [None, "", [], 5, True, {"a": 1}])
    def test_of_a_wrong_prompt(self, value: Any) -> None:
        with pytest.raises(RequestError) as caught:
            plan(prompt(value), TEXT)
        assert caught.value.param == "prompt"

    def test_a_share_of_the_prompts_fails_and_always_the_same(self) -> None:
        def fails(number: int) -> bool:
            try:
                plan(chat(f"prompt {number}"), failure_rate=0.3)
            except ExpertFailedError:
                return True
            return False

        failed = [fails(number) for number in range(500)]
        assert 100 < sum(failed) < 200
        assert failed == [fails(number) for number in range(500)]

    @pytest.mark.parametrize(("rate", "expected"), [(0.0, 0), (1.0, 50)])
    def test_none_or_all_fail(self, rate: float, expected: int) -> None:
        failed = 0
        for number in range(50):
            try:
                plan(chat(f"prompt {number}"), failure_rate=rate)
            except ExpertFailedError:
                failed += 1
        assert failed == expected


class TestTime:
    @pytest.mark.parametrize("streamed", [False, True])
    async def test_the_first_token_takes_ttft_and_each_further_one_tpot(self, streamed: bool) -> None:
        time = Time()
        found = engine(time.sleep, ttft_s=0.5, tpot_s=0.02)
        await (stream if streamed else whole)(found, chat(max_tokens=4))
        assert time.slept == [0.5, 0.02, 0.02, 0.02]
        assert found.num_generated_tokens == 4

    async def test_planning_takes_no_time(self) -> None:
        time = Time()
        engine(time.sleep).plan(CHAT, chat(), "id-1")
        assert time.slept == []


class TestSlots:
    async def test_more_than_max_num_seqs_wait_in_line(self) -> None:
        gate = Gate()
        found = engine(gate.sleep, max_num_seqs=2)
        tasks = [asyncio.create_task(whole(found, chat(f"prompt {i}"))) for i in range(5)]
        await asyncio.sleep(0)
        assert (found.num_running, found.num_waiting) == (2, 3)
        gate.open.set()
        replies = await asyncio.gather(*tasks)
        assert (found.num_running, found.num_waiting) == (0, 0)
        assert len({reply["choices"][0]["message"]["content"] for reply in replies}) == 5

    async def test_a_stream_that_is_closed_early_frees_its_slot(self) -> None:
        found = engine(max_num_seqs=1)
        events = found.events(found.plan(CHAT, chat(), "id-1"))
        for _ in range(3):
            await anext(events)
        assert found.num_running == 1
        await events.aclose()  # type: ignore[attr-defined]
        assert found.num_running == 0
        assert found.num_generated_tokens == 2
        await whole(found, chat())

    async def test_a_stream_that_is_closed_before_its_first_token_holds_nothing(self) -> None:
        found = engine(max_num_seqs=1)
        events = found.events(found.plan(CHAT, chat(), "id-1"))
        await anext(events)
        await events.aclose()  # type: ignore[attr-defined]
        assert (found.num_running, found.num_waiting) == (0, 0)

    @pytest.mark.parametrize("waiting", [False, True])
    async def test_a_cancelled_answer_frees_its_place(self, waiting: bool) -> None:
        gate = Gate()
        found = engine(gate.sleep, max_num_seqs=1)
        tasks = [asyncio.create_task(whole(found, chat(f"prompt {i}"))) for i in range(2)]
        await asyncio.sleep(0)
        assert (found.num_running, found.num_waiting) == (1, 1)
        tasks[1 if waiting else 0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1 if waiting else 0]
        gate.open.set()
        await tasks[0 if waiting else 1]
        assert (found.num_running, found.num_waiting) == (0, 0)


class TestWire:
    async def test_a_chat(self) -> None:
        reply = await whole(engine(), chat(max_tokens=3))
        text = "".join(plan(chat(max_tokens=3)).tokens)
        assert reply == {
            "id": "id-1",
            "object": "chat.completion",
            "created": 1234,
            "model": "math",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "logprobs": None,
                    "finish_reason": "length",
                }
            ],
            "usage": {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7},
        }

    async def test_a_text_completion(self) -> None:
        reply = await whole(engine(), prompt(max_tokens=3), TEXT)
        text = "".join(plan(prompt(max_tokens=3), TEXT).tokens)
        assert reply["object"] == "text_completion"
        assert reply["choices"] == [{"index": 0, "text": text, "logprobs": None, "finish_reason": "length"}]
        assert reply["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}

    async def test_a_streamed_chat_begins_with_the_role_and_ends_with_the_reason(self) -> None:
        first, *rest, last = await stream(engine(), chat(max_tokens=3))
        assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert [event["choices"][0]["finish_reason"] for event in (first, *rest)] == [None] * 4
        assert last["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}
        for event in (first, *rest, last):
            assert (event["object"], event["id"]) == ("chat.completion.chunk", "id-1")
            assert "usage" not in event

    @pytest.mark.parametrize("endpoint", [CHAT, TEXT])
    async def test_the_stream_holds_the_text_of_the_whole_answer(self, endpoint: Endpoint) -> None:
        body = chat() if endpoint == CHAT else prompt()
        choice = (await whole(engine(), body, endpoint))["choices"][0]
        parts = [event["choices"][0] for event in await stream(engine(), body, endpoint)]
        if endpoint == CHAT:
            assert "".join(part["delta"].get("content", "") for part in parts) == choice["message"]["content"]
        else:
            assert "".join(part["text"] for part in parts) == choice["text"]
        assert parts[-1]["finish_reason"] == choice["finish_reason"]

    @pytest.mark.parametrize("endpoint", [CHAT, TEXT])
    async def test_usage_comes_last_and_only_if_asked_for(self, endpoint: Endpoint) -> None:
        body = {**(chat() if endpoint == CHAT else prompt()), "stream_options": {"include_usage": True}}
        *_, last = await stream(engine(), body, endpoint)
        assert last["choices"] == []
        assert last["usage"] == (await whole(engine(), body, endpoint))["usage"]

    @pytest.mark.parametrize("options", [None, {}, [], "x", {"include_usage": False}])
    async def test_without_usage(self, options: Any) -> None:
        events = await stream(engine(), chat(stream_options=options))
        assert not any("usage" in event for event in events)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(st.sampled_from([CHAT, TEXT]), ANY_TEXT)
def test_any_text_gets_a_plan_or_a_refusal(endpoint: Endpoint, text: str) -> None:
    body = chat(text) if endpoint == CHAT else prompt(text)
    if endpoint == TEXT and not text:
        return
    generation = plan(body, endpoint, max_model_len=10_000)
    assert generation == plan(body, endpoint, max_model_len=10_000)
    assert len(generation.tokens) == 32
    json.dumps(generation.usage)


@given(
    st.sampled_from([CHAT, TEXT]),
    st.fixed_dictionaries(
        {"model": st.just("math")},
        optional={
            "messages": st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": JSON})) | JSON,
            "prompt": JSON,
            "max_tokens": JSON,
            "max_completion_tokens": JSON,
            "stream_options": JSON,
        },
    ),
)
def test_any_body_gets_a_plan_or_an_error_of_ours(endpoint: Endpoint, body: dict[str, Any]) -> None:
    try:
        generation = plan(body, endpoint)
    except ServingError:
        return
    assert 1 <= len(generation.tokens) <= 32


@given(st.text() | st.sampled_from(["\0", '"\\u0000"', '\\"\\u0000\\"', "\\u0000"]))
def test_events_are_whole_whatever_the_client_calls_its_request(request_id: str) -> None:
    async def ids() -> set[str]:
        found = engine(output_tokens=3)
        generation = found.plan(CHAT, chat(), request_id)
        raw = [event async for event in found.events(generation)]
        return {json.loads(event.removeprefix(b"data: "))["id"] for event in raw[:-1]}

    assert asyncio.run(ids()) == {request_id}
