"""How much is drawn: `quick` for every run, and the same each time; `thorough` with HYPOTHESIS_PROFILE=thorough."""

import os

from hypothesis import settings

settings.register_profile(
    "quick", max_examples=150, stateful_step_count=50, deadline=None, derandomize=True, database=None
)
settings.register_profile(
    "thorough", max_examples=3_000, stateful_step_count=80, deadline=None, database=None, print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
