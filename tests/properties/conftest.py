"""Hypothesis profiles: ``ci`` is the same on every run; TCPBLAME_HYPOTHESIS=long looks further and anew."""

import os

import hypothesis

hypothesis.settings.register_profile(
    "ci", deadline=None, derandomize=True, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)
hypothesis.settings.register_profile(
    "long",
    deadline=None,
    max_examples=5_000,
    print_blob=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
PROFILE = os.environ.get("TCPBLAME_HYPOTHESIS", "ci")
hypothesis.settings.load_profile(PROFILE)
