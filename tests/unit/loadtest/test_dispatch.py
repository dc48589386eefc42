"""When requests are sent."""

import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.pool import Group

from loadtest.dispatch import ClosedLoop, OpenLoop
from loadtest.meter import Meter
from loadtest.sender import Prepared
from modem.load.planned import Planned, Turn


class Plan:
    """As much of a plan as a dispatcher asks for."""

    def __init__(self, *at_s: float, think_s: float = 0.0) -> None:
        self._at_s = at_s
        self._think_s = think_s

    def __len__(self) -> int:
        return len(self._at_s)

    def __getitem__(self, index: int) -> Planned:
        return Planned(index, self._at_s[index], "math", (Turn("?", 1, True, self._think_s),), None)


class Sender:
    """Notes what is sent when, and takes its time for an answer."""

    def __init__(self, start_s: float, answer_s: float = 0.0, prepare_s: float = 0.0) -> None:
        self.sent: list[tuple[int, float, float]] = []
        self._start_s, self._answer_s, self._prepare_s = start_s, answer_s, prepare_s

    def prepare(self, planned: Planned) -> Prepared:
        time.sleep(self._prepare_s)
        return Prepared(planned, b"")

    def send(self, prepared: Prepared, intended_s: float, sent: Callable[[str, float], None]) -> None:
        now_s = time.monotonic() - self._start_s
        self.sent.append((prepared.planned.index, intended_s, now_s))
        sent("math", now_s - intended_s)
        gevent.sleep(self._answer_s)


def open_loop(
    plan: Plan, sender_args: dict[str, float], worker: int = 0, num_workers: int = 1
) -> tuple[Sender, Group]:
    start_s, requests = time.monotonic() + 0.02, Group()
    sender: Any = Sender(start_s, **sender_args)
    meter = Meter(0, start_s, time.monotonic)
    found: Any = plan
    OpenLoop(found, worker, num_workers, sender, requests, meter, start_s, time.monotonic).run()
    gevent.sleep(0)
    return sender, requests


def test_none_is_sent_before_its_time_and_each_knows_it() -> None:
    sender, _ = open_loop(Plan(0.0, 0.01, 0.01, 0.05, 0.1), {})
    assert [(index, intended_s) for index, intended_s, _ in sender.sent] == [
        (0, 0.0), (1, 0.01), (2, 0.01), (3, 0.05), (4, 0.1),
    ]  # fmt: skip
    assert all(now_s >= intended_s for _, intended_s, now_s in sender.sent)


def test_answers_are_not_waited_for() -> None:
    sender, requests = open_loop(Plan(0.0, 0.01, 0.02), {"answer_s": 60.0})
    assert [index for index, _, _ in sender.sent] == [0, 1, 2]
    assert len(requests) == 3
    requests.kill()


def test_a_delay_moves_nothing_that_comes_after_it() -> None:
    """Times are absolute: what is late is sent at once, and later ones are on time again."""
    sender, _ = open_loop(Plan(*(0.001 * at for at in range(20)), 0.5), {"prepare_s": 0.005})
    times = {index: (intended_s, now_s) for index, intended_s, now_s in sender.sent}
    assert len(times) == 21
    assert times[19][1] - times[19][0] > 0.05
    assert times[20][1] >= 0.5
    assert all(times[index][0] == pytest.approx(0.001 * index) for index in range(20))


@pytest.mark.parametrize("worker", [0, 1, 2])
def test_a_worker_takes_every_nth(worker: int) -> None:
    sender, _ = open_loop(Plan(*[0.0] * 8), {}, worker, 3)
    gevent.sleep(0.01)
    assert [index for index, _, _ in sender.sent] == list(range(worker, 8, 3))


class Users:
    """Users of one worker."""

    def __init__(
        self, plan: Plan, num_users: int, span_s: float, answer_s: float, worker: int = 0, of: int = 1
    ) -> None:
        start_s = time.monotonic()
        self.sender = Sender(start_s, answer_s)
        self.requests = Group()
        found: Any = plan
        sender: Any = self.sender
        meter = Meter(0, start_s, time.monotonic)
        self.loop = ClosedLoop(
            found, worker, of, num_users, sender, self.requests, meter, start_s, span_s, time.monotonic
        )
        self.running = gevent.spawn(self.loop.run)

    @property
    def indices(self) -> list[int]:
        return sorted(index for index, _, _ in self.sender.sent)


def test_users_ask_again_when_they_are_answered_and_stop_in_the_end() -> None:
    users = Users(Plan(*[0.0] * 1000), 2, 1.5, 0.02)
    gevent.joinall([gevent.spawn(users.loop.be_user) for _ in range(2)], raise_error=True)
    assert users.running.ready()
    assert 4 <= len(users.sender.sent) <= 152
    assert users.indices == list(range(len(users.indices)))


def test_a_user_goes_through_its_own_questions() -> None:
    users = Users(Plan(*[0.0] * 1000), 4, 1.0, 0.01, worker=1, of=2)
    gevent.joinall([gevent.spawn(users.loop.be_user) for _ in range(2)])
    assert {index % 4 for index in users.indices} == {1, 3}


def test_a_user_who_goes_gets_the_answer_and_leaves_the_seat_to_the_next() -> None:
    users = Users(Plan(*[0.0] * 1000), 1, 60.0, 60.0)
    first = gevent.spawn(users.loop.be_user)
    gevent.sleep(0.02)
    first.kill()
    assert len(users.requests) == 1  # what was asked goes on
    second = gevent.spawn(users.loop.be_user)
    gevent.sleep(0.02)
    assert users.indices == [0, 1]
    second.kill()
    users.running.kill()
    users.requests.kill()


def test_thinking_comes_before_the_question_and_ends_with_the_run() -> None:
    users = Users(Plan(*[0.0] * 10, think_s=60.0), 1, 0.05, 0.0)
    gevent.spawn(users.loop.be_user).join(5)
    assert users.sender.sent == []


def test_a_plan_may_run_out() -> None:
    users = Users(Plan(0.0, 0.0), 1, 60.0, 0.0)
    gevent.spawn(users.loop.be_user).join(30)
    assert users.indices == [0, 1]
