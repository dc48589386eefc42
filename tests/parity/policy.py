"""The recorder as a policy: the only code of ours that Serve loads into its controller.

Serve sends a policy's own module by value and what that imports by name, so the recorder is a module of
its own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.serve._private.autoscaling_state import _resolve_policy_callable
from ray.serve.config import AutoscalingPolicy

from tests.parity import recorder

DEFAULT = "ray.serve.autoscaling_policy:default_autoscaling_policy"


class Recording:
    """Decides as another policy does, while the controller around it is recorded.

    Args:
        folder: Where the records go.
        policy_function: Import path of the policy that decides.
        policy_kwargs: What it is made with.
    """

    def __init__(
        self, folder: str, policy_function: str = DEFAULT, policy_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        recorder.install(Path(folder))
        self._policy = _resolve_policy_callable(
            AutoscalingPolicy(policy_function=policy_function, policy_kwargs=dict(policy_kwargs or {}))
        )

    def __call__(self, ctx: Any) -> Any:
        return self._policy(ctx)


def recorded(autoscaling: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return an ``autoscaling_config`` that scales as before and is recorded."""
    return {
        **autoscaling,
        "policy": {
            "policy_function": recorder.POLICY,
            "policy_kwargs": {"folder": str(folder), **autoscaling.get("policy", {})},
        },
    }
