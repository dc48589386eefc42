"""The folder of a run outlives whatever ends it."""

import json
from pathlib import Path

import pytest

from modem.errors import ConfigError
from modem.load.folder import CLIENT, CLUSTER, REQUESTS, RUN, RunFolder, check_free


def test_what_was_appended_is_there_before_it_is_closed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a" / "run")
    folder.append(REQUESTS, b"1\n")
    folder.append(REQUESTS, b"2\n3\n")
    folder.append(CLIENT, b"x\n")
    assert (folder.path / REQUESTS).read_bytes() == b"1\n2\n3\n"
    assert (folder.path / CLIENT).read_bytes() == b"x\n"
    assert (folder.path / CLUSTER).read_bytes() == b""


def test_run_json_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.write_run({"seed": 1, "name": "Größe"})
    folder.write_run({"seed": 2})
    folder.close()
    folder.close()
    assert json.loads((folder.path / RUN).read_text()) == {"seed": 2}
    assert sorted(path.name for path in folder.path.iterdir()) == sorted([RUN, REQUESTS, CLIENT, CLUSTER])


def test_of_a_run_that_never_began_nothing_is_left(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").close()
    assert not (tmp_path / "run").exists()


def test_a_folder_with_other_things_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    RunFolder(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", [RUN, REQUESTS])
def test_a_run_is_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(ConfigError, match="holds a run already; name another folder"):
        RunFolder(tmp_path)
    assert (tmp_path / name).read_text() == "precious"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is no folder"):
        check_free(tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot be written to"):
        RunFolder(tmp_path / "file" / "below")
