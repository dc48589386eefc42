"""Locust would patch the standard library of this process, which other tests share, when it is imported."""

import os

os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
