"""Where the files that come with the load tester are: in ``loadtest``, which is found but not imported."""

from importlib.util import find_spec
from pathlib import Path

from modem.errors import ConfigError


def folder(name: str) -> Path:
    """Return a folder of the ``loadtest`` package: ``scenarios`` or ``prompts``.

    Raises:
        ConfigError: The package is not installed.
    """
    spec = find_spec("loadtest")
    if spec is None or spec.origin is None:
        raise ConfigError("the package loadtest is not installed beside modem: install modem anew")
    return Path(spec.origin).parent / name
