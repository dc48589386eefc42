"""Every name of Ray Serve that is not public, in one place, with what it is needed for.

Checked against Ray 2.60.0; `tests/unit/deployments/test_ray_private.py` fails if one of them moves.
"""

from collections.abc import Callable, Iterable
from typing import Any

import ray.util
from ray.serve._private import replica as _replica
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from modem.experts.balance import Replica

_LOOPBACK = "127.0.0.1"


def http_endpoint(selection: Any) -> tuple[str, int] | None:
    """Return host and port of the HTTP server of a chosen replica.

    `ReplicaSelection` publishes only the internal gRPC port. None if the replica has no HTTP
    server, which means that direct ingress is off.
    """
    endpoint: tuple[str, int] | None = selection._replica.backend_http_endpoint
    return endpoint


def running_replicas(handle: DeploymentHandle[Any]) -> Iterable[Replica]:
    """Return the replicas with an HTTP port that the handle's router knows at this moment.

    Serve's long poll keeps the list of the *request* router that the first call makes. What
    `AsyncioRouter._running_replicas` has is older: it is not touched any more once there is one
    (``AsyncioRouter.update_deployment_targets``). The list is empty until the handle was first used, and
    while the expert sleeps.
    """
    router = getattr(getattr(handle._router, "_asyncio_router", None), "_request_router", None)
    # A list at once: the router has a thread of its own, which changes the mapping.
    for replica in list(router.curr_replicas.values()) if router is not None else ():
        if replica.backend_http_endpoint is not None:
            host, port = replica.backend_http_endpoint
            yield Replica(host, port, replica.max_ongoing_requests)


async def assigned(response: DeploymentResponseGenerator[Any]) -> None:
    """Wait until a replica has taken a call.

    Raises:
        BackPressureError: Too many calls wait.
        DeploymentUnavailableError: There is no such deployment any more.
    """
    await response._fetch_future_result_async()


def bind_replica_grpc_to_loopback() -> None:
    """Keep a replica's internal gRPC server on loopback where the whole node is on loopback.

    Serve binds that server to all interfaces whatever the node's address is
    (``Replica._on_initialized``). On a node whose address is 127.0.0.1 nobody else may call it.
    Deployments call this in their constructor, which runs in the replica before it binds.
    """
    if getattr(_replica.add_port_to_grpc_server, "binds_loopback", False):
        return
    original: Callable[[Any, str], int] = _replica.add_port_to_grpc_server

    def bind(server: Any, address: str) -> int:
        if address.startswith("[::]:") and ray.util.get_node_ip_address() == _LOOPBACK:
            address = address.replace("[::]", _LOOPBACK, 1)
        return original(server, address)

    bind.binds_loopback = True  # type: ignore[attr-defined]
    _replica.add_port_to_grpc_server = bind
