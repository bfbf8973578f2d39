"""How many examples a costly property draws: its own number in `make test`, many in `make fuzz`."""

from __future__ import annotations

import os

from hypothesis import settings

FUZZ_EXAMPLES = 2000


def at_length() -> bool:
    """Whether this is `make fuzz`, which has time."""
    return os.environ.get("ESESIM_HYPOTHESIS_PROFILE") == "fuzz"


def examples(count: int, many: int = FUZZ_EXAMPLES) -> settings:
    """Settings for a property whose examples take long; ``many`` is the number in `make fuzz`."""
    return settings(max_examples=many if at_length() else count)
