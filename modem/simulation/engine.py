"""Continuous batching in one replica, event by event.

Prompts are read one after the other at a constant speed; all requests whose prompt is read advance by one
token in each decode step, whose length depends on how many they are. Instead of stepping, a *virtual clock*
counts the steps since the batch began: a request that joins at ``v`` with ``n`` further tokens leaves at
``v + n``. When the number of requests changes, only the speed of that clock does, so that an arrival or an
end costs a heap operation, however long the answers are. The same idea is in fair queueing (Demers, Keshav
and Shenker, SIGCOMM 1989).

Where ``chunk_tokens`` is set, reading and decoding share every step as in vLLM's chunked prefill: a step
takes as long as its decode part and a whole chunk.
"""

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from math import inf

from modem.simulation.speeds import Speeds

_TOKEN_EPS = 1e-6
_TIME_EPS = 1e-9


class Engine:
    """One replica's engine. Requests are numbers; their lengths stand in columns.

    Args:
        speeds: What it can do.
        prompt_tokens: Of every request.
        output_tokens: Of every request.
        first_s: Written: when a request's first token was there.
        finish_s: Written: when its last one was.
    """

    __slots__ = (
        "_base_context",
        "_decoding",
        "_finish_s",
        "_first_s",
        "_kv",
        "_left",
        "_outputs",
        "_prefill_rate",
        "_prefilling",
        "_prompts",
        "_rate",
        "_reading",
        "_speeds",
        "_t",
        "_v",
        "_waiting",
        "admitted_s",
        "begun",
        "busy_s",
        "next_s",
        "num_tokens",
        "running",
        "token_s",
        "unread_tokens",
    )

    def __init__(
        self,
        speeds: Speeds,
        prompt_tokens: Sequence[int],
        output_tokens: Sequence[int],
        first_s: list[float],
        finish_s: list[float],
    ) -> None:
        self._speeds = speeds
        self._prompts = prompt_tokens
        self._outputs = output_tokens
        self._first_s = first_s
        self._finish_s = finish_s
        self._t = 0.0
        self._v = 0.0
        self._rate = 0.0
        self._prefill_rate = 0.0
        self._left = 0.0
        self._kv = 0
        self._base_context = 0.0
        self._waiting: deque[int] = deque()
        self._reading: deque[int] = deque()  # one after the other
        self._prefilling: list[tuple[float, int]] = []  # side by side: a heap of ends
        self._decoding: list[tuple[float, int]] = []  # a heap of ends on the virtual clock
        self.running = 0
        self.unread_tokens = 0
        """Prompt tokens of requests that have no token of their answer yet."""
        self.busy_s = 0.0
        self.num_tokens = 0.0
        """Tokens written so far, the first ones of answers apart."""
        self.token_s = 0.0
        """Sum of the times between them."""
        self.admitted_s: dict[int, float] | None = None
        """When each request got into the batch; None if nobody wants to know."""
        self.begun: list[int] = []
        """With it: requests in the order of their first tokens; whoever reads it empties it."""
        self.next_s = inf

    @property
    def num_waiting(self) -> int:
        """Requests that wait for a place in the batch."""
        return len(self._waiting)

    @property
    def num_decoding(self) -> int:
        """Requests whose answer is being written."""
        return len(self._decoding)

    def push(self, request: int, t_s: float) -> None:
        """Take a request; `retime` must follow."""
        self._advance(t_s)
        self.unread_tokens += self._prompts[request]
        if self._waiting or not self._fits(request):
            self._waiting.append(request)
        else:
            self._admit(request, t_s)

    def run(self, t_s: float) -> list[int]:
        """Do what is due at a time, and return the requests that are complete; `retime` must follow."""
        self._advance(t_s)
        done: list[int] = []
        if self._prefilling:
            while self._prefilling and self._prefilling[0][0] <= t_s + _TIME_EPS:
                self._first_token(heappop(self._prefilling)[1], t_s, done)
        elif self._reading and self._left <= _TIME_EPS:
            self._first_token(self._reading.popleft(), t_s, done)
            if self._reading:
                self._left = self._work_s(self._reading[0])
        limit = self._v + _TOKEN_EPS
        while self._decoding and self._decoding[0][0] <= limit:
            end_v, request = heappop(self._decoding)
            # The context it held: its prompt and what it has written.
            self._base_context -= self._prompts[request] - (end_v - self._outputs[request])
            self._end(request, t_s, done)
        while self._waiting and self._fits(self._waiting[0]):
            self._admit(self._waiting.popleft(), t_s)
        return done

    def retime(self) -> float:
        """Set the speeds for what runs now; returns when `run` is due next."""
        speeds, num = self._speeds, len(self._decoding)
        step_s = speeds.step_s[num]
        due = inf
        if self._reading:
            shared = num and speeds.chunk_s is not None
            if shared:
                step_s += speeds.chunk_s  # type: ignore[operator]
                self._prefill_rate = speeds.chunk_s / step_s  # type: ignore[operator]
            else:
                self._prefill_rate = 1.0
            left = self._left
            due = self._t + (left / self._prefill_rate if left > 0 else 0.0)
        elif self._prefilling:
            due = self._prefilling[0][0]
        if num:
            self._rate = 1.0 / step_s
            ends = self._t + max(self._decoding[0][0] - self._v, 0.0) * step_s
            if ends < due:
                due = ends
        elif not self.running:
            self._v = 0.0  # an idle clock starts anew, so that it keeps its precision
            self._base_context = 0.0
        self.next_s = due
        return due

    def context_tokens(self, t_s: float) -> float:
        """Return the tokens of requests whose answer has begun: their prompts, and what is written."""
        self._advance(t_s)
        return max(self._base_context + len(self._decoding) * self._v, 0.0)

    def step_s(self) -> float:
        """Return the seconds of a decode step at the present batch."""
        return self._speeds.step_s[len(self._decoding)]

    def requests(self) -> list[int]:
        """Return all requests that it has."""
        own = [request for _, request in (*self._prefilling, *self._decoding)]
        return [*own, *self._reading, *self._waiting]

    def _advance(self, t_s: float) -> None:
        passed = t_s - self._t
        if passed <= 0:
            return
        if self.running:
            self.busy_s += passed
            if self._decoding:
                steps, num = passed * self._rate, len(self._decoding)
                self._v += steps
                self.num_tokens += steps * num
                self.token_s += passed * num
            if self._reading:
                self._left -= passed * self._prefill_rate
        self._t = t_s

    def _fits(self, request: int) -> bool:
        if self.running >= self._speeds.max_num_seqs:
            return False
        need = self._prompts[request] + self._outputs[request]
        # One that is too long for the whole cache goes alone, rather than never.
        return self._kv + need <= self._speeds.kv_tokens or not self.running

    def _admit(self, request: int, t_s: float) -> None:
        self.running += 1
        self._kv += self._prompts[request] + self._outputs[request]
        if self.admitted_s is not None:
            self.admitted_s[request] = t_s
        if self._speeds.parallel:
            heappush(self._prefilling, (t_s + self._work_s(request), request))
            return
        self._reading.append(request)
        if len(self._reading) == 1:
            self._left = self._work_s(request)

    def _work_s(self, request: int) -> float:
        return self._speeds.overhead_s + self._prompts[request] * self._speeds.token_s

    def _first_token(self, request: int, t_s: float, done: list[int]) -> None:
        more = self._outputs[request] - 1
        num = len(self._decoding)
        self.unread_tokens -= self._prompts[request]
        if self.admitted_s is not None:
            self.begun.append(request)
        if self._speeds.chunk_s is not None and num:
            # The prompt's last piece shares a step with the answers being written: the token is there at
            # the end of that step.
            self._first_s[request] = t_s + self._speeds.step_s[num]
            more += 1
        else:
            self._first_s[request] = t_s
        if more <= 0:
            self._end(request, t_s, done)
            return
        heappush(self._decoding, (self._v + more, request))
        self._base_context += self._prompts[request] - (self._v + more - self._outputs[request])

    def _end(self, request: int, t_s: float, done: list[int]) -> None:
        self.running -= 1
        self._kv -= self._prompts[request] + self._outputs[request]
        self._finish_s[request] = t_s
        done.append(request)
