"""Writes the list of vLLM's engine arguments that ``modem config check`` compares names with.

``python -m tests.unit.serve_config.engine_args > modem/serve_config/engine_args.txt``
"""

import dataclasses

HEADER = """\
# The engine arguments of vLLM 0.32: the fields of AsyncEngineArgs and FrontendArgs, without
# the private ones and without the two that Ray Serve LLM sets itself (model, served_model_name).
# Written by: python -m tests.unit.serve_config.engine_args > modem/serve_config/engine_args.txt
"""


def render() -> str:
    """Return the file's text for the installed vLLM."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import FrontendArgs

    fields = (*dataclasses.fields(AsyncEngineArgs), *dataclasses.fields(FrontendArgs))
    names = {field.name for field in fields if not field.name.startswith("_")}
    return HEADER + "".join(f"{name}\n" for name in sorted(names - {"model", "served_model_name"}))


if __name__ == "__main__":
    print(render(), end="")
