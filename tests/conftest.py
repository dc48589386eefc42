"""Settings of all tests."""

from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine than about the code.
# The same examples each time, so that a change is judged by what it changed. New ones:
# pytest --hypothesis-profile explore
_SLOW = [HealthCheck.too_slow]
settings.register_profile("modem", deadline=None, suppress_health_check=_SLOW, derandomize=True)
settings.register_profile("explore", deadline=None, suppress_health_check=_SLOW)
settings.load_profile("modem")
