"""Work on several cores."""

import pytest

from modem.errors import ConfigError
from modem.tuning.workers import crew


def square(number: int) -> int:
    if number < 0:
        raise ConfigError("negative")
    return number * number


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order_and_errors_are_passed_on(processes: int) -> None:
    seen: list[tuple[int, int]] = []

    def note(done: int, total: int) -> None:
        seen.append((done, total))

    with crew(processes) as workers:
        assert workers.do(square, [(n,) for n in range(5)], note) == [0, 1, 4, 9, 16]
        assert seen == [(n, 5) for n in range(1, 6)]
        with pytest.raises(ConfigError, match="negative"):
            workers.do(square, [(1,), (-1,)], note)
