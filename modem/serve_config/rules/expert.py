"""One expert: who reaches it, how it scales, what waits for it."""

from collections.abc import Callable

from modem.config import SimulatedExpertConfig
from modem.serve_config.document import Document, Expert
from modem.serve_config.expert import ExpertArgs
from modem.serve_config.problems import Path, Problem
from modem.serve_config.rules.base import SCALING_IN_ARGS, Problems, known_deployments, scaling_of


def expert_is_private(doc: Document, expert: Expert) -> Problems:
    """Experts have no route: only the gateway may reach them. Serve's default is ``/``."""
    if expert.schema.route_prefix is not None:
        written = "route_prefix" in expert.schema.model_fields_set
        yield doc.problem(
            (*expert.path, "route_prefix"),
            expert.schema.route_prefix if written else None,
            "The proxy would expose the expert's engine" + ("." if written else ": the default is '/'."),
            "Write 'route_prefix: null'.",
        )


def expert_has_its_deployment(doc: Document, expert: Expert) -> Problems:
    """Replica numbers and queue limits of the deployment Expert stand in the file."""
    yield from known_deployments(doc, expert.path, expert.schema.deployments, ("Expert",))
    if not expert.schema.deployments:
        yield doc.problem(
            (*expert.path, "deployments"),
            None,
            "Without an entry the expert has one fixed replica and waits without limit.",
            "Add 'deployments: [{name: Expert, ...}]' with autoscaling_config and queue limits.",
        )


def expert_scales(doc: Document, expert: Expert) -> Problems:
    """The file says how the expert scales: no default of Serve or Serve LLM does it well.

    Serve LLM's default target of 1e9 requests never adds a replica (ray-project/ray#59323).
    """
    if expert.deployment is None or isinstance(expert.deployment[1].num_replicas, int):
        return
    path, scaling = scaling_of(expert)
    if scaling is None:
        yield doc.problem(
            path, None, "Not set: the expert would stay at one replica, whatever the load.", _SCALING
        )
        return
    for key, default in (("min_replicas", 1), ("max_replicas", 1), ("target_ongoing_requests", "2 or 1e9")):
        if key not in scaling.model_fields_set:
            yield doc.problem(
                (*path, key), None, f"Not set, and the default of {default} fits no expert.", _SCALING
            )


_SCALING = "Write min_replicas, max_replicas and target_ongoing_requests (or a fixed num_replicas)."


def expert_scaling_stands_once(doc: Document, expert: Expert) -> Problems:
    """Autoscaling in the args is not shadowed by the override, which replaces it as a whole."""
    inner = expert.args.deployment_config.autoscaling_config if isinstance(expert.args, ExpertArgs) else None
    if inner is not None and expert.deployment and expert.deployment[1].autoscaling_config is not None:
        yield doc.problem(
            (*expert.path, *SCALING_IN_ARGS),
            inner.model_dump(exclude_unset=True),
            "The deployment's own autoscaling_config replaces this one as a whole.",
            "Remove it here: under 'deployments' it also changes without a restart.",
        )


def expert_target_is_reachable(doc: Document, expert: Expert) -> Problems:
    """The scaling target is below what a replica takes at once.

    What waits in a replica beyond ``max_ongoing_requests`` is not seen by the autoscaler, and what the
    engine holds beyond ``max_num_seqs`` waits too.
    """
    path, scaling = scaling_of(expert)
    if expert.deployment is None or scaling is None:
        return
    target, ongoing = scaling.target_ongoing_requests, expert.deployment[1].max_ongoing_requests
    seqs = expert.engine_number("max_num_seqs")
    if target >= ongoing:
        message = (
            f"Not less than max_ongoing_requests ({ongoing}): a full replica looks as it should, "
            "and another is added only when requests already wait, if at all."
        )
        yield _reachable(doc, path, target, message, ongoing)
    if seqs is not None and target > seqs:
        message = f"More than the engine's max_num_seqs ({seqs}): a full engine still looks idle."
        yield _reachable(doc, path, target, message, seqs)


def _reachable(doc: Document, path: Path, target: float, message: str, limit: int) -> Problem:
    where = (*path, "target_ongoing_requests")
    return doc.problem(where, target, message, f"Write less than {limit}, about half of it.")


def expert_queue_is_bounded(doc: Document, expert: Expert) -> Problems:
    """Requests beyond what the engine computes wait in Serve, and not for ever."""
    if expert.deployment is None:
        return
    path, deployment = expert.deployment
    seqs = expert.engine_number("max_num_seqs")
    if "max_ongoing_requests" not in deployment.model_fields_set:
        yield doc.problem(
            (*path, "max_ongoing_requests"),
            None,
            "Not set: Serve's default of 5 starves the engine, Serve LLM's of 1e9 hides the queue.",
            f"Write {seqs or 'the engine max_num_seqs'} up to twice that.",
        )
    elif seqs is not None and deployment.max_ongoing_requests > 2 * seqs:
        yield doc.problem(
            (*path, "max_ongoing_requests"),
            deployment.max_ongoing_requests,
            f"More than twice the engine's max_num_seqs ({seqs}): requests wait unseen in the engine.",
            f"Write {2 * seqs} or less.",
        )
    if deployment.max_queued_requests < 1:
        yield doc.problem(
            (*path, "max_queued_requests"),
            deployment.max_queued_requests if "max_queued_requests" in deployment.model_fields_set else None,
            "No limit: under overload requests wait until they time out, and nobody gets a 429.",
            "Write how many may wait, a few times max_ongoing_requests at most.",
        )


def expert_streams_at_once(doc: Document, expert: Expert) -> Problems:
    """Ray's stream path does not hold tokens back (ray-project/ray#59681)."""
    if not isinstance(expert.args, ExpertArgs):
        return
    interval = expert.args.experimental_configs.stream_batching_interval_ms
    if interval:
        yield doc.problem(
            (*expert.path, "args", "experimental_configs", "stream_batching_interval_ms"),
            interval,
            "Tokens would be held back this long; it is not in modem's path, so it only misleads.",
            "Remove it, or write 0.",
        )


def expert_actor_options_stay_in_args(doc: Document, expert: Expert) -> Problems:
    """An override of ray_actor_options does not throw away what Serve LLM put there.

    Serve takes the override's ray_actor_options *instead of* the code's, which hold the
    ``runtime_env`` of the args (``override_deployment_info`` in Ray 2.60).
    """
    if not isinstance(expert.args, ExpertArgs) or expert.deployment is None:
        return
    path, deployment = expert.deployment
    if "ray_actor_options" in deployment.model_fields_set:
        yield doc.problem(
            (*path, "ray_actor_options"),
            deployment.ray_actor_options.model_dump(exclude_unset=True),
            "It replaces the options that Serve LLM computed: args.runtime_env would be lost.",
            "Move it to args.deployment_config.ray_actor_options.",
        )


def engine_numbers_are_numbers(doc: Document, expert: Expert) -> Problems:
    """The engine arguments that other rules compare are whole numbers."""
    if isinstance(expert.args, SimulatedExpertConfig):
        return
    for name in ("max_model_len", "max_num_seqs", "tensor_parallel_size", "pipeline_parallel_size"):
        value = expert.args.engine_kwargs.get(name)
        if name in expert.args.engine_kwargs and (type(value) is not int or value < 1):
            yield doc.problem(
                (*expert.path, "args", "engine_kwargs", name),
                value,
                "Not a whole number of 1 or more.",
                "Write a whole number, without quotes.",
            )


RULES: tuple[Callable[[Document, Expert], Problems], ...] = (
    expert_is_private,
    expert_has_its_deployment,
    expert_scales,
    expert_scaling_stands_once,
    expert_target_is_reachable,
    expert_queue_is_bounded,
    expert_streams_at_once,
    expert_actor_options_stay_in_args,
    engine_numbers_are_numbers,
)
