"""Autoscaling policies: the name exists, its parameters are right, and those that share GPUs agree."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from modem.autoscaling.catalogue import MODULE, POLICIES
from modem.autoscaling.gpu_budget import GpuBudgetParams
from modem.serve_config.document import Application, Document
from modem.serve_config.expert import ExpertArgs
from modem.serve_config.problems import Path, Problem, suggest, validate
from modem.serve_config.rules.base import SCALING_IN_ARGS, Problems
from modem.serve_config.schema import AutoscalingConfig, AutoscalingPolicy, DeploymentSchema

_DEFAULT = AutoscalingPolicy().policy_function


@dataclass(frozen=True, slots=True)
class _Named:
    """One place of the file that names a policy.

    Attributes:
        path: Where the policy stands.
        policy: What stands there.
        application: Position of the application.
        scaling: The autoscaling that it steers; None if the file does not say.
    """

    path: Path
    policy: AutoscalingPolicy
    application: int
    scaling: AutoscalingConfig | None

    @property
    def ours(self) -> str | None:
        """The policy's name if it is one of modem's; None for another's, and for one that does not exist."""
        module, name = _split(self.policy.policy_function)
        return name if module == MODULE and name in POLICIES else None


def policies_exist(doc: Document) -> Problems:
    """A policy of modem's exists, and one of another's is named so that Serve can import it."""
    for named in _named(doc):
        function = named.policy.policy_function
        module, name = _split(function)
        ours = [f"{MODULE}:{known}" for known in POLICIES]
        path = (*named.path, "policy_function")
        if named.ours is not None:
            continue
        if not module or not name:
            yield doc.problem(path, function, "Not an import path ('module:name').", _choice(name, ours))
        elif module.split(".")[0] == "deployments" or get_close_matches(function, ours, n=1, cutoff=0.85):
            yield doc.problem(path, function, "modem has no such policy.", _choice(name, ours))


def policy_parameters_are_right(doc: Document) -> Problems:
    """Each parameter is known and valid; a policy that is a function takes none."""
    for named in _named(doc):
        policy = named.policy
        path = (*named.path, "policy_kwargs")
        if named.ours is not None:
            yield from validate(POLICIES[named.ours], dict(policy.policy_kwargs), doc.file, path)[1]
        elif policy.policy_kwargs and policy.policy_function.startswith("ray."):
            yield doc.problem(
                path,
                dict(policy.policy_kwargs),
                "Ray's policies are functions, and Serve passes no parameters to a function.",
                f"Remove it, or name a policy of modem's: {', '.join(POLICIES)} in {MODULE}.",
            )


def policy_stands_once(doc: Document) -> Problems:
    """A deployment's policy is not put out of action by one of its application."""
    for application in doc.applications:
        if application.schema is None or application.schema.autoscaling_policy is None:
            continue
        for path, deployment in _scaled(application.path, application.schema.deployments):
            scaling = deployment.autoscaling_config
            if scaling is not None and "policy" in scaling.model_fields_set:
                yield doc.problem(
                    (*path, "autoscaling_config", "policy"),
                    scaling.policy.policy_function,
                    "The application's autoscaling_policy is used instead of this one.",
                    "Remove one of the two.",
                )


def pools_agree(doc: Document) -> Problems:
    """Experts of one pool name the same number of GPUs, and their ``min_replicas`` fit into it."""
    pools: dict[str, list[tuple[_Named, GpuBudgetParams]]] = {}
    for named, params in _budgets(doc):
        pools.setdefault(params.pool, []).append((named, params))
    for name, members in pools.items():
        first, budget = members[0]
        for named, params in members[1:]:
            if params.num_gpus != budget.num_gpus:
                yield doc.problem(
                    (*named.path, "policy_kwargs", "num_gpus"),
                    params.num_gpus,
                    f"applications[{first.application}] says that the pool {name!r} has "
                    f"{budget.num_gpus:g} GPUs.",
                    "Write the same number everywhere, or name another pool.",
                )
        least = sum(
            (named.scaling.min_replicas if named.scaling else 0) * params.gpus_per_replica
            for named, params in members
        )
        if least > budget.num_gpus:
            yield doc.problem(
                (*first.path, "policy_kwargs", "num_gpus"),
                budget.num_gpus,
                f"The min_replicas of the pool {name!r} alone take {least:g} GPUs.",
                f"Write {least:g} or more, or lower min_replicas.",
            )


def replicas_take_what_they_say(doc: Document) -> Problems:
    """``gpus_per_replica`` is what the engine takes: its tensor times its pipeline parallelism."""
    engines = {expert.application.index: expert for expert in doc.experts()}
    for named, params in _budgets(doc):
        expert = engines.get(named.application)
        if expert is None or not isinstance(expert.args, ExpertArgs) or expert.args.placement_group_config:
            continue
        sizes = [expert.engine_number(f"{kind}_parallel_size") or 1 for kind in ("tensor", "pipeline")]
        gpus = sizes[0] * sizes[1]
        if params.gpus_per_replica != gpus:
            yield doc.problem(
                (*named.path, "policy_kwargs", "gpus_per_replica"),
                params.gpus_per_replica,
                f"A replica of this engine takes {gpus} (tensor times pipeline parallelism).",
                f"Write {gpus}.",
            )


def _named(doc: Document) -> Iterator[_Named]:
    for application in doc.applications:
        schema = application.schema
        if schema is None:
            continue
        scaled = list(_scaled(application.path, schema.deployments))
        if schema.autoscaling_policy is not None:
            scaling = scaled[0][1].autoscaling_config if scaled else None
            path = (*application.path, "autoscaling_policy")
            yield _Named(path, schema.autoscaling_policy, application.index, scaling)
        for path, deployment in scaled:
            yield from _of_scaling((*path, "autoscaling_config"), deployment.autoscaling_config, application)
        if isinstance(application.args, ExpertArgs):
            scaling = application.args.deployment_config.autoscaling_config
            yield from _of_scaling((*application.path, *SCALING_IN_ARGS), scaling, application)


def _of_scaling(path: Path, scaling: AutoscalingConfig | None, application: Application) -> Iterator[_Named]:
    if scaling is not None and "policy" in scaling.model_fields_set:
        yield _Named((*path, "policy"), scaling.policy, application.index, scaling)


def _scaled(path: Path, deployments: Sequence[DeploymentSchema]) -> Iterator[tuple[Path, DeploymentSchema]]:
    for index, deployment in enumerate(deployments):
        if deployment.autoscaling_config is not None:
            yield (*path, "deployments", index), deployment


def _budgets(doc: Document) -> Iterator[tuple[_Named, GpuBudgetParams]]:
    """Yield the places that share GPUs, with their parameters if those are right."""
    for named in _named(doc):
        if named.ours is not None:
            params = validate(POLICIES[named.ours], dict(named.policy.policy_kwargs), doc.file, ())[0]
            if isinstance(params, GpuBudgetParams):
                yield named, params


def _split(function: str) -> tuple[str, str]:
    """Return module and name of an import path; Ray also takes a dot for the colon."""
    module, _, name = function.rpartition(":" if ":" in function else ".")
    return module, name


def _choice(name: str, ours: list[str]) -> str:
    near = get_close_matches(name, POLICIES, n=1, cutoff=0.6)
    return suggest(f"{MODULE}:{near[0]}" if near else "", ours)


RULES: tuple[Callable[[Document], Iterator[Problem]], ...] = (
    policies_exist,
    policy_parameters_are_right,
    policy_stands_once,
    pools_agree,
    replicas_take_what_they_say,
)
