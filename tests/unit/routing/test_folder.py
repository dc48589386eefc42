import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from modem.errors import ConfigError
from modem.routing.folder import BACKGROUND, MODEL, ROUTER, TOKENIZER, read_background, read_router_file
from tests.builders import DOMAINS
from tests.compact import DIM, MAX_TOKENS, write_compact_router

TRAIN = "modem router train"


def test_what_the_folder_says_is_read(tmp_path: Path) -> None:
    found = read_router_file(write_compact_router(tmp_path, temperature=1.5, base="all-MiniLM-L6-v2"))
    assert (found.name, found.version, found.domains) == ("tiny", "1", DOMAINS)
    assert (found.temperature, found.max_tokens) == (1.5, MAX_TOKENS)
    assert (found.trained_on, found.base) == ("2026-01-02", "all-MiniLM-L6-v2")


def test_keys_of_other_readers_are_left_alone(tmp_path: Path) -> None:
    assert read_router_file(write_compact_router(tmp_path, threshold_chosen_on="validation")).name == "tiny"


def test_what_may_be_left_out_has_defaults(tmp_path: Path) -> None:
    found = read_router_file(write_compact_router(tmp_path, temperature=None, trained_on=None, base=None))
    assert (found.temperature, found.trained_on, found.base) == (1.0, "", "")


def test_a_missing_folder_says_how_to_train_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"there is no folder '{tmp_path}/none'.*{TRAIN}"):
        read_router_file(tmp_path / "none")


@pytest.mark.parametrize("name", [MODEL, TOKENIZER, ROUTER])
def test_a_folder_without_one_of_its_files_is_refused(tmp_path: Path, name: str) -> None:
    (write_compact_router(tmp_path) / name).unlink()
    with pytest.raises(ConfigError, match=rf"has no {name}.*{TRAIN}"):
        read_router_file(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"has no {ROUTER}, so it is no compact router's; .*{TRAIN}"):
        read_router_file(tmp_path)


@pytest.mark.parametrize("names", [["config.json"], ["config.json", ROUTER]])
def test_a_checkpoint_is_told_which_kind_it_is(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ConfigError, match="write kind: encoder"):
        read_router_file(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "modem-router-2"}, "format"),
        ({"format": None}, "format"),
        ({"name": ""}, "name"),
        ({"version": None}, "version"),
        ({"domains": ("only",)}, "domains"),
        ({"domains": ("a", "b", "a")}, "once each"),
        ({"domains": ("a", "No Id")}, r"domains\.1"),
        ({"temperature": 0}, "temperature"),
        ({"max_tokens": 2}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
    ],
)
def test_wrong_values_name_themselves(tmp_path: Path, changes: Mapping[str, Any], message: str) -> None:
    file = write_compact_router(tmp_path) / ROUTER
    content = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    with pytest.raises(ConfigError, match=rf"(?s){ROUTER} is not usable.*{message}.*{TRAIN}"):
        read_router_file(tmp_path)


@pytest.mark.parametrize("content", ["", "not json", "[]", "7"])
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: str) -> None:
    (write_compact_router(tmp_path) / ROUTER).write_text(content)
    with pytest.raises(ConfigError, match="is not usable"):
        read_router_file(tmp_path)


def test_the_background_is_read_in_single_precision(tmp_path: Path) -> None:
    found = read_background(write_compact_router(tmp_path), DIM, len(DOMAINS))
    assert found is not None
    assert found.embeddings.shape == (4 * len(DOMAINS), DIM)
    assert found.embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-3)
    assert sorted(set(found.labels.tolist())) == list(range(len(DOMAINS)))


def test_a_folder_may_have_no_background(tmp_path: Path) -> None:
    assert read_background(write_compact_router(tmp_path, background=False), DIM, len(DOMAINS)) is None


Tensors = dict[str, np.ndarray]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("labels"), "labels"),
        (lambda t: t.update(labels=np.zeros(3, np.int64)), "3 labels"),
        (lambda t: t.update(labels=np.full(20, 5)), "of 5 domains"),
        (lambda t: t.update(embeddings=np.zeros((20, 8), np.float16)), r"embeddings \[20, 8\]"),
        (lambda t: t.update(embeddings=np.zeros(20, np.float16)), r"embeddings \[20\]"),
    ],
)
def test_a_background_of_another_router_is_refused(
    tmp_path: Path, change: Callable[[Tensors], object], message: str
) -> None:
    tensors: Tensors = {"embeddings": np.zeros((20, DIM), np.float16), "labels": np.zeros(20, np.int64)}
    change(tensors)
    save_file(tensors, tmp_path / BACKGROUND)
    with pytest.raises(ConfigError, match=rf"{BACKGROUND}.*{message}.*{TRAIN}"):
        read_background(tmp_path, DIM, len(DOMAINS))


def test_another_kind_of_file_is_no_background(tmp_path: Path) -> None:
    (tmp_path / BACKGROUND).write_bytes(b"no safetensors")
    with pytest.raises(ConfigError, match="is not usable"):
        read_background(tmp_path, DIM, len(DOMAINS))
