"""The two files at the root of the repository."""

import copy
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from ray.serve.schema import ServeDeploySchema

from modem.serve_config.check import check_file, check_text
from modem.serve_config.expert import engine_args
from modem.serve_config.problems import Path as KeyPath
from modem.serve_config.problems import render

ROOT = Path(__file__).parents[3]
FILES = ["serve_config.yaml", "serve_config.cpu.yaml"]
FREE = {"env_vars", "bundle_per_worker"}
"""Names of environment variables and custom resources are anybody's choice."""


@cache
def raw(file: str) -> Any:
    return yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))


def keys(node: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the path of every key that is not in a free-form part."""
    for part, child in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(node, dict):
            yield (*path, part)
        if isinstance(child, dict | list) and part not in FREE:
            yield from keys(child, (*path, part))


@pytest.mark.parametrize("file", FILES)
def test_we_find_nothing_wrong(file: str) -> None:
    assert check_file(ROOT / file) == []


@pytest.mark.parametrize("file", FILES)
def test_ray_takes_it(file: str) -> None:
    ServeDeploySchema.model_validate(copy.deepcopy(raw(file)))


@pytest.mark.parametrize("file", FILES)
def test_nobody_gets_at_an_expert_and_the_fallback_never_sleeps(file: str) -> None:
    for application in raw(file)["applications"][1:]:
        assert application["route_prefix"] is None
        (deployment,) = application["deployments"]
        low = deployment["autoscaling_config"]["min_replicas"]
        assert low == (1 if application["name"] == "expert-other" else 0)


def test_the_laptop_is_closed_and_fits_two_cpus() -> None:
    config = raw("serve_config.cpu.yaml")
    assert config["http_options"]["host"] == "127.0.0.1"
    front, *experts = config["applications"]
    cpus = sum(deployment["ray_actor_options"]["num_cpus"] for deployment in front["deployments"])
    for expert in experts:
        # Serve LLM reserves the worker's bundle and, in it, the replica itself.
        cpus += expert["args"]["placement_group_config"]["bundle_per_worker"]["CPU"]
        cpus += expert["args"]["deployment_config"]["ray_actor_options"]["num_cpus"]
    assert cpus <= 2


@st.composite
def misspellings(draw: st.DrawFn) -> tuple[str, KeyPath, str]:
    """One key of one file with one character dropped, added, changed or swapped."""
    file = draw(st.sampled_from(FILES))
    path = draw(st.sampled_from(list(keys(raw(file)))))
    key = str(path[-1])
    index = draw(st.integers(0, len(key) - 1))
    letter = draw(st.sampled_from(string.ascii_lowercase + "_"))
    wrong = draw(
        st.sampled_from(
            [
                key[:index] + key[index + 1 :],
                key[:index] + letter + key[index:],
                key[:index] + letter + key[index + 1 :],
                key[:index] + key[index + 1 : index + 2] + key[index : index + 1] + key[index + 2 :],
            ]
        )
    )
    assume(wrong and wrong != key and wrong not in engine_args())
    return file, path, wrong


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(misspellings())
def test_any_misspelt_key_is_found_where_it_is(case: tuple[str, KeyPath, str]) -> None:
    file, path, wrong = case
    config = copy.deepcopy(raw(file))
    node = config
    for part in path[:-1]:
        node = node[part]
    assume(wrong not in node)
    node[wrong] = node.pop(path[-1])
    found = [problem.path for problem in check_text(yaml.safe_dump(config, sort_keys=False), file)[1]]
    if len(path) > 1 and path[-2] == "domains":
        assert found  # a domain id is free; what no longer fits it is found elsewhere
    else:
        assert render((*path[:-1], wrong)) in found
