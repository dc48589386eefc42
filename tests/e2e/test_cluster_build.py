"""The GPU cluster's graph, built without a GPU: what each expert will ask the cluster for."""

import tempfile
from collections.abc import Iterator

import pytest
import ray
from ray.serve._private.build_app import build_app

from deployments.expert import build
from modem.serve_config.expert import ExpertArgs
from modem.serve_config.load import load
from tests.cluster import ROOT

pytestmark = [pytest.mark.ray, pytest.mark.vllm]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray that builds; placement needs a runtime context, not GPUs."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="modem-") as folder:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
        yield
        ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_every_expert_takes_four_gpus_of_one_node() -> None:
    experts = load(ROOT / "serve_config.yaml").experts
    assert len(experts) == 5
    for name, args in experts.items():
        assert isinstance(args, ExpertArgs)
        built = build_app(build(args), name=name)
        (deployment,) = built.deployments
        assert deployment.name == "Expert"
        replica = deployment._replica_config
        assert sum(bundle.get("GPU", 0) for bundle in replica.placement_group_bundles) == 4
        assert replica.placement_group_strategy == "PACK"
