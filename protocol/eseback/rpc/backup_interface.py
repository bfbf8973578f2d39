"""The operations of our interface, eseback.idl: what goes in and comes out of every call.

Operation numbers are those of `eseback.calls`. Every operation ends with the same three: the JET
error behind a failure (0 for none), a text that says more (a file name; NULL for none), and the
HRESULT as return value. So an error of the backup API is an ordinary answer, never a fault:
some RPC runtimes close the connection after a fault, and the client's contexts with it.

A context handle stands for a backup or restore context and is the server's to make; calls that
have one carry no binding of their own.
"""

from __future__ import annotations

import uuid
from typing import Final

from eseback.calls import CALL_BY_METHOD
from eseback.rpc.backup_types import (
    ENVIRONMENT,
    FILE,
    INSTANCE,
    NODE,
    OPTIONAL_STRING,
    REGISTERED,
)
from eseback.rpc.interface import Operation, make_interface, operation
from eseback.rpc.ndr import BYTE, CONTEXT_HANDLE, GUID, HRESULT, HYPER, LONG, ULONG
from eseback.rpc.ndr_arrays import BYTES, NAME, WCHARS, WSTRING, Array, Unique, VaryingArray
from eseback.rpc.ndr_struct import Count, Field
from eseback.rpc.syntax import SyntaxId

__all__ = ["BACKUP_INTERFACE", "BACKUP_SYNTAX", "OPERATIONS", "idl_name"]

BACKUP_SYNTAX: Final = SyntaxId(uuid.UUID("d1c3f0a6-52c7-4e0f-9b6e-0e5eb4c0a7e1"), 1)

_OUTCOME: Final[tuple[Field, ...]] = (
    ("jetError", LONG),
    ("detail", Unique(WSTRING)),
    ("return", HRESULT),
)
_BACKUP: Final[Field] = ("backup", CONTEXT_HANDLE)
_RESTORE: Final[Field] = ("restore", CONTEXT_HANDLE)
_FILES: Final[tuple[Field, ...]] = (
    ("characters", Count("files")),
    ("files", Unique(WCHARS, empty="")),
)
_SOURCE: Final[tuple[Field, ...]] = (
    ("sourceCharacters", Count("sourceStreams")),
    ("sourceStreams", WCHARS),
)
_DATABASE: Final[tuple[Field, ...]] = (
    _RESTORE,
    ("displayName", NAME),
    ("guid", GUID),
    *_SOURCE,
)


def idl_name(method: str) -> str:
    """Name of a call's C function: `backup_open_file` is EbBackupOpenFile."""
    return "Eb" + "".join(part.capitalize() for part in method.split("_"))


def _counted(count: str, name: str, kind: Array) -> tuple[Field, ...]:
    return ((count, Count(name)), (name, Unique(kind, empty=())))


_NOTHING: Final[tuple[Field, ...]] = ()

_SHAPES: Final[dict[str, tuple[tuple[Field, ...], tuple[Field, ...]]]] = {
    "get_nodes": (
        (("computer", OPTIONAL_STRING),),
        _counted("count", "nodes", Array(NODE)),
    ),
    "get_registered": (
        (("server", NAME), ("displayName", OPTIONAL_STRING), ("flags", ULONG)),
        _counted("count", "services", Array(REGISTERED)),
    ),
    "backup_prepare": (
        (("server", NAME), ("annotation", NAME)),
        (_BACKUP, *_counted("count", "instances", Array(INSTANCE))),
    ),
    "backup_get_dependency_info": (
        (_BACKUP,),
        (
            ("infoSize", Count("info")),
            ("info", Unique(BYTES, empty=b"")),
            ("annotationCharacters", Count("annotations")),
            ("annotations", Unique(WCHARS, empty="")),
        ),
    ),
    "backup_setup": ((_BACKUP, ("instanceId", HYPER), ("backupType", ULONG)), _NOTHING),
    "backup_open_file": (
        (_BACKUP, ("fileName", NAME), ("readHint", ULONG), ("sections", ULONG)),
        _counted("count", "files", Array(FILE)),
    ),
    "backup_read_file": (
        (_BACKUP, ("file", HYPER), ("size", ULONG)),
        (("got", Count("buffer")), ("buffer", VaryingArray(BYTE))),
    ),
    "backup_close_file": ((_BACKUP, ("file", HYPER)), _NOTHING),
    "backup_get_log_and_patch_files": ((_BACKUP,), _FILES),
    "backup_get_truncate_log_files": ((_BACKUP,), _FILES),
    "backup_truncate_logs": ((_BACKUP,), _NOTHING),
    "backup_instance_end": ((_BACKUP, ("flags", ULONG)), _NOTHING),
    "backup_end": ((_BACKUP,), (_BACKUP,)),
    "restore_open": (
        (
            ("server", NAME),
            ("annotation", NAME),
            ("sourceInstance", NAME),
            ("logPath", OPTIONAL_STRING),
        ),
        (_RESTORE,),
    ),
    "restore_reopen": (
        (("server", NAME), ("annotation", OPTIONAL_STRING), ("logPath", NAME)),
        (_RESTORE,),
    ),
    "restore_add_database": (
        _DATABASE,
        (
            ("destinationCharacters", Count("destinationStreams")),
            ("destinationStreams", Unique(WCHARS, empty="")),
        ),
    ),
    "restore_add_database_ns": (
        (
            *_DATABASE,
            ("destinationCharacters", Count("destinationStreams")),
            ("destinationStreams", WCHARS),
        ),
        _NOTHING,
    ),
    "restore_open_file": (
        (_RESTORE, ("fileName", NAME), ("sections", ULONG)),
        (("file", HYPER),),
    ),
    "restore_write_file": (
        (_RESTORE, ("file", HYPER), ("size", Count("data")), ("data", BYTES)),
        _NOTHING,
    ),
    "restore_close_file": ((_RESTORE, ("file", HYPER)), _NOTHING),
    "restore_save_environment": ((_RESTORE,), _NOTHING),
    "restore_load_environment": (
        (("server", OPTIONAL_STRING), ("logPath", NAME)),
        (("environment", Unique(ENVIRONMENT)),),
    ),
    "restore_get_environment": ((_RESTORE,), (("environment", Unique(ENVIRONMENT)),)),
    "restore_complete": (
        (
            _RESTORE,
            ("checkpointPath", NAME),
            ("logPath", NAME),
            ("targetInstance", OPTIONAL_STRING),
            ("flags", ULONG),
        ),
        _NOTHING,
    ),
    "restore_close": ((_RESTORE, ("flag", ULONG)), (_RESTORE,)),
    "snapshot_start": (
        (
            _BACKUP,
            ("characters", Count("databases")),
            ("databases", WCHARS),
            ("flags", ULONG),
        ),
        _NOTHING,
    ),
}


def _make(method: str) -> Operation:
    request, response = _SHAPES[method]
    opnum = CALL_BY_METHOD[method].opnum
    assert opnum is not None
    return operation(opnum, idl_name(method), request, (*response, *_OUTCOME))


OPERATIONS: Final[dict[str, Operation]] = {method: _make(method) for method in CALL_BY_METHOD}
"""The operation of every call, by its method's name."""

BACKUP_INTERFACE: Final = make_interface("eseback", BACKUP_SYNTAX, OPERATIONS.values())
