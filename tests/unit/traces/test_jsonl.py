import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.traces import jsonl
from modem.traces.trace import ANY_DOMAIN, Arrival, Trace

GOOD = {"t_s": 1.5, "domain": "math", "prompt_tokens": 10, "output_tokens": 5}


def read_lines(tmp_path: Path, *lines: object) -> Trace:
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return jsonl.read(path, ("math", "other"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.builds(
            Arrival,
            st.floats(0, 1e6),
            st.sampled_from(("math", ANY_DOMAIN)),
            st.integers(1, 10**6),
            st.integers(1, 10**6),
            st.one_of(st.none(), st.text(max_size=5)),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_what_is_written_is_read_back(tmp_path: Path, rows: Sequence[Arrival]) -> None:
    path = tmp_path / "trace.jsonl"
    jsonl.write(path, Trace.of(rows))
    assert list(jsonl.read(path)) == list(Trace.of(rows))


def test_lines_in_any_order_are_sorted_and_empty_ones_skipped(tmp_path: Path) -> None:
    trace = read_lines(tmp_path, {**GOOD, "t_s": 9}, "\n", {**GOOD, "t_s": 2})
    assert [row.t_s for row in trace] == [2, 9]


def test_a_session_and_a_missing_domain_are_read(tmp_path: Path) -> None:
    line = {"t_s": 0, "prompt_tokens": 1, "output_tokens": 1, "session": "u7"}
    assert list(read_lines(tmp_path, line)) == [Arrival(0, ANY_DOMAIN, 1, 1, "u7")]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"domain": "math", "prompt_tokens": 1, "output_tokens": 1}, "t_s is missing; a line has t_s"),
        ({**GOOD, "output_tokens": None}, "output_tokens is None: write a number"),
        ({**GOOD, "t_s": -1}, "t_s is -1: times count from the start, so 0 or more"),
        ({**GOOD, "t_s": "soon"}, "t_s is 'soon': write a number"),
        ({**GOOD, "t_s": True}, "t_s is True: write a number"),
        ({**GOOD, "t_s": float("nan")}, "t_s is nan: write a finite number"),
        ({**GOOD, "prompt_tokens": float("inf")}, "prompt_tokens is inf: write a finite number"),
        ({**GOOD, "prompt_tokens": 0}, "prompt_tokens is 0: write a whole number"),
        ({**GOOD, "prompt_tokens": 1.5}, "prompt_tokens is 1.5: write a whole number"),
        ({**GOOD, "output_tokens": 10**9}, "output_tokens is 1e+09: write a whole number"),
        ({**GOOD, "domain": "maths"}, "domain 'maths' is none of math, other"),
        ({**GOOD, "domain": 3}, "domain is 3: write the name of a domain"),
        ({**GOOD, "session": 3}, "session is 3: write a text"),
        ("{'t_s': 1}\n", "not JSON"),
        ("[1, 2]\n", "expected an object with t_s"),
    ],
)
def test_a_wrong_line_is_named_by_file_and_line(tmp_path: Path, bad: object, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_lines(tmp_path, GOOD, "\n", bad)
    assert f"{tmp_path / 'trace.jsonl'}:3: {message}" in str(error.value)


def test_an_empty_or_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no request in it"):
        read_lines(tmp_path, "\n")
    with pytest.raises(ConfigError, match=r"nowhere\.jsonl: cannot be read"):
        jsonl.read(tmp_path / "nowhere.jsonl")


def test_a_folder_that_does_not_exist_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        jsonl.write(tmp_path / "no" / "trace.jsonl", Trace.of([]))
