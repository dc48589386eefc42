"""What ``--slo`` demands of a run."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.load.certificate import Certificate, Lateness
from modem.load.gate import Check, check, parse_gate, status
from modem.load.record import Record
from modem.load.run import Run
from modem.load.summary import summarise
from modem.slo import parse_slo
from tests.unit.load.runs import failed, make_run, record


def checked(text: str, run: Run) -> Sequence[Check]:
    return check(parse_gate(text), run, summarise(run))


def rows() -> list[Record]:
    """100 of math, one of which fails; 100 of code, ten of them slow, ten misrouted."""
    math = [record(n, "math", ttft_s=0.2) for n in range(99)]
    code = [record(100 + n, "code", ttft_s=3.0 if n < 10 else 0.5) for n in range(100)]
    wrong = [record(200 + n, "code", routed="math", ttft_s=0.5) for n in range(10)]
    return [*math, failed(99), *code[:90], *wrong]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path, rows())


def test_each_domain_and_all_are_held_to_it(run: Run) -> None:
    found = checked("ttft_p99<2s", run)
    assert [(each.domain, each.passed) for each in found] == [("code", False), ("math", True), ("all", False)]
    assert found[1].found == "0.2 s (99 % within)"


def test_one_domain_may_be_named(run: Run) -> None:
    found = checked("math:ttft_p99<1s,code:ttft_p90<3s,all:ttft_p50<1s", run)
    assert [(each.domain, each.passed) for each in found] == [("math", True), ("code", True), ("all", True)]


def test_a_failure_is_too_late(run: Run) -> None:
    (found,) = checked("math:ttft_p100<1min", run)
    assert not found.passed
    assert found.found == "never (99 % within)"


@pytest.mark.parametrize(
    ("text", "passed", "shown"),
    [
        ("math:error_rate<1%", False, "1 %"),
        ("math:error_rate<=1%", True, "1 %"),
        ("math:error_rate<0.02", True, "1 %"),
        ("code:error_rate<0.1%", True, "0 %"),
        ("code:misrouted_rate<5%", False, "10 %"),
        ("code:misrouted_rate<=10%", True, "10 %"),
        ("code:goodput>=90%", True, "90 %"),
        ("code:goodput>90%", False, "90 %"),
        ("math:goodput>=0.995", False, "99 %"),
    ],
)
def test_rates(run: Run, text: str, passed: bool, shown: str) -> None:
    (found,) = checked(text, run)
    assert (found.passed, found.found) == (passed, shown)


def test_limits_that_hold_together(run: Run) -> None:
    found = checked("share(ttft<2s,e2e<4s)>=89%", run)
    assert [each.passed for each in found] == [True, True, True]
    assert found[0].found == "90 % within"


def test_what_is_not_known_does_not_pass(tmp_path: Path) -> None:
    run = make_run(tmp_path, [record(0, routed=None, reason=None)])
    found = checked("misrouted_rate<50%", run)
    assert not any(each.passed for each in found)
    assert "no answer named its domain" in found[0].found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no target in it"),
        ("ttft_p99<2s,", "is no target"),
        ("tfft_p99<2s", "did you mean 'ttft'?"),
        ("latency<2s", "there are ttft, itl, e2e, error_rate, misrouted_rate, goodput"),
        ("eror_rate<1%", "did you mean 'error_rate'?"),
        ("error_rate>1%", "bounds the wrong side; write error_rate<1%"),
        ("goodput<90%", "bounds the wrong side; write goodput>90%"),
        ("error_rate<5", "did you mean 5%?"),
        ("error_rate", "is no rate; write one like error_rate<0.1%"),
        ("error_rate<fast", "is no rate"),
        ("math:", "is no target"),
        ("ttft_p99<2", "has no unit"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match="--slo") as error:
        parse_gate(text)
    assert says in str(error.value)


def test_a_domain_that_was_not_asked_is_named(run: Run) -> None:
    with pytest.raises(
        ConfigError, match=r"asked no domain 'maths', but code, math, all: did you mean 'math'"
    ):
        checked("maths:ttft_p99<2s", run)


@given(st.text("acdegimnoprstu_<>=:%0123456789.(), ", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ConfigError):
        assert parse_gate(text)


@pytest.mark.parametrize("text", ["math:ttft_p99<2s", "error_rate<0.1%", "share(ttft<2s,e2e<9s)>=50%"])
def test_conditions_are_told_as_they_were_written(text: str) -> None:
    (condition,) = parse_gate(text)
    assert str(condition) == text


def test_every_latency_target_of_other_commands_is_one_here() -> None:
    for text in ("ttft_p99<2s", "ttft_p90<500ms,e2e_p99<30s", "share(ttft<2s,e2e<30s)>=99%"):
        assert tuple(each.demand for each in parse_gate(text)) == parse_slo(text).targets


@pytest.mark.parametrize(
    ("passed", "certified", "expected"),
    [(True, True, 0), (False, True, 1), (True, False, 3), (False, False, 3)],
)
def test_exit_status(passed: bool, certified: bool, expected: int) -> None:
    certificate = Certificate(certified, (), Lateness(0, 0, 0, (), 0), None, None, None)
    assert status([Check("all", "x", "y", True), Check("all", "x", "y", passed)], certificate) == expected
