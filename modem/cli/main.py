"""The ``modem`` command: one sub-command a file."""

import typer

from modem.cli import (
    config,
    haproxy,
    load,
    models,
    plan,
    profile,
    route,
    router,
    router_add_domain,
    router_boilerplate,
    router_calibrate,
    router_compare,
    router_eval,
    simulate,
    tune,
    up,
)

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
router.app.command(name="eval")(router_eval.evaluate_command)
router.app.command(name="compare")(router_compare.compare_command)
router.app.command(name="boilerplate")(router_boilerplate.boilerplate)
router.app.command(name="calibrate")(router_calibrate.calibrate)
router.app.command(name="add-domain")(router_add_domain.add_domain)
app.command(name="route")(route.route)
app.command(name="plan")(plan.plan_command)
app.command(name="profile")(profile.profile)
app.command(name="simulate")(simulate.simulate_command)
app.command(name="tune")(tune.tune_command)
app.add_typer(load.app, name="load")
app.command(name="haproxy")(haproxy.haproxy)
