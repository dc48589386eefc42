import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.jsonl import read_objects

OBJECTS = st.lists(st.dictionaries(st.text(), st.integers() | st.text() | st.none()), max_size=5)


def test_empty_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"a": 1}\n\n  \n{"a": 2}\n')
    assert list(read_objects(file, "a")) == [({"a": 1}, f"{file}:1"), ({"a": 2}, f"{file}:4")]


@given(OBJECTS)
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    file = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows))
    assert [row for row, _ in read_objects(file, "a")] == rows


@pytest.mark.parametrize(
    ("line", "message"), [("{", ":2: not JSON"), ("[1]", ":2: expected an object with a, b")]
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(f"{{}}\n{line}\n")
    with pytest.raises(ConfigError, match=message):
        list(read_objects(file, "a, b"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.jsonl: cannot be read: No such file"):
        list(read_objects(tmp_path / "none.jsonl", "a"))
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"bytes\.jsonl: not UTF-8"):
        list(read_objects(tmp_path / "bytes.jsonl", "a"))
