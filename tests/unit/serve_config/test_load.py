from pathlib import Path

import pytest
import yaml

from modem.config import SimulatedExpertConfig
from modem.errors import ConfigError
from modem.serve_config.expert import ExpertArgs
from modem.serve_config.load import load
from tests.unit.serve_config.builder import append, drop, every, foreign, put, valid

ROOT = Path(__file__).parents[3]


def written(tmp_path: Path, config: object) -> Path:
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def test_a_valid_file_gives_front_and_experts(tmp_path: Path) -> None:
    config = valid()
    append("applications", foreign())(config)
    loaded = load(written(tmp_path, config))
    assert loaded.http.port == 8000
    assert loaded.front.application == "modem"
    assert loaded.front.args.router.kind == "linear"
    assert set(loaded.front.gateway.domains) == {"math", "other"}
    assert set(loaded.experts) == {"expert-math", "expert-other"}
    assert isinstance(loaded.experts["expert-math"], ExpertArgs)
    assert isinstance(loaded.experts["expert-other"], SimulatedExpertConfig)


def test_all_problems_are_in_the_message(tmp_path: Path) -> None:
    config = valid()
    every(
        put("applications[1].route_prefix", "/math"),
        drop("applications[2].deployments[0].max_queued_requests"),
    )(config)
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, config))
    assert "applications[1].route_prefix" in str(caught.value)
    assert "applications[2].deployments[0].max_queued_requests" in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "", "applications: []"])
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"serve\.yaml"):
        load(file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "binary.yaml")


@pytest.mark.parametrize("file", ["serve_config.yaml", "serve_config.cpu.yaml"])
def test_the_shipped_files_load(file: str) -> None:
    loaded = load(ROOT / file)
    assert {domain.application for domain in loaded.front.gateway.domains.values()} == set(loaded.experts)
