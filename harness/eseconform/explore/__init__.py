"""Exploration: sequences of calls against the simulated server, held against a model and a law.

`machine` draws sequences (it needs Hypothesis and is imported where it is used), `enumerate` tries
all of them up to a length.
"""

from __future__ import annotations

from eseconform.explore.model import Answer, Model
from eseconform.explore.player import Divergence, Player, play, shrink
from eseconform.explore.snapshot import Snapshot
from eseconform.explore.steps import Act, Fault, Scenario, Shape, Step

__all__ = [
    "Act",
    "Answer",
    "Divergence",
    "Fault",
    "Model",
    "Player",
    "Scenario",
    "Shape",
    "Snapshot",
    "Step",
    "play",
    "shrink",
]
