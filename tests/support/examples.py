"""How many examples a costly property draws: its own number in `make test`, many in `make fuzz`."""

from __future__ import annotations

import os

from hypothesis import settings

FUZZ_EXAMPLES = 2000


def examples(count: int) -> settings:
    """Settings for a property whose examples take long."""
    fuzzing = os.environ.get("ESESIM_HYPOTHESIS_PROFILE") == "fuzz"
    return settings(max_examples=FUZZ_EXAMPLES if fuzzing else count)
