"""Configuration as values: frozen, every key known, every number bounded and in named units.

Two parts, split by what a change costs:

- `ModemConfig` is the ``args`` of the front application: changing it restarts the gateway and
  the router, never an expert.
- `GatewayConfig` is the ``user_config`` of the ``Gateway`` deployment: it changes live.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from modem.types import AddedDomain

DomainId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
RESERVED_MODELS = ("auto", "modem")
"""Model names that mean "let the router choose"; no domain may take them."""


class Config(BaseModel):
    """Base of all configuration: frozen, and a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


RouterKind = Literal["compact", "encoder", "linear", "custom"]

DEFAULT_ROUTER_KIND: RouterKind = "compact"

SHIPPED = "shipped"
"""Stands for the router in this package."""


class RouterConfig(Config):
    """Which router classifies prompts, and how it batches.

    Attributes:
        kind: ``compact`` is a small fine-tuned encoder on ONNX Runtime, on the CPU; ``encoder`` a
            fine-tuned checkpoint of any size on PyTorch, on a GPU if the replica has one; ``linear`` a
            linear head on a frozen sentence encoder; ``custom`` loads ``import_path``.
        model: For ``compact`` and ``encoder``: the folder that ``modem router train`` wrote. For
            ``compact`` also ``shipped``, the one in this package.
        encoder: For ``linear``: ``package`` for the encoder that the router extra installs, or a
            folder or hub id that transformers can load.
        head: For ``linear``: ``shipped`` for the head in this package, or a ``.safetensors`` file.
        import_path: For ``custom``: ``module:callable`` that takes ``options`` as keywords and
            returns a `modem.routing.base.Router`.
        options: For ``custom``: keyword arguments of the callable.
        num_threads: For ``compact``: texts scored at the same time, each on one core; 1 by default. For
            ``encoder`` on the CPU: PyTorch's threads; its own choice by default.
        max_batch_size: Most texts that are scored together.
        max_batch_tokens: Most tokens that are scored together, padding included; a longer text goes
            alone.
        batch_wait_timeout_s: Longest that a text waits for others to share its pass; part of
            every TTFT, so 0 (take what is there) is the default.
        cache_size: Texts whose scores are remembered, for prompts that come again; 0 for none.
    """

    kind: RouterKind = DEFAULT_ROUTER_KIND
    model: str = SHIPPED
    encoder: str = "package"
    head: str = SHIPPED
    import_path: str | None = None
    options: Mapping[str, Any] = Field(default_factory=dict)
    num_threads: int | None = Field(default=None, ge=1, le=256)
    max_batch_size: int = Field(default=32, ge=1, le=1024)
    max_batch_tokens: int = Field(default=4096, ge=1)
    batch_wait_timeout_s: float = Field(default=0.0, ge=0, le=1)
    cache_size: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _options_go_with_the_kind(self) -> Self:
        for name, kinds in _ROUTER_OPTIONS.items():
            field = type(self).model_fields[name]
            if self.kind not in kinds and getattr(self, name) != field.get_default(call_default_factory=True):
                raise ValueError(
                    f"{name} goes with kind {' or '.join(kinds)}, not with {self.kind}: "
                    f"leave {name} out, or write kind: {kinds[0]}"
                )
        if self.kind == "custom" and self.import_path is None:
            raise ValueError("kind custom needs import_path, a 'module:callable' that returns a router")
        if self.kind == "encoder" and self.model == SHIPPED:
            raise ValueError(
                "kind encoder needs model, the folder of a trained checkpoint; train one with: "
                "modem router train --config training/deberta-v3-large.yaml"
            )
        return self


_ROUTER_OPTIONS: Mapping[str, tuple[RouterKind, ...]] = {
    "model": ("compact", "encoder"),
    "encoder": ("linear",),
    "head": ("linear",),
    "import_path": ("custom",),
    "options": ("custom",),
    "num_threads": ("compact", "encoder"),
}
"""Options of a router that not every kind has."""


class ModemConfig(Config):
    """The ``args`` of the front application.

    Attributes:
        router: The router deployment's settings.
        data_plane: How answers travel from an expert's replica to the gateway: ``direct`` over the
            replica's own HTTP port, or ``handles`` through Serve. Where a replica has no HTTP port,
            handles are used in any case.
    """

    router: RouterConfig = RouterConfig()
    data_plane: Literal["direct", "handles"] = "direct"


class SamplingConfig(Config):
    """Sampling defaults of one expert, used where the client sends none of its own."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    repetition_penalty: float | None = Field(default=None, gt=0, le=2)
    stop: tuple[str, ...] | None = None
    seed: int | None = None


class PriceConfig(Config):
    """What one expert charges, in US dollars per million tokens."""

    prompt_usd_per_million_tokens: float = Field(default=0.0, ge=0)
    completion_usd_per_million_tokens: float = Field(default=0.0, ge=0)


class DomainConfig(Config):
    """One domain and the expert application that answers for it.

    Attributes:
        description: One sentence that says what belongs to the domain; clients see it.
        application: Serve application of the expert.
        deployment: Deployment of the expert in that application.
        base_model: Name of the model behind it, for people.
        context_length_tokens: Longest prompt plus answer.
        system_prompt: Sent first unless the client sends a system message of its own.
        sampling: Defaults for what the client leaves out.
        price: For accounting.
        labels: The router's labels that this domain answers for, to rename or merge what the router
            was trained on; its own id by default.
        examples: Prompts that belong to a domain the router was not trained on. With them the domain is
            routed to at once, without training; a dozen varied ones are enough.
    """

    description: str = Field(min_length=1)
    application: str = Field(min_length=1)
    deployment: str = "Expert"
    base_model: str = Field(min_length=1)
    context_length_tokens: int = Field(ge=1)
    system_prompt: str | None = None
    sampling: SamplingConfig = SamplingConfig()
    price: PriceConfig = PriceConfig()
    labels: tuple[DomainId, ...] = ()
    examples: tuple[Annotated[str, StringConstraints(min_length=1, max_length=2000)], ...] = Field(
        default=(), max_length=64
    )

    @model_validator(mode="after")
    def _either_trained_or_added(self) -> Self:
        if self.labels and self.examples:
            raise ValueError("give labels (what the router knows) or examples (what it does not), not both")
        return self


class RoutingPolicyConfig(Config):
    """How probabilities become a decision.

    Attributes:
        threshold: The top domain is taken if its probability is at least this, else the fallback.
        margin: The top domain is taken if it is at least this much more probable than the next one,
            else the fallback.
        switch_margin: A conversation leaves the domain of its earlier turns only for one that is at
            least this much more probable for its last turn.
        out_of_domain: What becomes of text the router was not made for (another language, random
            characters): ``fallback``, or ``score`` to go by the scores all the same.
        fallback: The domain for doubtful prompts, a broken router and a failed expert.
        deadline_s: Longest wait for the router; after it the request goes to the fallback.
    """

    threshold: float = Field(default=0.5, ge=0, le=1)
    margin: float = Field(default=0.0, ge=0, le=1)
    switch_margin: float = Field(default=0.3, ge=0, le=1)
    out_of_domain: Literal["fallback", "score"] = "fallback"
    fallback: DomainId = "other"
    deadline_s: float = Field(default=1.0, gt=0, le=60)


class LimitsConfig(Config):
    """What one request may cost.

    Attributes:
        max_body_bytes: Larger bodies are refused with 413.
        max_route_inputs: Most texts in one ``/v1/route`` call.
        start_timeout_s: Longest wait for an expert to have a replica (503 after it). Longer than
            the start of a cold engine.
        request_timeout_s: Longest time for a whole answer, the wait for a replica apart (504).
        stream_idle_timeout_s: Longest silence of an expert within an answer (504).
        heartbeat_s: While a streaming client waits for the first token it gets an SSE comment
            this often, so that nobody on the way closes the connection.
        retry_after_s: What 429 and 503 answers advise.
    """

    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    max_route_inputs: int = Field(default=256, ge=1)
    start_timeout_s: float = Field(default=300.0, gt=0)
    request_timeout_s: float = Field(default=600.0, gt=0)
    stream_idle_timeout_s: float = Field(default=60.0, gt=0)
    heartbeat_s: float = Field(default=2.0, gt=0)
    retry_after_s: float = Field(default=5.0, ge=1)


class GatewayConfig(Config):
    """The ``user_config`` of the ``Gateway`` deployment; every change is live.

    Attributes:
        domains: The domains by id. The router's own labels decide which of them it can choose;
            any other one answers only when a client names it.
        routing: From scores to a decision.
        limits: What one request may cost.
    """

    domains: Mapping[DomainId, DomainConfig] = Field(min_length=1)
    routing: RoutingPolicyConfig = RoutingPolicyConfig()
    limits: LimitsConfig = LimitsConfig()

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        if self.routing.fallback not in self.domains:
            raise ValueError(
                f"routing.fallback is {self.routing.fallback!r}, which is none of the domains: "
                f"{', '.join(self.domains)}"
            )
        labels = [label for name, domain in self.domains.items() for label in domain.labels or (name,)]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"more than one domain answers for the label {twice[0]!r}; see domains.*.labels")
        taken = [name for name in RESERVED_MODELS if name in self.domains]
        if taken:
            raise ValueError(f"a domain may not be called {taken[0]!r}: that name asks for routing")
        return self

    def added_domains(self) -> tuple[AddedDomain, ...]:
        """Return the domains that the router was not trained on."""
        return tuple(
            AddedDomain(name, domain.description, domain.examples)
            for name, domain in self.domains.items()
            if domain.examples
        )


class SimulatedExpertConfig(Config):
    """The ``args`` of a simulated expert: a deterministic stand-in with the timing of an engine.

    Attributes:
        model_id: Domain id it answers as.
        ttft_s: Time from acceptance to the first token, in seconds.
        tpot_s: Time per further token, in seconds.
        output_tokens: Tokens in an answer, unless the request's ``max_tokens`` is lower.
        max_model_len: Longest prompt plus answer in tokens (one token a word).
        startup_s: How long a replica takes to construct.
        failure_rate: Share of requests, chosen by a hash of the prompt, that fail (502).
        fail_startup: The constructor raises: a replica that never comes up.
        max_num_seqs: Requests that generate at once; further ones wait in line.
        num_cpus: CPUs that Ray reserves for a replica.
    """

    model_id: DomainId
    ttft_s: float = Field(default=0.05, ge=0)
    tpot_s: float = Field(default=0.01, ge=0)
    output_tokens: int = Field(default=32, ge=1)
    max_model_len: int = Field(default=4096, ge=2)
    startup_s: float = Field(default=0.0, ge=0)
    failure_rate: float = Field(default=0.0, ge=0, le=1)
    fail_startup: bool = False
    max_num_seqs: int = Field(default=64, ge=1)
    num_cpus: float = Field(default=0.1, ge=0)
