"""``modem haproxy``: a wrapper that mends what Ray Serve's HAProxy configuration gets wrong."""

from typing import Annotated

import typer


def haproxy(
    loopback: Annotated[bool, typer.Option(help="Keep stats and metrics ports on this machine.")] = False,
) -> None:
    """Print a wrapper script for HAProxy; RAY_SERVE_HAPROXY_BINARY_PATH is to name it on every node."""
    from modem.laptop.environment import find_haproxy, haproxy_wrapper

    binary = find_haproxy()
    if binary is None:
        typer.echo("error: no HAProxy found; install ray[serve] on Linux, which brings one", err=True)
        raise typer.Exit(1)
    typer.echo(haproxy_wrapper(binary, loopback), nl=False)
