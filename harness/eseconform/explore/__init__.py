"""Exploration: sequences of calls against the simulated server, held against a model and a law.

`machine` draws sequences (it needs Hypothesis and is imported where it is used), `enumerate` tries
all of them up to a length. Names are loaded when they are asked for, so that the command line,
which finds its commands in here, starts without the simulator.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eseconform.explore.enumerate import Enumeration, enumerate_calls
    from eseconform.explore.model import Model
    from eseconform.explore.player import Divergence, Player, play, shrink
    from eseconform.explore.steps import Act, Fault, Scenario, Shape, Step
    from eseconform.explore.world import Answer

__all__ = [
    "Act",
    "Answer",
    "Divergence",
    "Enumeration",
    "Fault",
    "Model",
    "Player",
    "Scenario",
    "Shape",
    "Step",
    "enumerate_calls",
    "play",
    "shrink",
]

_HOMES = {
    "enumerate": ("Enumeration", "enumerate_calls"),
    "model": ("Model",),
    "player": ("Divergence", "Player", "play", "shrink"),
    "steps": ("Act", "Fault", "Scenario", "Shape", "Step"),
    "world": ("Answer",),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
