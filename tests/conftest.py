"""What all tests share: Hypothesis profiles, and `tests` on the path, so that `support` can be imported."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

# The same examples in every run, so that a red run is about the change at hand; `thorough` looks for new ones.
settings.register_profile(
    "default",
    deadline=None,
    max_examples=100,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough", parent=settings.get_profile("default"), max_examples=2000, derandomize=False
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# A shell starts what it runs in the background deaf to SIGINT, and so would be every program that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
