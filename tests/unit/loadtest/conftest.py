"""Locust would patch the standard library of this process, which other tests share, when it is imported."""

import os

_SKIP = "LOCUST_SKIP_MONKEY_PATCH"

os.environ[_SKIP] = "1"
import locust  # noqa: E402, F401

# Children of the tests inherit the environment, and an unpatched load generator hears nobody while it sleeps.
del os.environ[_SKIP]
