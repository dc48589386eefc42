"""The library of modem: what decides. It imports neither Ray, vLLM nor FastAPI."""

__version__ = "0.1.0"
