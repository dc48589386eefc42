import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from modem.config import GatewayConfig
from modem.dispatch import Answer, Dispatcher
from modem.errors import (
    ConfigError,
    ExpertFailedError,
    ExpertTimeoutError,
    ExpertUnavailableError,
    OverloadedError,
    RequestError,
    ServingError,
)
from modem.openai.request import CompletionRequest
from modem.routing.policy import pin
from modem.routing.text import RoutingText
from modem.types import AddedDomain, DomainScores, RoutingDecision
from tests.fakes import FakeExperts, FakeReply, FakeScorer, config
from tests.unit.skipping import SkippingPolicy

ROUTED = RoutingDecision("math", "top_score", 0.9)
EVENT = b'data: {"choices": []}\n\n'
FAILED = ExpertUnavailableError("The expert application has failed.", None, "expert_failed", 5.0)
STARTING = ExpertUnavailableError("No free replica within 1 s.", None, "expert_starting", 5.0)


@pytest.fixture(scope="module")
def event_loop_policy() -> SkippingPolicy:
    return SkippingPolicy()


@pytest.fixture
def scorer() -> FakeScorer:
    return FakeScorer()


@pytest.fixture
async def experts() -> FakeExperts:
    return FakeExperts()


@pytest.fixture
def dispatcher(scorer: FakeScorer, experts: FakeExperts) -> Dispatcher:
    made = Dispatcher(scorer, experts)
    made.configure(config())
    return made


def limits(**changes: float) -> GatewayConfig:
    return config(limits=changes)


def request(pinned: str | None = None, stream: bool = False, text: str = "2+2?") -> CompletionRequest:
    body = {"messages": [{"role": "user", "content": text}]}
    return CompletionRequest("chat/completions", body, pinned, stream)


async def read_all(answer: Answer) -> list[bytes]:
    return [chunk async for chunk in _chunks(answer)]


async def _chunks(answer: Answer) -> AsyncIterator[bytes]:
    while chunk := await answer.next_chunk():
        yield chunk


def texts(*prompts: str) -> list[RoutingText]:
    return [RoutingText(prompt) for prompt in prompts]


class Ticks:
    """A clock that goes on by a tenth of a second at every look."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


class TestRoute:
    async def test_each_text_gets_its_decision_in_order(
        self, dispatcher: Dispatcher, scorer: FakeScorer
    ) -> None:
        async def answer(texts: Sequence[str]) -> list[DomainScores]:
            return [DomainScores({text: 1.0}) for text in texts]

        scorer.answer = answer
        decisions = await dispatcher.route(texts("math", "health", "law"))
        assert [decision.domain for decision in decisions] == ["math", "health", "other"]
        assert [d.reason for d in decisions] == ["top_score", "top_score", "low_confidence"]

    async def test_earlier_turns_are_scored_with_the_texts_and_given_back_to_their_own(
        self, dispatcher: Dispatcher, scorer: FakeScorer
    ) -> None:
        async def answer(texts: Sequence[str]) -> list[DomainScores]:
            return [DomainScores({text: 1.0}) for text in texts]

        scorer.answer = answer
        conversation = RoutingText("other", history="health", says_nothing=True)
        decisions = await dispatcher.route([RoutingText("math"), conversation, RoutingText("health")])
        assert [d.domain for d in decisions] == ["math", "health", "health"]
        assert [d.reason for d in decisions] == ["top_score", "conversation", "top_score"]
        assert scorer.texts == ["math", "other", "health", "health"]

    async def test_settings_may_be_those_of_the_caller(self, dispatcher: Dispatcher) -> None:
        before = dispatcher.config
        dispatcher.configure(config(routing={"threshold": 0.95}))
        (decision,) = await dispatcher.route(texts("x"), before)
        assert decision.domain == "math"

    async def test_the_router_hears_of_added_domains(
        self, dispatcher: Dispatcher, scorer: FakeScorer
    ) -> None:
        settings = config().model_dump()
        law = {**settings["domains"]["math"], "description": "Law.", "examples": ("Sue him?",)}
        settings["domains"]["law"] = law
        dispatcher.configure(GatewayConfig.model_validate(settings))
        assert scorer.added == (AddedDomain("law", "Law.", ("Sue him?",)),)

    async def test_no_texts_need_no_decision(self, dispatcher: Dispatcher) -> None:
        assert await dispatcher.route([]) == []

    async def test_the_wait_is_measured(self, scorer: FakeScorer, experts: FakeExperts) -> None:
        dispatcher = Dispatcher(scorer, experts, Ticks())
        dispatcher.configure(config())
        (decision,) = await dispatcher.route(texts("x"))
        assert decision.router_ms == pytest.approx(100)

    @pytest.mark.parametrize("error", [RuntimeError("boom"), TimeoutError(), KeyError("x")])
    async def test_a_broken_router_means_the_fallback(
        self, dispatcher: Dispatcher, scorer: FakeScorer, error: Exception
    ) -> None:
        async def answer(_: Sequence[str]) -> list[DomainScores]:
            raise error

        scorer.answer = answer
        for decision in await dispatcher.route(texts("a", "b")):
            assert (decision.domain, decision.reason) == ("other", "router_unavailable")
            assert decision.confidence is None

    async def test_a_slow_router_means_the_fallback_at_the_deadline(
        self, dispatcher: Dispatcher, scorer: FakeScorer
    ) -> None:
        cancelled = asyncio.Event()

        async def answer(_: Sequence[str]) -> list[DomainScores]:
            try:
                return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
            finally:
                cancelled.set()

        scorer.answer = answer
        dispatcher.configure(config(routing={"deadline_s": 0.01}))
        (decision,) = await dispatcher.route(texts("x"))
        assert (decision.domain, decision.reason) == ("other", "router_unavailable")
        assert cancelled.is_set()

    @pytest.mark.parametrize(
        "scores",
        [
            [],
            [DomainScores({"math": 1.0})] * 3,
            None,
            [{"math": 1.0}, {"math": 1.0}],
            [DomainScores({"math": "high"}), DomainScores({"math": 1.0})],  # type: ignore[dict-item]
        ],
        ids=["none", "too many", "null", "dicts", "words"],
    )
    async def test_a_router_that_answers_nonsense_means_the_fallback(
        self, dispatcher: Dispatcher, scorer: FakeScorer, scores: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def answer(_: Sequence[str]) -> list[DomainScores]:
            return scores  # type: ignore[no-any-return]

        scorer.answer = answer
        with caplog.at_level(logging.WARNING):
            decisions = await dispatcher.route(texts("a", "b"))
        assert [decision.reason for decision in decisions] == ["router_unavailable"] * 2
        assert "the router failed" in caplog.text

    async def test_a_score_that_is_no_number_is_doubt(
        self, dispatcher: Dispatcher, scorer: FakeScorer
    ) -> None:
        async def answer(_: Sequence[str]) -> list[DomainScores]:
            return [DomainScores({"math": math.nan})]

        scorer.answer = answer
        assert (await dispatcher.route(texts("x")))[0].reason == "low_confidence"

    async def test_a_caller_that_leaves_is_not_a_broken_router(
        self, dispatcher: Dispatcher, scorer: FakeScorer
    ) -> None:
        async def answer(_: Sequence[str]) -> list[DomainScores]:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        scorer.answer = answer
        task = asyncio.create_task(dispatcher.route(texts("x")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


class TestDecide:
    async def test_asks_the_router_for_the_text(self, dispatcher: Dispatcher, scorer: FakeScorer) -> None:
        decision = await dispatcher.decide(request(text=" 2+2? "))
        assert (decision.domain, decision.reason, decision.confidence) == ("math", "top_score", 0.9)
        assert scorer.texts == ["2+2?"]

    async def test_does_not_ask_where_the_client_has_named_a_domain(
        self, dispatcher: Dispatcher, scorer: FakeScorer
    ) -> None:
        assert await dispatcher.decide(request(pinned="health")) == pin("health")
        assert scorer.texts == []

    async def test_new_settings_hold_at_once(self, dispatcher: Dispatcher) -> None:
        dispatcher.configure(config(routing={"threshold": 0.95, "fallback": "health"}))
        assert (await dispatcher.decide(request())).domain == "health"

    async def test_without_settings_says_so(self, scorer: FakeScorer, experts: FakeExperts) -> None:
        with pytest.raises(ConfigError, match="user_config"):
            await Dispatcher(scorer, experts).decide(request())


class TestOpen:
    async def test_an_answer_comes_back_whole(self, dispatcher: Dispatcher, experts: FakeExperts) -> None:
        reply = FakeReply(b'{"a"', b": 1}")
        experts.will("math", reply)
        answer = await dispatcher.open(request(), ROUTED, "id-1")
        assert await answer.body() == b'{"a": 1}'
        assert answer.decision is ROUTED
        assert reply.num_closed == 0
        await answer.aclose()
        assert reply.num_closed == 1

    async def test_the_expert_gets_path_body_id_and_deadline(
        self, dispatcher: Dispatcher, experts: FakeExperts
    ) -> None:
        dispatcher.configure(limits(start_timeout_s=7))
        experts.will("math", FakeReply(b"{}"))
        await dispatcher.open(request(text="2+2?"), ROUTED, "id-1")
        ((application, sent),) = experts.sent
        assert application == "expert-math"
        assert (sent.path, sent.request_id, sent.start_timeout_s) == ("/v1/chat/completions", "id-1", 7)
        assert json.loads(sent.body) == {
            "model": "math",
            "messages": [{"role": "user", "content": "2+2?"}],
        }

    async def test_a_stream_has_its_first_chunk_when_it_is_open(
        self, dispatcher: Dispatcher, experts: FakeExperts
    ) -> None:
        reply = FakeReply(end=False)
        experts.will("math", reply)
        opening = asyncio.create_task(dispatcher.open(request(stream=True), ROUTED, "id-1"))
        await asyncio.sleep(0.01)
        assert not opening.done()
        await reply.put(EVENT)
        answer = await opening
        await reply.put(b"second")
        await reply.put(b"")
        assert [await answer.next_chunk() for _ in range(4)] == [EVENT, b"second", b"", b""]

    async def test_an_empty_stream_just_ends(self, dispatcher: Dispatcher, experts: FakeExperts) -> None:
        experts.will("math", FakeReply())
        answer = await dispatcher.open(request(stream=True), ROUTED, "id-1")
        assert await answer.next_chunk() == b""

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("status", "error", "says"),
        [
            (400, RequestError, "no such role"),
            (404, RequestError, "no such role"),
            (429, OverloadedError, "Too many requests"),
            (503, OverloadedError, "Too many requests"),
            (500, ExpertFailedError, "failed while answering"),
        ],
    )
    async def test_a_refusal_is_raised_and_the_reply_closed(
        self,
        dispatcher: Dispatcher,
        experts: FakeExperts,
        stream: bool,
        status: int,
        error: type[ServingError],
        says: str,
    ) -> None:
        reply = FakeReply(b'{"error": {"message": "no such role", "code": 400}}', status=status)
        experts.will("math", reply)
        with pytest.raises(error, match=says):
            await dispatcher.open(request(stream=stream), ROUTED, "id-1")
        assert reply.num_closed == 1
        assert len(experts.sent) == 1

    async def test_an_error_in_place_of_the_first_chunk_is_raised(
        self, dispatcher: Dispatcher, experts: FakeExperts
    ) -> None:
        reply = FakeReply(b'data: {"error": {"message": "too long", "code": 400}}\n\n')
        experts.will("math", reply)
        with pytest.raises(RequestError, match="too long"):
            await dispatcher.open(request(stream=True), ROUTED, "id-1")
        assert reply.num_closed == 1

    async def test_an_error_in_the_middle_is_raised_in_its_turn(
        self, dispatcher: Dispatcher, experts: FakeExperts
    ) -> None:
        broken = b'data: {"error": {"message": "secret", "code": 500}}\n\n'
        experts.will("math", FakeReply(EVENT, broken))
        answer = await dispatcher.open(request(stream=True), ROUTED, "id-1")
        assert await answer.next_chunk() == EVENT
        with pytest.raises(ExpertFailedError, match="failed while answering"):
            await answer.next_chunk()

    @pytest.mark.parametrize("error", [ExpertFailedError("broke"), RuntimeError("bug")])
    async def test_a_connection_that_breaks_before_the_first_chunk_is_closed(
        self, dispatcher: Dispatcher, experts: FakeExperts, error: Exception
    ) -> None:
        reply = FakeReply(error)
        experts.will("math", reply)
        with pytest.raises(type(error)):
            await dispatcher.open(request(stream=True), ROUTED, "id-1")
        assert reply.num_closed == 1

    @pytest.mark.parametrize("status", [200, 500])
    async def test_a_caller_that_leaves_closes_the_reply(
        self, dispatcher: Dispatcher, experts: FakeExperts, status: int
    ) -> None:
        reply = FakeReply(status=status, end=False)
        experts.will("math", reply)
        opening = asyncio.create_task(dispatcher.open(request(stream=True), ROUTED, "id-1"))
        await asyncio.sleep(0.01)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert reply.num_closed == 1


class TestFallback:
    async def test_answers_for_a_failed_expert(self, dispatcher: Dispatcher, experts: FakeExperts) -> None:
        experts.will("math", FAILED)
        experts.will("other", FakeReply(b"{}"))
        answer = await dispatcher.open(request(), ROUTED, "id-1")
        assert (answer.decision.domain, answer.decision.reason) == ("other", "expert_unavailable")
        assert answer.decision.confidence == 0.9
        assert json.loads(experts.sent[-1][1].body)["model"] == "other"

    async def test_does_not_replace_a_pinned_expert(
        self, dispatcher: Dispatcher, experts: FakeExperts
    ) -> None:
        experts.will("math", FAILED)
        with pytest.raises(ExpertUnavailableError):
            await dispatcher.open(request(pinned="math"), pin("math"), "id-1")
        assert [application for application, _ in experts.sent] == ["expert-math"]

    async def test_is_not_asked_twice(self, dispatcher: Dispatcher, experts: FakeExperts) -> None:
        experts.will("other", FAILED)
        with pytest.raises(ExpertUnavailableError):
            await dispatcher.open(request(), RoutingDecision("other", "low_confidence", 0.1), "id-1")
        assert len(experts.sent) == 1

    async def test_that_has_failed_too_is_the_error(
        self, dispatcher: Dispatcher, experts: FakeExperts
    ) -> None:
        experts.will("math", FAILED)
        experts.will("other", STARTING)
        with pytest.raises(ExpertUnavailableError, match="No free replica"):
            await dispatcher.open(request(), ROUTED, "id-1")
        assert [application for application, _ in experts.sent] == ["expert-math", "expert-other"]

    @pytest.mark.parametrize("error", [STARTING, OverloadedError("full"), ExpertFailedError("broke")])
    async def test_does_not_replace_one_that_starts_is_full_or_broke(
        self, dispatcher: Dispatcher, experts: FakeExperts, error: ServingError
    ) -> None:
        experts.will("math", error)
        with pytest.raises(type(error)) as caught:
            await dispatcher.open(request(), ROUTED, "id-1")
        assert caught.value is error
        assert len(experts.sent) == 1

    async def test_answers_for_a_domain_that_was_taken_away_meanwhile(
        self, dispatcher: Dispatcher, experts: FakeExperts
    ) -> None:
        experts.will("other", FakeReply(b"{}"))
        gone = RoutingDecision("law", "top_score", 0.9)
        answer = await dispatcher.open(request(), gone, "id-1")
        assert (answer.decision.domain, answer.decision.reason) == ("other", "expert_unavailable")
        with pytest.raises(ExpertUnavailableError, match="law"):
            await dispatcher.open(request(pinned="law"), pin("law"), "id-1")


class TestDeadlines:
    async def test_a_silent_stream(self, dispatcher: Dispatcher, experts: FakeExperts) -> None:
        dispatcher.configure(limits(stream_idle_timeout_s=0.02))
        reply = FakeReply(EVENT, end=False)
        experts.will("math", reply)
        answer = await dispatcher.open(request(stream=True), ROUTED, "id-1")
        await answer.next_chunk()
        with pytest.raises(ExpertTimeoutError, match=r"sent nothing for 0\.02 s"):
            await answer.next_chunk()

    async def test_a_stream_that_never_begins(self, dispatcher: Dispatcher, experts: FakeExperts) -> None:
        dispatcher.configure(limits(stream_idle_timeout_s=0.02))
        reply = FakeReply(end=False)
        experts.will("math", reply)
        with pytest.raises(ExpertTimeoutError, match="sent nothing"):
            await dispatcher.open(request(stream=True), ROUTED, "id-1")
        assert reply.num_closed == 1

    async def test_a_stream_that_goes_on_and_on(self, dispatcher: Dispatcher, experts: FakeExperts) -> None:
        dispatcher.configure(limits(request_timeout_s=0.05))
        reply = FakeReply(EVENT, end=False)
        experts.will("math", reply)
        answer = await dispatcher.open(request(stream=True), ROUTED, "id-1")
        await answer.next_chunk()
        with pytest.raises(ExpertTimeoutError, match=r"longer than 0\.05 s"):
            await answer.next_chunk()

    async def test_a_chunk_resets_the_silence_but_not_the_whole(
        self, dispatcher: Dispatcher, experts: FakeExperts
    ) -> None:
        dispatcher.configure(limits(stream_idle_timeout_s=10, request_timeout_s=0.1))
        reply = FakeReply(EVENT, end=False)
        experts.will("math", reply)
        answer = await dispatcher.open(request(stream=True), ROUTED, "id-1")

        async def drip() -> None:
            while True:
                await reply.put(EVENT)
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        with pytest.raises(ExpertTimeoutError, match="longer than"):
            await read_all(answer)
        dripping.cancel()

    async def test_a_whole_answer(self, dispatcher: Dispatcher, experts: FakeExperts) -> None:
        dispatcher.configure(limits(request_timeout_s=0.02))
        experts.will("math", FakeReply(b"{", end=False))
        answer = await dispatcher.open(request(), ROUTED, "id-1")
        with pytest.raises(ExpertTimeoutError, match=r"longer than 0\.02 s"):
            await answer.body()

    async def test_a_head_that_never_comes(self, dispatcher: Dispatcher, experts: FakeExperts) -> None:
        dispatcher.configure(limits(request_timeout_s=7))
        experts.will("math", TimeoutError())
        with pytest.raises(ExpertTimeoutError, match="longer than 7 s"):
            await dispatcher.open(request(), ROUTED, "id-1")
        assert experts.sent[0][1].head_timeout_s == 7

    async def test_a_whole_answer_counts_from_when_a_replica_had_the_request(
        self, dispatcher: Dispatcher, experts: FakeExperts
    ) -> None:
        dispatcher.configure(limits(request_timeout_s=100))
        reply = FakeReply(b"{", end=False)
        reply.sent_at -= 99.98
        experts.will("math", reply)
        answer = await dispatcher.open(request(), ROUTED, "id-1")
        with pytest.raises(ExpertTimeoutError, match="longer than 100 s"):
            await answer.body()

    async def test_a_refusal_that_never_ends(self, dispatcher: Dispatcher, experts: FakeExperts) -> None:
        dispatcher.configure(limits(request_timeout_s=0.02))
        reply = FakeReply(status=400, end=False)
        experts.will("math", reply)
        with pytest.raises(ExpertTimeoutError):
            await dispatcher.open(request(), ROUTED, "id-1")
        assert reply.num_closed == 1

    async def test_new_settings_do_not_shorten_an_answer_under_way(
        self, dispatcher: Dispatcher, experts: FakeExperts
    ) -> None:
        reply = FakeReply(EVENT, end=False)
        experts.will("math", reply)
        answer = await dispatcher.open(request(stream=True), ROUTED, "id-1")
        await answer.next_chunk()
        dispatcher.configure(limits(stream_idle_timeout_s=0.01, request_timeout_s=0.01))
        waiting = asyncio.create_task(answer.next_chunk())
        await asyncio.sleep(0.03)
        await reply.put(EVENT)
        assert await waiting == EVENT
