"""What the simulated engine knows of the answers it is working on, to the token."""

from collections.abc import Callable

from modem.autoscaling.meter import ReadSpeed, RecentMean


class EngineMeter:
    """Counts the tokens of all answers in the engine, and times them.

    Args:
        timer: Seconds since whenever.
    """

    def __init__(self, timer: Callable[[], float]) -> None:
        self.timer = timer
        self.answers: set[MeteredAnswer] = set()
        self.ttft, self.itl, self.reads = RecentMean(), RecentMean(), ReadSpeed()

    def arrived(self, prompt_tokens: int) -> "MeteredAnswer":
        """Take in a request; the caller says `MeteredAnswer.gone` in the end."""
        answer = MeteredAnswer(self, prompt_tokens)
        self.answers.add(answer)
        return answer

    @property
    def prefill_tokens(self) -> int:
        """Prompt tokens of answers that have no token yet."""
        return sum(answer.prompt_tokens for answer in self.answers if not answer.num_tokens)

    @property
    def context_tokens(self) -> int:
        """Prompt and answer tokens of answers that have one."""
        return sum(answer.prompt_tokens + answer.num_tokens for answer in self.answers if answer.num_tokens)

    @property
    def ttft_s(self) -> float:
        """Mean time from arrival to the first token, of late; 0 if there was none."""
        return self.ttft.at(self.timer())

    @property
    def itl_s(self) -> float:
        """Mean time between two tokens, of late; 0 if there were none."""
        return self.itl.at(self.timer())


class MeteredAnswer:
    """One answer on its way.

    Attributes:
        prompt_tokens: Tokens of its prompt.
        num_tokens: Tokens that it has so far.
    """

    def __init__(self, meter: EngineMeter, prompt_tokens: int) -> None:
        self.prompt_tokens = prompt_tokens
        self.num_tokens = 0
        self._meter = meter
        self._arrived_s = self._last_s = meter.timer()

    def started(self) -> None:
        """It has its place in the batch: its prompt is being read."""
        self._last_s = self._meter.timer()

    def produced(self) -> None:
        """It has one more token."""
        now_s = self._meter.timer()
        if self.num_tokens:
            self._meter.itl.add(now_s, now_s - self._last_s)
        else:
            self._meter.ttft.add(now_s, now_s - self._arrived_s)
            self._meter.reads.add(self._last_s, now_s, self.prompt_tokens)
        self.num_tokens += 1
        self._last_s = now_s

    def gone(self) -> None:
        """It is complete, or nobody wants it any more."""
        self._meter.answers.discard(self)
