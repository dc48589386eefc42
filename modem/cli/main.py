"""The ``modem`` command: one sub-command a file."""

import typer

app = typer.Typer(
    name="modem",
    help="Serve a mixture of domain expert models on Ray Serve and vLLM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
