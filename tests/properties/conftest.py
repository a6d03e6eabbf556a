"""How much Hypothesis draws: `quick` in every run, the same each time; `thorough` by hand, something new each time.

HYPOTHESIS_PROFILE=thorough pytest tests/properties --timeout=0 --hypothesis-show-statistics
"""

import os

from hypothesis import settings

settings.register_profile(
    "quick", max_examples=150, stateful_step_count=50, deadline=None, derandomize=True, database=None
)
settings.register_profile(
    "thorough", max_examples=3_000, stateful_step_count=80, deadline=None, database=None, print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
