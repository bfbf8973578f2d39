"""A backup client for the ESE streaming backup API, and a library to write one.

    from esebcli import BackupJob, BackupRequest, Kind

    job = BackupJob(connect, BackupRequest("EXCH1", ["First Storage Group"], Kind.FULL, folder))
    result = job.run()

``connect`` is any function that returns an :class:`eseback.api.BackupApi`. Names are imported when
they are first used, so that ``import esebcli`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esebcli.contents import Depth
    from esebcli.discovery import find_computer, find_groups
    from esebcli.errors import (
        EsebcliError,
        JobCancelled,
        JobError,
        RestoreRefused,
        SetError,
        UserError,
    )
    from esebcli.job import BackupJob, BackupRequest, JobResult
    from esebcli.manifest import Kind, Manifest, SavedGroup, State, Truncation
    from esebcli.progress import Progress
    from esebcli.reports import Report
    from esebcli.restore import RestoreJob, RestoreRequest, RestoreResult
    from esebcli.sets import BackupSet, open_set
    from esebcli.transports import Transport, open_transport
    from esebcli.verify import verify_sets

__version__ = "0.1.0"

__all__ = [
    "BackupJob",
    "BackupRequest",
    "BackupSet",
    "Depth",
    "EsebcliError",
    "JobCancelled",
    "JobError",
    "JobResult",
    "Kind",
    "Manifest",
    "Progress",
    "Report",
    "RestoreJob",
    "RestoreRefused",
    "RestoreRequest",
    "RestoreResult",
    "SavedGroup",
    "SetError",
    "State",
    "Transport",
    "Truncation",
    "UserError",
    "__version__",
    "find_computer",
    "find_groups",
    "open_set",
    "open_transport",
    "verify_sets",
]

_MODULES = {
    "contents": ("Depth",),
    "discovery": ("find_computer", "find_groups"),
    "errors": (
        "EsebcliError",
        "JobCancelled",
        "JobError",
        "RestoreRefused",
        "SetError",
        "UserError",
    ),
    "job": ("BackupJob", "BackupRequest", "JobResult"),
    "manifest": ("Kind", "Manifest", "SavedGroup", "State", "Truncation"),
    "progress": ("Progress",),
    "reports": ("Report",),
    "restore": ("RestoreJob", "RestoreRequest", "RestoreResult"),
    "sets": ("BackupSet", "open_set"),
    "transports": ("Transport", "open_transport"),
    "verify": ("verify_sets",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
