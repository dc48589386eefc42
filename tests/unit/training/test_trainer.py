"""Which precision a training takes where the recipe leaves it open."""

from pathlib import Path

import pytest
import torch

from modem.training.recipe import Recipe
from modem.training.trainer import arguments, multiplies_bf16

CPU = Path("/proc/cpuinfo")


@pytest.mark.skipif(torch.cuda.is_available() or not CPU.exists(), reason="needs Linux without a GPU")
def test_a_cpu_is_given_bfloat16_only_if_it_has_instructions_for_it() -> None:
    flags = next(line for line in CPU.read_text().splitlines() if line.startswith(("flags", "Features")))
    assert multiplies_bf16() == ("amx_bf16" in flags.split())


@pytest.mark.gpu
def test_a_gpu_with_bfloat16_is_given_it() -> None:
    assert multiplies_bf16() == torch.cuda.is_bf16_supported()


@pytest.mark.parametrize("given", [True, False])
def test_what_a_recipe_says_is_done(given: bool, tmp_path: Path) -> None:
    assert arguments(Recipe(name="test", bf16=given), tmp_path).bf16 is given


def test_what_a_recipe_leaves_open_the_processor_decides(tmp_path: Path) -> None:
    assert arguments(Recipe(name="test"), tmp_path).bf16 is multiplies_bf16()
