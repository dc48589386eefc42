"""What is simulated: experts with their Serve settings and profiles, and the platform around them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from modem.config import DomainConfig
from modem.errors import ConfigError
from modem.serve_config.check import check_text
from modem.serve_config.document import Document, Expert
from modem.serve_config.expert import ExpertArgs
from modem.serve_config.schema import AutoscalingConfig, AutoscalingPolicy, DeploymentSchema
from modem.simulation.profile import Profile, committed_profile, simulated_profile


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertSetup:
    """One expert: what Serve's config says of its deployment, and what a replica can do.

    Attributes:
        domain: Whose requests it answers.
        profile: What one replica can do.
        autoscaling: As in the config; None for a fixed number of replicas.
        application_policy: The application's ``autoscaling_policy``, which goes before the one in
            ``autoscaling``.
        num_replicas: That number; not looked at if there is ``autoscaling``.
        max_ongoing_requests: Requests that a replica has at once, its engine's queue included.
        max_queued_requests: Requests that may wait in one gateway's handle; -1 for any number.
        graceful_shutdown_timeout_s: Longest that a replica which is taken away may finish its requests.
        graceful_shutdown_wait_loop_s: How often it looks whether it has.
        application: Name of its Serve application.
        deployment: Name of its deployment.
        context_length_tokens: Longest prompt plus answer; None if unknown. A live expert refuses longer ones;
            here they are computed all the same, and counted.
        may_sleep: False for the expert that answers where no other fits: `modem config check` keeps it awake.
    """

    domain: str
    profile: Profile
    autoscaling: AutoscalingConfig | None = None
    application_policy: AutoscalingPolicy | None = None
    num_replicas: int = 1
    max_ongoing_requests: int = 5
    max_queued_requests: int = -1
    graceful_shutdown_timeout_s: float = 20.0
    graceful_shutdown_wait_loop_s: float = 2.0
    application: str = "expert"
    deployment: str = "Expert"
    context_length_tokens: int | None = None
    may_sleep: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What all experts share.

    Attributes:
        gpus: GPUs of the whole cluster; a replica that finds none free waits. None for any number.
        num_gateways: Gateway replicas; each has a handle of its own for each expert.
        loop_interval_s: Serve's pause between two rounds of its control loop.
        loop_time_s: What a round itself takes.
        push_delay_s: From a report's sending until the controller has it.
        direct: Requests go straight to replicas' HTTP ports, so that replicas count what runs, and a
            stopping replica is kept ``min_draining_s``. False: through Serve's handles.
        min_draining_s: See ``direct`` (Serve's ``RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S``).
        start_timeout_s: Longest that a request waits for a replica; None for ever.
        handles_at_start: Gateways have used each expert before the trace begins, so their handles report
            already. False: a handle comes into being with its first request.
        epoch_s: What policies see as the time at 0 s of the trace, for those that know days and hours.
        settle_s: After the trace the simulation goes on until all is answered, at most so long.
    """

    gpus: float | None = None
    num_gateways: int = 1
    loop_interval_s: float = 0.1
    loop_time_s: float = 0.0
    push_delay_s: float = 0.005
    direct: bool = True
    min_draining_s: float = 30.0
    start_timeout_s: float | None = None
    handles_at_start: bool = False
    epoch_s: float = 0.0
    settle_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Setup:
    """A whole Serve config file, ready to be simulated.

    Attributes:
        experts: One for each domain.
        platform: What they share.
    """

    experts: tuple[ExpertSetup, ...]
    platform: Platform = field(default_factory=Platform)

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains, in the order of the file."""
        return tuple(expert.domain for expert in self.experts)


def read_setup(
    path: Path, profiles: Mapping[str, Profile] | None = None, default: Profile | None = None
) -> Setup:
    """Read a Serve config file.

    Args:
        path: The file.
        profiles: Profiles of some domains.
        default: The profile of all others; without it the committed one of the configured model.

    Raises:
        ConfigError: The file is wrong, or no profile fits one of its experts.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    doc, problems = check_text(text, str(path))
    if doc is None or problems:
        raise ConfigError("\n".join(str(problem) for problem in problems))
    return _setup(doc, profiles or {}, default)


def _setup(doc: Document, profiles: Mapping[str, Profile], default: Profile | None) -> Setup:
    if doc.gateway is None:
        raise ConfigError(f"{doc.file}: no Gateway with domains in it")
    unknown = [domain for domain in profiles if domain not in doc.gateway.domains]
    if unknown:
        raise ConfigError(f"--profile {unknown[0]}=...: {doc.file} has no such domain")
    by_name = {expert.application.name: expert for expert in doc.experts()}
    setups = []
    for domain, config in doc.gateway.domains.items():
        expert = by_name.get(config.application)
        if expert is None:
            raise ConfigError(
                f"{doc.file}: domain {domain}: its application {config.application!r} is none of modem's "
                "experts, so nothing is known of it; simulate a file whose experts are"
            )
        profile = profiles.get(domain) or default or _committed(expert, f"{doc.file}: domain {domain}")
        setup = _expert(domain, config, expert, profile)
        setups.append(replace(setup, may_sleep=domain != doc.gateway.routing.fallback))
    front = doc.fronts[0]
    gateway = _deployment(front.schema.deployments if front.schema else (), "Gateway")
    return Setup(
        tuple(setups),
        Platform(
            num_gateways=gateway.num_replicas if gateway and isinstance(gateway.num_replicas, int) else 1,
            direct=getattr(front.args, "data_plane", "direct") == "direct",
            start_timeout_s=doc.gateway.limits.start_timeout_s,
        ),
    )


def _expert(domain: str, config: DomainConfig, expert: Expert, profile: Profile) -> ExpertSetup:
    name = config.deployment
    options = _deployment(expert.schema.deployments, name) or DeploymentSchema(name=name)
    if options.num_replicas == "auto":
        raise ConfigError(f"domain {domain}: num_replicas 'auto' is not simulated: write autoscaling_config")
    return ExpertSetup(
        domain=domain,
        profile=profile,
        autoscaling=options.autoscaling_config,
        application_policy=expert.schema.autoscaling_policy,
        num_replicas=options.num_replicas or 1,
        max_ongoing_requests=options.max_ongoing_requests,
        max_queued_requests=options.max_queued_requests,
        graceful_shutdown_timeout_s=options.graceful_shutdown_timeout_s,
        graceful_shutdown_wait_loop_s=options.graceful_shutdown_wait_loop_s,
        application=expert.application.name,
        deployment=name,
        context_length_tokens=config.context_length_tokens,
    )


def _deployment(deployments: object, name: str) -> DeploymentSchema | None:
    found = (
        [each for each in deployments if each.name == name] if isinstance(deployments, tuple | list) else []
    )
    return found[0] if found else None


def _committed(expert: Expert, where: str) -> Profile:
    """Return the committed profile of a configured model.

    A simulated expert's own settings; else the class that its model and accelerator belong to.
    """
    args = expert.args
    if not isinstance(args, ExpertArgs):
        return simulated_profile(args)
    source = str(args.model_loading_config.model_source or args.model_loading_config.model_id).lower()
    if "smollm2-135m" in source:
        return committed_profile("smollm2-135m-cpu")
    if any(size in source for size in ("70b", "72b")):
        gpu = "h200" if args.accelerator_type == "H200" else "h100"
        return committed_profile(f"70b-{gpu}-tp4")
    raise ConfigError(
        f"{where}: no committed profile for {source}; measure one with `modem profile`, give it by --profile"
    )
