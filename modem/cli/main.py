"""The ``modem`` command: one sub-command a file."""

import typer

from modem.cli import config, haproxy, models, route, router, up

app = typer.Typer(
    name="modem",
    help="Serve a mixture of domain expert models on Ray Serve and vLLM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.add_typer(config.app, name="config")
app.add_typer(models.app, name="models")
app.command(name="up")(up.up)
app.add_typer(router.app, name="router")
app.command(name="route")(route.route)
app.command(name="haproxy")(haproxy.haproxy)
