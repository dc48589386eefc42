"""Load a Serve config file for commands that need to know what it says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

from modem.config import GatewayConfig, ModemConfig, SimulatedExpertConfig
from modem.errors import ConfigError
from modem.serve_config.check import check_text
from modem.serve_config.document import Document
from modem.serve_config.expert import ExpertArgs
from modem.serve_config.schema import HTTPOptions


@dataclass(frozen=True, slots=True)
class Front:
    """The front application.

    Attributes:
        application: Its name.
        args: What its builder gets.
        gateway: The Gateway's ``user_config``.
    """

    application: str
    args: ModemConfig
    gateway: GatewayConfig


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """A Serve config file without a fault.

    Attributes:
        http: Where the HTTP proxy listens.
        front: The front application.
        experts: The ``args`` of each expert by the name of its application; foreign applications
            are not among them.
    """

    http: HTTPOptions
    front: Front
    experts: Mapping[str, ExpertArgs | SimulatedExpertConfig]


def load(path: FilePath | str) -> ServeConfig:
    """Load a file and check it.

    Raises:
        ConfigError: The file cannot be read, or something in it is wrong; the message lists all.
    """
    try:
        text = FilePath(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    doc, problems = check_text(text, str(path))
    if doc is None or problems:
        raise ConfigError("\n".join(str(problem) for problem in problems))
    return _of(doc)


def _of(doc: Document) -> ServeConfig:
    front = doc.fronts[0]
    # A document without a problem has all three; the types cannot say so.
    if doc.deploy is None or doc.gateway is None or not isinstance(front.args, ModemConfig):
        raise ConfigError(f"{doc.file}: incomplete")
    return ServeConfig(
        doc.deploy.http_options,
        Front(front.name, front.args, doc.gateway),
        {expert.application.name: expert.args for expert in doc.experts()},
    )
