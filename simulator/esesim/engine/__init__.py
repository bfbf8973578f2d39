"""The engine: real ESE files, a log with redo and undo, backup, recovery.

One :class:`Instance` is one storage group's engine. It knows nothing of Exchange, of sessions or of
the network; what it needs (volume, clock, random numbers, a place for events) is handed in.
"""

from .config import InstanceConfig
from .errors import JetError
from .event import Event, EventSink
from .hardrecovery import RecoveryReport, hard_recover
from .inspect import check_file, read_rows
from .instance import Instance
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
