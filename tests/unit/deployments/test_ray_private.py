"""Every private name of Ray that is used, held against the installed Ray: an upgrade fails here first."""

import dataclasses
import inspect
from types import SimpleNamespace
from typing import Any

import pytest
import ray.util
from ray.serve._private import replica as ray_replica
from ray.serve._private.common import (
    DeploymentHandleSource,
    DeploymentID,
    DeploymentTargetInfo,
    ReplicaID,
    RunningReplicaInfo,
)
from ray.serve._private.request_router.pow_2_router import PowerOfTwoChoicesRequestRouter
from ray.serve._private.request_router.replica_wrapper import ReplicaSelection, RunningReplica
from ray.serve._private.router import AsyncioRouter, CurrentLoopRouter, SingletonThreadRouter
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from deployments.ray_private import bind_replica_grpc_to_loopback, http_endpoint, running_replicas
from modem.experts.balance import Replica


class TestNames:
    def test_a_selection_knows_its_replica(self) -> None:
        assert "_replica" in ReplicaSelection.__annotations__

    def test_a_replica_knows_its_http_endpoint(self) -> None:
        assert isinstance(inspect.getattr_static(RunningReplica, "backend_http_endpoint"), property)

    def test_a_replicas_description_has_address_and_limit(self) -> None:
        fields = {field.name for field in dataclasses.fields(RunningReplicaInfo)}
        assert fields >= {"node_ip", "backend_http_port", "max_ongoing_requests"}

    def test_a_handle_has_a_router(self) -> None:
        assert "self._router" in inspect.getsource(DeploymentHandle)

    @pytest.mark.parametrize("router", [SingletonThreadRouter, CurrentLoopRouter])
    def test_the_router_of_a_handle_wraps_the_one_with_the_list(self, router: type) -> None:
        assert "self._asyncio_router" in inspect.getsource(router)

    def test_the_long_poll_keeps_the_list_of_the_request_router_and_no_other(self) -> None:
        assert "self._request_router" in inspect.getsource(AsyncioRouter.__init__)
        update = inspect.getsource(AsyncioRouter.update_deployment_targets)
        assert "self._active_request_router._update_running_replicas(running_replicas)" in update

    def test_a_call_waits_for_its_replica_first(self) -> None:
        source = inspect.getsource(DeploymentResponseGenerator.__anext__)
        assert source.index("self._fetch_future_result_async()") < source.index("__anext__()")

    def test_a_replica_binds_its_grpc_server_by_the_name_that_is_replaced(self) -> None:
        source = inspect.getsource(ray_replica)
        assert 'add_port_to_grpc_server(self._server, "[::]:0")' in source
        bindings = [line for line in source.splitlines() if "add_port_to_grpc_server(" in line]
        assert len(bindings) == 1, "a second server would need the same care"

    def test_it_does_so_after_the_constructor(self) -> None:
        classes = [c for _, c in inspect.getmembers(ray_replica, inspect.isclass)]
        methods = [vars(c)["_on_initialized"] for c in classes if "_on_initialized" in vars(c)]
        assert any("add_port_to_grpc_server(" in inspect.getsource(method) for method in methods)


class TestHttpEndpoint:
    @pytest.mark.parametrize("endpoint", [("127.0.0.1", 8000), None])
    def test_is_the_replicas(self, endpoint: tuple[str, int] | None) -> None:
        assert (
            http_endpoint(SimpleNamespace(_replica=SimpleNamespace(backend_http_endpoint=endpoint)))
            == endpoint
        )


def info(node_ip: str | None, port: int | None, name: str = "a") -> RunningReplicaInfo:
    """A replica as Serve's controller describes it."""
    return RunningReplicaInfo(
        replica_id=ReplicaID(name, DeploymentID("Expert", "expert-math")),
        node_id="n",
        node_ip=node_ip,
        availability_zone=None,
        actor_name="x",
        max_ongoing_requests=7,
        backend_http_port=port,
    )


class Known(RunningReplica):  # type: ignore[misc]
    """A replica whose actor is not looked for, because no cluster is there."""

    def __init__(self, described: RunningReplicaInfo) -> None:
        self._replica_info = described
        self._multiplexed_model_ids: set[str] = set()

    def push_proxy_handle(self, handle: object) -> None:
        pass


class RealRouter(AsyncioRouter):  # type: ignore[misc]
    """Serve's router of a handle, as far as it keeps the list of replicas."""

    def __init__(self) -> None:
        self._running_replicas = None
        self._running_replicas_populated = False
        self._metrics_manager = SimpleNamespace(_update_running_replicas=lambda replicas: None)
        self._request_router_class = None
        self._request_router = None

    def first_use(self) -> None:
        """What the first call does: see ``AsyncioRouter.request_router``."""
        router = PowerOfTwoChoicesRequestRouter(
            deployment_id=DeploymentID("Expert", "expert-math"),
            handle_source=DeploymentHandleSource.REPLICA,
            self_actor_id="gateway",
            create_replica_wrapper_func=Known,
            event_loop=SimpleNamespace(create_task=lambda work: work.close()),
        )
        router._update_running_replicas(self._running_replicas or [])
        self._request_router = router

    def long_poll(self, *replicas: RunningReplicaInfo) -> None:
        """What the controller tells."""
        self.update_deployment_targets(
            DeploymentTargetInfo(is_available=True, running_replicas=list(replicas))
        )


def handle(router: object) -> Any:
    return SimpleNamespace(_router=SimpleNamespace(_asyncio_router=router))


class TestRunningReplicas:
    async def test_are_those_with_an_http_port(self) -> None:
        router = RealRouter()
        router.long_poll(info("10.0.0.1", 1, "a"), info(None, 2, "b"), info("10.0.0.3", None, "c"))
        router.first_use()
        assert list(running_replicas(handle(router))) == [Replica("10.0.0.1", 1, 7)]

    async def test_are_those_of_the_moment_also_after_the_first_use(self) -> None:
        router = RealRouter()
        router.long_poll(info("10.0.0.1", 1, "a"))
        router.first_use()
        router.long_poll(info("10.0.0.1", 1, "a"), info("10.0.0.2", 2, "b"))
        assert {each.port for each in running_replicas(handle(router))} == {1, 2}
        router.long_poll(info("10.0.0.2", 2, "b"))
        assert {each.port for each in running_replicas(handle(router))} == {2}
        router.long_poll()
        assert list(running_replicas(handle(router))) == []

    @pytest.mark.parametrize(
        "unused", [handle(RealRouter()), SimpleNamespace(_router=None), SimpleNamespace(_router=object())]
    )
    def test_are_none_before_the_handle_was_used(self, unused: Any) -> None:
        assert list(running_replicas(unused)) == []

    def test_of_a_real_handle_before_its_first_use(self) -> None:
        assert list(running_replicas(DeploymentHandle("Expert", "expert-math"))) == []


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that Ray is asked to bind."""
    addresses: list[str] = []

    def original(_: Any, address: str) -> int:
        addresses.append(address)
        return 1234

    monkeypatch.setattr(ray_replica, "add_port_to_grpc_server", original)
    return addresses


class TestBindToLoopback:
    @pytest.mark.parametrize(
        ("node", "address", "expected"),
        [
            ("127.0.0.1", "[::]:0", "127.0.0.1:0"),
            ("127.0.0.1", "[::]:9000", "127.0.0.1:9000"),
            ("127.0.0.1", "10.0.0.1:0", "10.0.0.1:0"),
            ("10.0.0.1", "[::]:0", "[::]:0"),
        ],
    )
    def test_only_on_a_loopback_node(
        self, bound: list[str], monkeypatch: pytest.MonkeyPatch, node: str, address: str, expected: str
    ) -> None:
        monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: node)
        bind_replica_grpc_to_loopback()
        assert ray_replica.add_port_to_grpc_server(None, address) == 1234
        assert bound == [expected]

    @pytest.mark.usefixtures("bound")
    def test_is_done_once(self) -> None:
        bind_replica_grpc_to_loopback()
        once = ray_replica.add_port_to_grpc_server
        bind_replica_grpc_to_loopback()
        assert ray_replica.add_port_to_grpc_server is once
