"""Domains and the experts that answer for them."""

from collections.abc import Callable, Iterator

from modem.config import DomainConfig
from modem.serve_config.document import Document
from modem.serve_config.problems import Path, suggest
from modem.serve_config.rules.base import Problems, scaling_of


def domains_have_experts(doc: Document) -> Problems:
    """Each domain names an application of the file that is an expert."""
    kinds = {application.name: application.kind for application in doc.applications}
    for path, domain in _domains(doc):
        kind = kinds.get(domain.application)
        if kind is None:
            message = "No application of this name is in the file: the domain has no expert."
        elif kind == "front":
            message = "This is the front application, which is no expert."
        else:
            continue
        experts = sorted(name for name, kind in kinds.items() if kind != "front")
        yield doc.problem(
            (*path, "application"), domain.application, message, suggest(domain.application, experts)
        )


def domains_name_the_expert_deployment(doc: Document) -> Problems:
    """The deployment of modem's own experts is called Expert."""
    ours = {a.name for a in doc.applications if a.kind in ("llm", "simulated")}
    for path, domain in _domains(doc):
        if domain.application in ours and domain.deployment != "Expert":
            yield doc.problem(
                (*path, "deployment"),
                domain.deployment,
                f"The application {domain.application!r} has no such deployment.",
                "Write 'Expert', or remove the key.",
            )


def one_domain_an_expert(doc: Document) -> Problems:
    """No two domains share an application: its model_id can only be one of them."""
    first: dict[str, str] = {}
    for path, domain in _domains(doc):
        if domain.application in first:
            yield doc.problem(
                (*path, "application"),
                domain.application,
                f"The domain {first[domain.application]!r} uses this application already.",
                "Give each domain an application of its own.",
            )
        first.setdefault(domain.application, str(path[-1]))


def experts_are_used(doc: Document) -> Problems:
    """Each expert application answers for a domain."""
    used = {domain.application for _, domain in _domains(doc)}
    for application in doc.applications:
        if doc.gateway and application.kind in ("llm", "simulated") and application.name not in used:
            yield doc.problem(
                (*application.path, "name"),
                application.name,
                "No domain uses this expert: it would hold its hardware and never be asked.",
                "Add a domain whose application is this, or remove the application.",
            )


def model_id_is_the_domain(doc: Document) -> Problems:
    """The expert answers under its domain's id, which clients see as ``model``."""
    domain_of = {domain.application: str(path[-1]) for path, domain in _domains(doc)}
    for expert in doc.experts():
        path, model_id = expert.model_id
        domain = domain_of.get(expert.application.name, model_id)
        if model_id != domain:
            yield doc.problem(
                path,
                model_id,
                f"The domain {domain!r} uses this expert, and answers carry the domain id as their model.",
                f"Write {domain!r}.",
            )


def context_length_is_the_engines(doc: Document) -> Problems:
    """What clients are told of the context length is what the engine takes."""
    lengths = {expert.application.name: expert.engine_number("max_model_len") for expert in doc.experts()}
    for path, domain in _domains(doc):
        engine = lengths.get(domain.application)
        if engine is not None and engine != domain.context_length_tokens:
            yield doc.problem(
                (*path, "context_length_tokens"),
                domain.context_length_tokens,
                f"The engine of {domain.application!r} has max_model_len {engine}.",
                f"Write {engine}, or change max_model_len.",
            )
        answer = domain.sampling.max_tokens
        if answer is not None and answer >= domain.context_length_tokens:
            yield doc.problem(
                (*path, "sampling", "max_tokens"),
                answer,
                "The default answer fills the whole context: the engine refuses every prompt.",
                f"Write less than {domain.context_length_tokens}, which prompt and answer share.",
            )


def shutdown_outlasts_answers(doc: Document) -> Problems:
    """A replica that is taken away may finish what it writes."""
    longest = doc.gateway.limits.request_timeout_s if doc.gateway else 0.0
    for expert in doc.experts():
        if expert.deployment is None:
            continue
        path, deployment = expert.deployment
        if "graceful_shutdown_timeout_s" not in deployment.model_fields_set:
            yield doc.problem(
                (*path, "graceful_shutdown_timeout_s"),
                None,
                "Serve's default is 20 s: scaling down would cut longer answers.",
                f"Write {longest:g}, which is limits.request_timeout_s." if longest else "Write it.",
            )
        elif deployment.graceful_shutdown_timeout_s < longest:
            yield doc.problem(
                (*path, "graceful_shutdown_timeout_s"),
                deployment.graceful_shutdown_timeout_s,
                f"An answer may take limits.request_timeout_s = {longest:g} s: scaling down would cut it.",
                f"Write {longest:g} or more, or lower limits.request_timeout_s.",
            )


def fallback_never_sleeps(doc: Document) -> Problems:
    """The expert that answers while another wakes or has failed is awake itself.

    ``GET /ready`` says 200 once it is, so behind a load balancer that asks first it would never wake.
    """
    if doc.gateway is None:
        return
    application = doc.gateway.domains[doc.gateway.routing.fallback].application
    for expert in doc.experts():
        path, scaling = scaling_of(expert)
        if expert.application.name == application and scaling is not None and scaling.min_replicas == 0:
            yield doc.problem(
                (*path, "min_replicas"),
                0,
                "routing.fallback names this expert: while it sleeps nothing is ready to answer.",
                "Write 1 or more.",
            )


def _domains(doc: Document) -> Iterator[tuple[Path, DomainConfig]]:
    for name, domain in doc.gateway.domains.items() if doc.gateway else ():
        yield (*doc.gateway_path, "domains", name), domain


RULES: tuple[Callable[[Document], Problems], ...] = (
    domains_have_experts,
    domains_name_the_expert_deployment,
    one_domain_an_expert,
    experts_are_used,
    model_id_is_the_domain,
    context_length_is_the_engines,
    shutdown_outlasts_answers,
    fallback_never_sleeps,
)
