import dataclasses
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest

from modem.errors import ConfigError
from modem.laptop import models
from tests.unit.laptop.conftest import CONTENT, copy


def test_any_other_source_is_left_alone() -> None:
    for source in ("Qwen/Qwen2.5-Math-7B-Instruct", "/models/math", "s3://bucket/model", ""):
        assert models.resolve(source) == source


def test_an_unknown_model_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"modem://smollm3: no such model; known: smollm2-135m-instruct"):
        models.resolve("modem://smollm3")


def test_a_model_that_is_not_prepared_names_the_command(tiny: models.SmallModel) -> None:
    with pytest.raises(ConfigError, match=r"modem://tiny: not prepared .*; run: modem models prepare tiny$"):
        models.resolve("modem://tiny")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"MODEM_CACHE": "/data/modem"}, Path("/data/modem/models")),
        ({"MODEM_CACHE": "~/m"}, Path.home() / "m" / "models"),
        ({"MODEM_CACHE": "here"}, Path.cwd() / "here" / "models"),
        ({"MODEM_CACHE": ""}, Path.home() / ".cache" / "modem" / "models"),
        ({}, Path.home() / ".cache" / "modem" / "models"),
    ],
)
def test_the_cache_folder(environ: dict[str, str], expected: Path) -> None:
    assert models.models_dir(environ) == expected


@pytest.mark.parametrize("name", ["tiny", "modem://tiny"])
def test_preparing_makes_a_folder_that_resolves(tiny: models.SmallModel, name: str) -> None:
    (prepared,) = models.prepare([name], convert=copy)
    assert prepared.folder == models.model_folder(tiny)
    assert prepared.seconds > 0
    assert models.resolve("modem://tiny") == str(prepared.folder)
    assert (prepared.folder / "model.safetensors").read_bytes() == CONTENT


def test_a_name_given_twice_is_prepared_once(tiny: models.SmallModel) -> None:
    assert len(models.prepare(["tiny", "tiny"], convert=copy)) == 1


def test_progress_counts_the_steps(tiny: models.SmallModel) -> None:
    seen: list[tuple[str, int, int]] = []
    models.prepare(["tiny"], lambda *step: seen.append(step), copy)
    assert seen == [("checking tiny.gguf", 1, models.NUM_STEPS), ("copying", 2, models.NUM_STEPS)]


def test_a_second_run_does_nothing(tiny: models.SmallModel) -> None:
    models.prepare(["tiny"], convert=copy)

    def never(gguf: Path, folder: Path, progress: models.Progress) -> None:
        raise AssertionError("converted again")

    (again,) = models.prepare(["tiny"], convert=never)
    assert again.seconds == 0.0


def test_a_prepared_model_needs_its_package_no_more(tiny: models.SmallModel, tmp_path: Path) -> None:
    models.prepare(["tiny"], convert=copy)
    shutil.rmtree(tmp_path / "site")
    (again,) = models.prepare(["tiny"], convert=copy)
    assert again.seconds == 0.0


def test_a_look_imports_nothing_heavy(tiny: models.SmallModel) -> None:
    code = (
        "import sys; from modem.laptop import models; "
        "[models.is_prepared(model) for model in models.MODELS.values()]; "
        "print([name for name in ('torch', 'transformers', 'ray', 'numpy') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("damage", ["truncated", "missing file", "no stamp", "broken stamp", "strange stamp"])
def test_a_damaged_folder_is_prepared_anew(tiny: models.SmallModel, damage: str) -> None:
    (prepared,) = models.prepare(["tiny"], convert=copy)
    weights, stamp = prepared.folder / "model.safetensors", prepared.folder / models.STAMP
    if damage == "truncated":
        weights.write_bytes(CONTENT[:-1])
    elif damage == "missing file":
        weights.unlink()
    elif damage == "no stamp":
        stamp.unlink()
    else:
        stamp.write_text("{" if damage == "broken stamp" else "[1]")
    assert not models.is_prepared(tiny)
    models.prepare(["tiny"], convert=copy)
    assert models.is_prepared(tiny)
    assert weights.read_bytes() == CONTENT


def test_another_recipe_makes_the_folder_stale(
    tiny: models.SmallModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.prepare(["tiny"], convert=copy)
    monkeypatch.setattr(models, "RECIPE", models.RECIPE + 1)
    assert not models.is_prepared(tiny)
    models.prepare(["tiny"], convert=copy)
    assert models.is_prepared(tiny)


def test_a_missing_package_names_the_remedy(tiny: models.SmallModel, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "site")
    with pytest.raises(ConfigError, match=r"not installed; run: pip install 'modem\[laptop\]'"):
        models.prepare(["tiny"], convert=copy)


def test_an_altered_file_is_refused(tiny: models.SmallModel, tmp_path: Path) -> None:
    (tmp_path / "site" / "tiny_model_package" / "tiny.gguf").write_bytes(CONTENT + b"!")
    with pytest.raises(ConfigError, match=r"sha256 .* is not the expected .*; run: pip install --force"):
        models.prepare(["tiny"], convert=copy)
    assert not models.model_folder(tiny).exists()


def test_a_full_disk_is_refused_before_the_work(
    tiny: models.SmallModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(ConfigError, match=r"needs 0 MB, only 0 MB are free; make room or set MODEM_CACHE"):
        models.prepare(["tiny"], convert=copy)


def test_a_disk_that_fills_up_leaves_nothing(tiny: models.SmallModel) -> None:
    def fill(gguf: Path, folder: Path, progress: models.Progress) -> None:
        (folder / "half").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "half"))

    with pytest.raises(ConfigError, match=r"half: No space left on device; mend it or set MODEM_CACHE"):
        models.prepare(["tiny"], convert=fill)
    assert [path.name for path in models.models_dir().iterdir()] == [".tiny.lock"]


def test_a_cache_that_cannot_be_made_is_named(
    tiny: models.SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(models.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"file.*: Not a directory; .* set MODEM_CACHE"):
        models.prepare(["tiny"], convert=copy)


def test_what_a_killed_run_left_is_cleared(tiny: models.SmallModel) -> None:
    partial = models.models_dir() / ".tiny.partial"
    partial.mkdir(parents=True)
    (partial / "old").touch()
    (prepared,) = models.prepare(["tiny"], convert=copy)
    assert not partial.exists()
    assert not (prepared.folder / "old").exists()


def test_of_two_runs_at_once_one_converts_and_one_waits(tiny: models.SmallModel) -> None:
    conversions: list[Path] = []
    steps: list[str] = []

    def slow(gguf: Path, folder: Path, progress: models.Progress) -> None:
        conversions.append(folder)
        time.sleep(0.3)
        copy(gguf, folder, progress)

    def run() -> None:
        models.prepare(["tiny"], lambda what, step, of: steps.append(what), slow)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(conversions) == 1
    assert steps.count("waiting for another run that prepares it") == 2
    assert models.is_prepared(tiny)


def test_the_lock_is_free_after_a_failure(tiny: models.SmallModel) -> None:
    def fail(gguf: Path, folder: Path, progress: models.Progress) -> None:
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        models.prepare(["tiny"], convert=fail)
    with (models.models_dir() / ".tiny.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_registry_is_consistent() -> None:
    for name, model in models.MODELS.items():
        assert model.name == name
        assert model.source == f"modem://{name}"
        assert len(model.sha256) == 64
        assert "==" in model.distribution
        assert dataclasses.is_dataclass(model)
