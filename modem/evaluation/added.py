"""What a domain that is added without training gets, and what it takes from the others."""

import json
from dataclasses import dataclass

from modem.config import DomainConfig, GatewayConfig
from modem.evaluation.measure import Step, measure
from modem.evaluation.sets import ADDED_DOMAIN_SET, COMMITTED, committed
from modem.routing.added import with_added
from modem.routing.base import Router
from modem.types import AddedDomain

_EXAMPLES = COMMITTED / "law_examples.json"
_OTHERS = "gate"


@dataclass(frozen=True, slots=True)
class AddedFigures:
    """Figures of one added domain.

    Attributes:
        name: The domain.
        num_examples: What it was described with, besides a sentence.
        num_prompts: Prompts of it that were measured.
        recall: Share of them whose most probable domain it is.
        decided_recall: Share of them that would go there.
        num_near: Prompts measured with them that look like it and belong elsewhere.
        taken: Share of those that would go to it.
        num_others: Prompts of the set of all other domains.
        moved: Share of those that would go elsewhere than without the added domain.
        moved_specialists: The same without the prompts that go to the fallback: what was ``other`` may
            well belong to the new domain.
    """

    name: str
    num_examples: int
    num_prompts: int
    recall: float
    decided_recall: float
    num_near: int
    taken: float
    num_others: int
    moved: float
    moved_specialists: float


def read_law() -> AddedDomain:
    """Return the domain that is added: law, by a dozen examples."""
    found = json.loads(_EXAMPLES.read_text(encoding="utf-8"))
    return AddedDomain(found["name"], found["description"], tuple(found["examples"]))


def can_grow(router: Router, domain: AddedDomain) -> bool:
    """Say whether a router can be given the domain, and does not know it yet."""
    background = router.background() if hasattr(router, "background") else None
    return hasattr(router, "embed") and background is not None and domain.name not in router.domains


def serving_too(gateway: GatewayConfig, domain: AddedDomain) -> GatewayConfig:
    """Return a configuration that serves one domain more."""
    config = DomainConfig(
        description=domain.description,
        application="-",
        base_model="-",
        context_length_tokens=1,
        examples=domain.examples,
    )
    return gateway.model_copy(update={"domains": {**gateway.domains, domain.name: config}})


def num_measured_added() -> int:
    """Return how many decisions `added_figures` takes."""
    return len(committed(ADDED_DOMAIN_SET).cases) + 2 * len(committed(_OTHERS).cases)


def added_figures(
    router: Router, gateway: GatewayConfig, domain: AddedDomain, step: Step = lambda done: None
) -> AddedFigures:
    """Add a domain and measure before and after.

    Args:
        router: One that `can_grow`.
        gateway: Without the domain.
        domain: What is added; the cases of its set carry its name.
        step: Reports progress.
    """
    grown, larger = with_added(router, [domain]), serving_too(gateway, domain)
    cases, others = committed(ADDED_DOMAIN_SET).cases, committed(_OTHERS).cases
    own = [case for case in cases if case.domain == domain.name]
    near = [case for case in cases if case.domain != domain.name]
    found, of_near = measure(grown, own, larger, step), measure(grown, near, larger, step)
    before, after = measure(router, others, gateway, step), measure(grown, others, larger, step)
    moved = [one != other for one, other in zip(before.decided, after.decided, strict=True)]
    special = [m for m, one in zip(moved, before.decided, strict=True) if one != gateway.routing.fallback]
    return AddedFigures(
        name=domain.name,
        num_examples=len(domain.examples),
        num_prompts=len(own),
        recall=found.chosen.count(domain.name) / len(own),
        decided_recall=found.decided.count(domain.name) / len(own),
        num_near=len(near),
        taken=of_near.decided.count(domain.name) / len(near),
        num_others=len(others),
        moved=sum(moved) / len(moved),
        moved_specialists=sum(special) / max(1, len(special)),
    )
