"""The front application, the file's names and the limits of all requests."""

from collections.abc import Callable
from difflib import get_close_matches

from modem.config import SimulatedExpertConfig
from modem.serve_config.document import BUILDERS, Document
from modem.serve_config.problems import suggest
from modem.serve_config.rules.base import Problems, known_deployments, scaling_of

MIN_START_TIMEOUT_S = 60.0
"""A cold vLLM process imports for about a minute even with a tiny model."""


def one_front(doc: Document) -> Problems:
    """There is one front application, or nobody answers, or two routers disagree."""
    fronts = doc.fronts
    if not fronts:
        yield doc.problem(
            ("applications",),
            [application.name for application in doc.applications],
            "No application is the front: none has the import_path deployments.gateway:build.",
            "Add it, or correct its import_path.",
        )
    for front in fronts[1:]:
        yield doc.problem(
            front.path,
            front.name,
            f"A second front application, after {fronts[0].name!r}.",
            "Remove one: a file serves one set of domains.",
        )


def unique_names(doc: Document) -> Problems:
    """No two applications share a name."""
    first: dict[str, int] = {}
    for application in doc.applications:
        if application.name in first:
            yield doc.problem(
                (*application.path, "name"),
                application.name,
                f"applications[{first[application.name]}] has this name already.",
                "Rename one of them.",
            )
        first.setdefault(application.name, application.index)


def unique_routes(doc: Document) -> Problems:
    """No two applications listen on the same route."""
    first: dict[str, int] = {}
    for application in doc.applications:
        route = application.schema.route_prefix if application.schema else None
        # A public expert has a rule of its own.
        if route is None or application.kind in ("llm", "simulated"):
            continue
        if route in first:
            yield doc.problem(
                (*application.path, "route_prefix"),
                route,
                f"applications[{first[route]}] has this route already.",
                "Choose another prefix, or null for an application without HTTP.",
            )
        first.setdefault(route, application.index)


def import_path_is_spelt_right(doc: Document) -> Problems:
    """An import path that nearly is one of ours is a misspelling, not a foreign application."""
    for application in doc.applications:
        if application.schema is None or application.kind != "foreign":
            continue
        path = application.schema.import_path
        near = get_close_matches(path, BUILDERS, n=1, cutoff=0.85)
        if near or path.startswith("deployments."):
            yield doc.problem(
                (*application.path, "import_path"),
                path,
                "modem has no such builder.",
                suggest(path, sorted(BUILDERS)),
            )


def front_is_reachable(doc: Document) -> Problems:
    """The front application has a route."""
    for front in doc.fronts:
        if front.schema is not None and front.schema.route_prefix is None:
            yield doc.problem(
                (*front.path, "route_prefix"),
                None,
                "Without a route nobody reaches the gateway.",
                "Write '/'.",
            )


def front_deployments_exist(doc: Document) -> Problems:
    """The front application consists of Gateway and Router; Serve refuses other names."""
    for front in doc.fronts:
        entries = front.schema.deployments if front.schema else ()
        yield from known_deployments(doc, front.path, entries, _FRONT)


_FRONT = ("Gateway", "Router")


def gateway_has_settings(doc: Document) -> Problems:
    """The Gateway learns its domains from its user_config and does not start without."""
    for front in doc.fronts:
        deployments = front.schema.deployments if front.schema else ()
        if front.schema and not any(d.name == "Gateway" and d.user_config is not None for d in deployments):
            yield doc.problem(
                (*front.path, "deployments"),
                [deployment.name for deployment in deployments],
                "No deployment 'Gateway' with a user_config: the domains are not defined.",
                "Add 'name: Gateway' with 'user_config: {domains: ..., routing: ..., limits: ...}'.",
            )


def front_never_sleeps(doc: Document) -> Problems:
    """The Gateway has a fixed number of replicas and the Router is never scaled to zero.

    Each change of the number of ingress replicas reloads HAProxy, which cuts streams that are
    older than 120 s (ray-project/ray#66056); a Router at zero sends all prompts to the fallback.
    """
    for front in doc.fronts:
        for index, deployment in enumerate(front.schema.deployments if front.schema else ()):
            where = (*front.path, "deployments", index)
            scaling = deployment.autoscaling_config
            if deployment.name == "Gateway" and (scaling is not None or deployment.num_replicas == "auto"):
                yield doc.problem(
                    (*where, "autoscaling_config" if scaling else "num_replicas"),
                    "auto" if scaling is None else scaling.model_dump(exclude_unset=True),
                    "It must not scale: at zero replicas nobody answers, and each change cuts long streams.",
                    "Set num_replicas to a fixed number instead.",
                )
            if deployment.name == "Router" and scaling is not None and scaling.min_replicas == 0:
                yield doc.problem(
                    (*where, "autoscaling_config", "min_replicas"),
                    0,
                    "With no Router every prompt goes to the fallback.",
                    "Write 1 or more.",
                )


def limits_fit_the_proxy(doc: Document) -> Problems:
    """The HTTP proxy does not give up before modem's own limits do."""
    proxy = doc.deploy.http_options.request_timeout_s if doc.deploy else None
    if proxy is None or doc.gateway is None:
        return
    longest = doc.gateway.limits.start_timeout_s + doc.gateway.limits.request_timeout_s
    if proxy < longest:
        yield doc.problem(
            ("http_options", "request_timeout_s"),
            proxy,
            f"A request may take limits.start_timeout_s + limits.request_timeout_s = {longest:g} s, "
            "but Serve ends it with 408 before.",
            f"Remove it, or write {longest:g} or more.",
        )


def start_timeout_covers_a_cold_engine(doc: Document) -> Problems:
    """A request that wakes an expert can live to see its first token."""
    if doc.gateway is None:
        return
    timeout_s = doc.gateway.limits.start_timeout_s
    for expert in doc.experts():
        start_s, what = MIN_START_TIMEOUT_S, "a vLLM replica starts slower"
        if isinstance(expert.args, SimulatedExpertConfig):
            start_s, what = expert.args.startup_s, "its startup_s is longer"
        scaling = scaling_of(expert)[1]
        if scaling is not None and scaling.min_replicas == 0 and timeout_s < start_s:
            yield doc.problem(
                (*doc.gateway_path, "limits", "start_timeout_s"),
                timeout_s,
                f"{expert.application.name!r} sleeps at zero replicas, and {what}.",
                f"Write {start_s:g} or more, or let the experts keep min_replicas 1.",
            )
            return


RULES: tuple[Callable[[Document], Problems], ...] = (
    one_front,
    unique_names,
    unique_routes,
    import_path_is_spelt_right,
    front_is_reachable,
    front_deployments_exist,
    gateway_has_settings,
    front_never_sleeps,
    limits_fit_the_proxy,
    start_timeout_covers_a_cold_engine,
)
