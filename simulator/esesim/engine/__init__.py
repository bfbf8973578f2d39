"""The engine: real ESE files, a log with redo and undo, backup, recovery.

One :class:`Instance` is one storage group's engine. It knows nothing of Exchange, of sessions or of
the network; what it needs (volume, clock, random numbers, a place for events) is handed in.

What makes, reads and inspects virtual databases, and hard recovery, are loaded when they are first
used: few servers need them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from eseback.lazy import loader

from ..volume import Generated, register
from .config import InstanceConfig
from .errors import JetError
from .event import Event, EventSink
from .instance import Instance

if TYPE_CHECKING:
    from .hardrecovery import RecoveryReport, hard_recover
    from .inspect import check_file, read_rows
    from .restoredimage import RestoredDatabase

__all__ = [
    "Event",
    "EventSink",
    "Instance",
    "InstanceConfig",
    "JetError",
    "RecoveryReport",
    "RestoredDatabase",
    "check_file",
    "hard_recover",
    "read_rows",
]

if not TYPE_CHECKING:
    __getattr__ = loader(
        __name__,
        {
            "hardrecovery": ("RecoveryReport", "hard_recover"),
            "inspect": ("check_file", "read_rows"),
            "restoredimage": ("RestoredDatabase",),
        },
    )


def _revived(recipe: Mapping[str, int]) -> Generated:
    from .ballastblocks import BallastPages

    return BallastPages.from_recipe(recipe)


register("ballast", _revived)
