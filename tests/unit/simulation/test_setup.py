from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from modem.errors import ConfigError
from modem.simulation.setup import Setup, read_setup
from tests import builders
from tests.builders import front, mixture
from tests.unit.simulation.builders import profile

ROOT = Path(__file__).parents[3]
PAIR = ("other", "math")


def expert(domain: str, deployment: Mapping[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    """A simulated expert that may finish any answer before it stops, as the check of configs wants it."""
    return builders.expert(domain, {"graceful_shutdown_timeout_s": 600, **(deployment or {})}, **settings)


def read(tmp_path: Path, applications: Sequence[Mapping[str, Any]], **options: Any) -> Setup:
    path = tmp_path / "serve_config.yaml"
    path.write_text(yaml.safe_dump(mixture(applications, 8000), sort_keys=False))
    return read_setup(path, **options)


def test_a_simulated_experts_settings_and_its_deployment_are_read(tmp_path: Path) -> None:
    setup = read(
        tmp_path,
        [
            front(domains=PAIR),
            expert("other"),
            expert(
                "math",
                deployment={"max_ongoing_requests": 30, "max_queued_requests": 3},
                autoscaling={"max_replicas": 5},
                ttft_s=0.3,
                startup_s=11,
            ),
        ],
    )
    assert setup.domains == PAIR
    math = setup.experts[1]
    assert math.profile.prefill.overhead_s == 0.3
    assert math.profile.startup_s.median_s == 11
    assert (math.max_ongoing_requests, math.max_queued_requests) == (30, 3)
    assert math.autoscaling is not None
    assert math.autoscaling.max_replicas == 5
    assert (math.application, math.deployment) == ("expert-math", "Expert")
    assert math.graceful_shutdown_timeout_s == 600
    assert math.context_length_tokens == 4096


def test_the_fallback_may_not_sleep(tmp_path: Path) -> None:
    setup = read(tmp_path, [front(domains=PAIR), expert("other"), expert("math")])
    assert {one.domain: one.may_sleep for one in setup.experts} == {"other": False, "math": True}


def test_an_applications_policy_is_read(tmp_path: Path) -> None:
    own = {**expert("other"), "autoscaling_policy": {"policy_function": "deployments.autoscaling:TokenLoad"}}
    (found,) = read(tmp_path, [front(domains=("other",)), own]).experts
    assert found.application_policy is not None
    assert found.application_policy.policy_function == "deployments.autoscaling:TokenLoad"


def test_a_fixed_number_of_replicas_is_read(tmp_path: Path) -> None:
    fixed = expert("other", deployment={"num_replicas": 3})
    del fixed["deployments"][0]["autoscaling_config"]
    setup = read(tmp_path, [front(domains=("other",)), fixed])
    assert setup.experts[0].autoscaling is None
    assert setup.experts[0].num_replicas == 3


def test_the_platform_is_that_of_the_front(tmp_path: Path) -> None:
    first = front(domains=("other",), data_plane="handles", limits={"start_timeout_s": 42})
    first["deployments"][0]["num_replicas"] = 4
    platform = read(tmp_path, [first, expert("other")]).platform
    assert (platform.num_gateways, platform.direct, platform.start_timeout_s) == (4, False, 42)


@pytest.mark.parametrize(
    ("name", "profile_name"), [("serve_config.yaml", "four H100"), ("serve_config.cpu.yaml", "SmolLM2-135M")]
)
def test_the_shipped_configs_have_committed_profiles(name: str, profile_name: str) -> None:
    setup = read_setup(ROOT / name)
    assert set(setup.domains) == {"math", "health", "science", "coding", "other"}
    assert all(profile_name in each.profile.name for each in setup.experts)


def test_given_profiles_go_before_the_committed_ones() -> None:
    mine, others = profile(name="mine"), profile(name="others")
    setup = read_setup(ROOT / "serve_config.yaml", {"math": mine}, others)
    assert {each.domain: each.profile.name for each in setup.experts} == {
        "math": "mine",
        **dict.fromkeys(("health", "science", "coding", "other"), "others"),
    }


def test_what_cannot_be_simulated_is_an_error(tmp_path: Path) -> None:
    foreign = {**expert("other"), "import_path": "somebody:build"}
    with pytest.raises(ConfigError, match="'expert-other' is none of modem's experts"):
        read(tmp_path, [front(domains=("other",)), foreign])
    auto = expert("other", deployment={"num_replicas": "auto"})
    with pytest.raises(ConfigError, match="num_replicas 'auto' is not simulated"):
        read(tmp_path, [front(domains=("other",)), auto])


def test_a_wrong_file_or_profile_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_setup(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match="There is no such key here"):
        read(tmp_path, [front(domains=("other",)), {**expert("other"), "nmae": "x"}])
    with pytest.raises(ConfigError, match="has no such domain"):
        read(tmp_path, [front(domains=("other",)), expert("other")], profiles={"history": profile()})


def test_a_model_without_a_committed_profile_asks_for_one(tmp_path: Path) -> None:
    text = (ROOT / "serve_config.yaml").read_text().replace("Qwen/Qwen2.5-Math-72B-Instruct", "acme/tiny-3b")
    path = tmp_path / "serve_config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"domain math: no committed profile for acme/tiny-3b"):
        read_setup(path)
