"""``modem config``: look at Serve config files without starting anything."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Check Serve config files.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep ``check`` a sub-command although it is the only one."""


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="Serve config files.", metavar="FILE...")],
) -> None:
    """Say what is wrong with each file, before it costs a deployment.

    Exit status: 0 all files are fine, 1 a file has problems, 2 a file cannot be read.
    """
    from modem.serve_config.check import check_text  # here, because pydantic would slow every command

    status = 0
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            typer.echo(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}", err=True)
            status = 2
            continue
        doc, problems = check_text(text, str(file))
        for problem in problems:
            typer.echo(f"{problem}\n")
        if problems or doc is None:
            typer.echo(f"{file}: {len(problems)} problem{'s' if len(problems) != 1 else ''}")
            status = max(status, 1)
        else:
            domains = len(doc.gateway.domains) if doc.gateway else 0
            typer.echo(f"{file}: ok: {len(doc.applications)} applications, {domains} domains")
    raise typer.Exit(status)
