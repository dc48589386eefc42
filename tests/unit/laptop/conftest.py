"""A model small enough to prepare in a test: a package on the path, and a converter that copies."""

import hashlib
from pathlib import Path

import pytest

from modem.laptop import models

CONTENT = b"GGUF" + bytes(1000)


def copy(gguf: Path, folder: Path, progress: models.Progress) -> None:
    """Convert by copying."""
    progress("copying", 2, models.NUM_STEPS)
    (folder / "model.safetensors").write_bytes(gguf.read_bytes())
    (folder / "config.json").write_text("{}")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> models.SmallModel:
    package = tmp_path / "site" / "tiny_model_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('must not be imported')")
    (package / "tiny.gguf").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv(models.CACHE_VARIABLE, str(tmp_path / "cache"))
    model = models.SmallModel(
        name="tiny",
        distribution="tiny-model-package==1.0",
        package="tiny_model_package",
        gguf="tiny.gguf",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        prepared_bytes=2000,
        licence="Apache-2.0",
    )
    monkeypatch.setattr(models, "MODELS", {"tiny": model})
    return model
