"""The frozen encoder that strategies fitted on embeddings share."""

from dataclasses import dataclass

from modem.errors import ConfigError
from modem.routing.encoder import SentenceEncoder
from modem.routing.strategies.base import Embed


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder, and which one it is.

    Attributes:
        embed: Embeds texts.
        sha256: Of its weights file, as hex: what was fitted on it fits no other.
    """

    embed: Embed
    sha256: str


def load_encoder(name: str, sha256: str | None = None) -> Encoder:
    """Load an encoder.

    Args:
        name: ``package``, a folder or a hub id, as in `modem.config.RouterConfig`.
        sha256: Of the weights that are needed; None for any.

    Raises:
        ConfigError: It cannot be loaded, or is another one.
    """
    encoder = SentenceEncoder(name)
    found = encoder.weights_sha256()
    if sha256 not in (None, found):
        raise ConfigError(
            f"the strategy was fitted on an encoder with sha256 {str(sha256)[:12]}..., "
            f"and {encoder.name} has {found[:12]}...; use that one, or fit anew with: modem router compare"
        )
    return Encoder(encoder.encode, found)
