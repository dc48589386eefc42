import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from modem.errors import ConfigError
from modem.laptop import models, preflight
from modem.laptop.preflight import GIB, Plan, check_machine, check_memory, check_port, plan_of, read_plan
from tests.builders import ASLEEP, expert, front, mixture
from tests.unit.laptop.conftest import copy
from tests.unit.laptop.listener import listening

FILE = Path("serve_config.yaml")


def engine(
    name: str, deployments: list[dict[str, Any]] | None, source: str = "modem://tiny"
) -> dict[str, Any]:
    return {
        "name": name,
        "route_prefix": None,
        "import_path": "deployments.expert:build",
        "args": {"model_loading_config": {"model_id": name, "model_source": source}},
        **({} if deployments is None else {"deployments": deployments}),
    }


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "config": FILE,
        "host": "127.0.0.1",
        "port": 8000,
        "applications": (),
        "models": (),
        "num_engines": 5,
        "num_warm_engines": 1,
    }
    return Plan(**{**values, **changes})


def scaled(**autoscaling: int) -> list[dict[str, Any]]:
    return [{"name": "Expert", "autoscaling_config": autoscaling}]


def test_a_plan_reads_what_the_start_depends_on() -> None:
    document = mixture(
        [
            front(),
            engine("expert-other", scaled(min_replicas=1)),
            engine("expert-math", scaled(min_replicas=0), "modem://tiny"),
            engine("expert-coding", scaled(min_replicas=0), "/models/coding"),
            expert("science"),
        ],
        8123,
    )
    assert plan_of(FILE, document) == Plan(
        config=FILE,
        host="127.0.0.1",
        port=8123,
        applications=("modem", "expert-other", "expert-math", "expert-coding", "expert-science"),
        models=("modem://tiny",),
        num_engines=3,
        num_warm_engines=1,
    )


@pytest.mark.parametrize(
    ("deployments", "warm"),
    [
        (None, 1),
        ([], 1),
        ([{"name": "Expert"}], 1),
        ([{"name": "Expert", "num_replicas": 2}], 1),
        ([{"name": "Expert", "num_replicas": "auto"}], 1),
        (scaled(max_replicas=2), 1),
        (scaled(min_replicas=0), 0),
        (scaled(min_replicas=0, initial_replicas=1), 1),
        (scaled(min_replicas=1, initial_replicas=1), 1),
    ],
)
def test_warm_is_who_has_a_replica_from_the_start(
    deployments: list[dict[str, Any]] | None, warm: int
) -> None:
    document = {"applications": [engine("expert-math", deployments)]}
    assert plan_of(FILE, document).num_warm_engines == warm


def test_serves_own_defaults_stand_for_what_is_left_out() -> None:
    found = plan_of(FILE, {"applications": []})
    assert (found.host, found.port, found.url) == ("0.0.0.0", 8000, "http://127.0.0.1:8000")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("10.1.2.3", "http://10.1.2.3:8000"),
    ],
)
def test_the_url_is_one_that_this_machine_reaches(host: str, url: str) -> None:
    assert plan(host=host).url == url


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml: no such file; give the path"):
        read_plan(tmp_path / "none.yaml")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"c.yaml: cannot be read"):
        read_plan(tmp_path / "c.yaml")


def test_each_problem_is_one_line_with_its_place(tmp_path: Path) -> None:
    document = mixture(
        [front(), *(expert(d) for d in ("other", "math", "health", "science", "coding"))], 8123
    )
    document["applications"][0]["deployments"][0]["max_ongoing_request"] = 1
    document["http_options"]["prt"] = 1
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigError) as caught:
        read_plan(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{path}: ") for line in lines)
    assert any("max_ongoing_request:" in line and "max_ongoing_requests" in line for line in lines)
    assert any("prt:" in line and "port" in line for line in lines)


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    sleepers = (expert(domain, autoscaling=ASLEEP) for domain in ("math", "health", "science", "coding"))
    applications = [front(limits={"request_timeout_s": 5}), expert("other"), *sleepers]
    path.write_text(yaml.safe_dump(mixture(applications, 8123)))
    found = read_plan(path)
    assert (found.port, found.num_engines, found.models) == (8123, 0, ())


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_says_by_whom(reuse: bool, host: str) -> None:
    with listening(reuse) as port:
        expected = (
            rf"port {port} is taken by .+ \(process {os.getpid()}\); stop .* http_options.port in serve_"
        )
        with pytest.raises(ConfigError, match=expected):
            check_port(plan(host=host, port=port))
    check_port(plan(host=host, port=port))


def test_a_listener_on_every_address_counts() -> None:
    with listening(host="0.0.0.0") as port, pytest.raises(ConfigError, match="is taken"):
        check_port(plan(port=port))


@pytest.mark.parametrize(
    ("engines", "warm", "available_gib", "outcome"),
    [
        (5, 1, 14.0, "fits"),
        (5, 1, 13.9, "warns"),
        (5, 1, 4.0, "warns"),
        (5, 1, 3.9, "refused"),
        (1, 1, 4.0, "fits"),
        (0, 0, 1.5, "fits"),
        (0, 0, 1.4, "refused"),
        (5, 5, 13.9, "refused"),
    ],
)
def test_memory(engines: int, warm: int, available_gib: float, outcome: str) -> None:
    the_plan = plan(num_engines=engines, num_warm_engines=warm)
    available_bytes = int(available_gib * GIB)
    if outcome == "refused":
        expected = rf"{available_gib:.1f} GiB of memory are available, the start needs [\d.]+ GiB"
        with pytest.raises(ConfigError, match=expected):
            check_memory(the_plan, available_bytes)
        return
    warnings = check_memory(the_plan, available_bytes)
    assert bool(warnings) == (outcome == "warns")
    assert all("all 5 experts at once would need 14.0 GiB" in warning for warning in warnings)


def test_a_model_without_its_package_is_refused_at_once(
    tiny: models.SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening() as port:
        free = plan(port=port, models=("modem://tiny",), num_engines=0, num_warm_engines=0)
    monkeypatch.setattr(preflight, "BASE_BYTES", 0)
    assert check_machine(free) == []
    (tmp_path / "site" / "tiny_model_package" / "tiny.gguf").rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"tiny-model-package==1\.0 is not installed"):
        check_machine(free)
    (tmp_path / "elsewhere").rename(tmp_path / "site" / "tiny_model_package" / "tiny.gguf")
    models.prepare(["tiny"], convert=copy)
    (tmp_path / "site" / "tiny_model_package" / "tiny.gguf").unlink()
    assert check_machine(free) == []


def test_an_unknown_model_is_refused() -> None:
    with listening() as port:
        free = plan(port=port, models=("modem://none",))
    with pytest.raises(ConfigError, match="modem://none: no such model"):
        check_machine(free)
