"""`ray.serve.llm` as experts use it. Importing this imports vLLM: 0.7 GB and ten seconds."""

import logging
import os
from typing import Any, cast

# Read at import: Ray Serve LLM would log prompts by default.
os.environ.setdefault("RAYLLM_ENABLE_REQUEST_PROMPT_LOGS", "0")

from ray.llm._internal.common.callbacks.base import CallbackBase
from ray.llm._internal.serve.core.server.llm_server import LLMServer
from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine
from ray.serve.llm import LLMConfig

from deployments.engine_load import EngineLoad
from modem.autoscaling.stats import ReplicaStats
from modem.laptop.models import resolve
from modem.serve_config.expert import ExpertArgs


class LocalModel(CallbackBase):  # type: ignore[misc]
    """Start-up without Ray's download step, for models that are folders already.

    That step is a task in a process of its own that imports vLLM once more: 12 s on a laptop.
    """

    async def on_before_node_init(self) -> None:
        """Tell Ray that there is nothing to download."""
        self.ctx.run_init_node = False


class Engine(VLLMEngine):  # type: ignore[misc]
    """Ray's engine; on a CPU with one worker, the worker runs inside the engine's own process.

    vLLM gives CPU workers a process each, to set OpenMP's variables before torch starts. Ours are
    set for the whole replica (``runtime_env``), so the process would only be a third import of
    vLLM: 0.5 GB and eight seconds.
    """

    def _prepare_engine_config(self, callback_ctx: Any) -> Any:
        engine_args, frontend_args, config = super()._prepare_engine_config(callback_ctx)
        if config.device_config.device_type == "cpu" and config.parallel_config.world_size == 1:
            config.parallel_config.distributed_executor_backend = "uni"
        return engine_args, frontend_args, config

    def _start_async_llm_engine(self, *args: Any, **kwargs: Any) -> Any:
        client = super()._start_async_llm_engine(*args, **kwargs)
        self.load = EngineLoad(client)
        return client


class QuietLLMServer(LLMServer):  # type: ignore[misc]
    """Ray's server without its usage reports, whose agent is one more process that imports vLLM."""

    _default_engine_cls = Engine
    _load_failed = False

    async def _start_engine(self) -> None:
        await self.engine.start()

    def load(self, startup_s: float) -> ReplicaStats:
        """Return the engine's load and capacity; what cannot be read is 0.

        Args:
            startup_s: What the replica took to start.
        """
        try:
            return cast(EngineLoad, self.engine.load).stats(startup_s)
        except Exception:  # whatever moved within vLLM, scaling by requests must go on
            if not self._load_failed:
                self._load_failed = True
                logging.getLogger("ray.serve").exception("The engine's load cannot be read; it counts as 0")
            return ReplicaStats(startup_s=startup_s)


def llm_config(args: ExpertArgs) -> LLMConfig:
    """Turn checked args into Ray's, with ``modem://`` sources resolved.

    Raises:
        ConfigError: A ``modem://`` model is not prepared on this machine.
    """
    values: dict[str, Any] = args.model_dump(exclude_unset=True)
    loading = values["model_loading_config"]
    for key in ("model_source", "tokenizer_source"):
        if isinstance(loading.get(key), str):
            loading[key] = resolve(loading[key])
    source = loading.get("model_source")
    if isinstance(source, str) and os.path.isdir(source) and "callback_config" not in values:
        values["callback_config"] = {"callback_class": f"{__name__}:{LocalModel.__name__}"}
    return LLMConfig(**values)


async def start_server(args: ExpertArgs) -> QuietLLMServer:
    """Start the engine and return when it can answer."""
    # Not by calling the class: its constructor is asynchronous, which only Serve knows how to call.
    server: QuietLLMServer = QuietLLMServer.sync_init(llm_config(args))
    await server.start()
    return server


def accelerator_options(args: ExpertArgs) -> dict[str, Any]:
    """Return the Serve options of an engine on accelerators: placement group, resources, environment."""
    options: dict[str, Any] = LLMServer.get_deployment_options(llm_config(args))
    return options
