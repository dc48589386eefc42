from pathlib import Path

import pytest
import yaml

from modem.errors import ConfigError
from modem.evaluation.target import load_target, router_config
from modem.routing.load import SHIPPED_HEAD
from modem.routing.strategies import majority
from modem.routing.strategies.catalogue import IMPORT_PATHS
from tests.builders import DOMAINS, expert, front, mixture


def test_nothing_given_is_the_shipped_router() -> None:
    assert router_config(None).model_dump() == router_config(None, None).model_dump()
    assert router_config(None).import_path is None


def test_a_linear_head_is_known_by_its_ending() -> None:
    found = router_config(str(SHIPPED_HEAD))
    assert (found.kind, found.head) == ("linear", str(SHIPPED_HEAD))


def test_a_fitted_strategy_is_known_by_its_folder(tmp_path: Path) -> None:
    majority.fit(["a", "b", "c"], ["math", "math", "other"]).save(tmp_path)
    router, gateway = load_target(None, str(tmp_path), None)
    assert router_config(str(tmp_path)).import_path == IMPORT_PATHS["majority"]
    assert router.score(["x"])[0].scores == pytest.approx({"math": 2 / 3, "other": 1 / 3})
    assert (tuple(gateway.domains), gateway.routing.fallback) == (("math", "other"), "other")


@pytest.mark.parametrize(("file", "kind"), [("router.json", "compact"), ("config.json", "encoder")])
def test_trained_folders_are_known_by_their_files(tmp_path: Path, file: str, kind: str) -> None:
    (tmp_path / file).write_text("{}")
    found = router_config(str(tmp_path))
    assert (found.kind, found.model) == (kind, str(tmp_path))


def test_a_kind_that_is_given_is_taken(tmp_path: Path) -> None:
    assert router_config(str(tmp_path / "head"), "linear").head == str(tmp_path / "head")
    with pytest.raises(ConfigError, match="kind"):
        router_config(str(tmp_path), "tree")


def test_a_place_without_a_router_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "strategy.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"no router is there.*modem router train"):
        router_config(str(tmp_path))


def test_a_serve_config_brings_router_domains_and_thresholds(tmp_path: Path) -> None:
    patient = {"graceful_shutdown_timeout_s": 600}
    applications = [
        front(routing={"threshold": 0.8, "fallback": "math"}),
        *(expert(domain, patient) for domain in DOMAINS),
    ]
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(mixture(applications, port=8000)))
    router, gateway = load_target(file, None, None)
    assert router.identity.name == "keyword"
    assert (gateway.routing.threshold, gateway.routing.fallback) == (0.8, "math")
    for model, kind in (("x", None), (None, "linear")):
        with pytest.raises(ConfigError, match="either --config or --model"):
            load_target(file, model, kind)
