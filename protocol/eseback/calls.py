"""The calls of the API as data: documented name, number on our wire, documentation page.

`CALLS` also lists the documented functions that only free memory, so that the table is the whole
list of documented exports; they have neither a method nor a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from eseback.data import frozen

__all__ = ["CALLS", "CALL_BY_METHOD", "CallInfo", "CallKind"]

_LIBRARY: Final = "https://learn.microsoft.com/en-us/previous-versions/office/developer"
_SDK_FOLDERS: Final = {65: "exchange-server-2003", 80: "exchange-server-2007"}


class CallKind(Enum):
    """What a call is for."""

    DISCOVERY = "discovery"
    BACKUP = "backup"
    RESTORE = "restore"
    MEMORY = "memory"


@frozen
class CallInfo:
    """One documented function.

    method: name in `BackupApi`, None for functions that only free memory. documented: exported
    name. opnum: number in our own interface definition (the real one's numbers are not public),
    None without a method. page, sdk: documentation page and its SDK (65: Exchange Server 2003,
    80: 2007). own_page: False where the function has no readable page of its own and `page` is
    the list or overview that names it. frees: what a memory function frees, documented names of
    the calls that allocate.
    """

    method: str | None
    documented: str
    opnum: int | None
    kind: CallKind
    page: str
    sdk: int
    own_page: bool = True
    frees: tuple[str, ...] = ()

    @property
    def link(self) -> str:
        """Address of the documentation page."""
        return f"{_LIBRARY}/{_SDK_FOLDERS[self.sdk]}/{self.page}(v=exchg.{self.sdk})"


_D, _B, _R, _M = CallKind.DISCOVERY, CallKind.BACKUP, CallKind.RESTORE, CallKind.MEMORY

CALLS: Final[tuple[CallInfo, ...]] = (
    CallInfo("get_nodes", "HrESEBackupRestoreGetNodes", 0, _D, "aa564346", 80),
    CallInfo("get_registered", "HrESEBackupRestoreGetRegistered", 1, _D, "ms878542", 65),
    CallInfo("backup_prepare", "HrESEBackupPrepare", 2, _B, "aa581272", 80),
    CallInfo("backup_get_dependency_info", "HrESEBackupGetDependencyInfo", 3, _B, "aa580951", 80),
    CallInfo("backup_setup", "HrESEBackupSetup", 4, _B, "ms878543", 65),
    # The member list prints "ESEBackupOpenFile"; the export has the prefix like its siblings.
    CallInfo("backup_open_file", "HrESEBackupOpenFile", 5, _B, "aa564243", 80, own_page=False),
    CallInfo("backup_read_file", "HrESEBackupReadFile", 6, _B, "ms878539", 65),
    CallInfo("backup_close_file", "HrESEBackupCloseFile", 7, _B, "ms878528", 65),
    CallInfo(
        "backup_get_log_and_patch_files", "HrESEBackupGetLogAndPatchFiles", 8, _B, "aa563417", 80
    ),
    CallInfo(
        "backup_get_truncate_log_files", "HrESEBackupGetTruncateLogFiles", 9, _B, "ms878534", 65
    ),
    CallInfo("backup_truncate_logs", "HrESEBackupTruncateLogs", 10, _B, "ms878545", 65),
    CallInfo("backup_instance_end", "HrESEBackupInstanceEnd", 11, _B, "aa563301", 80),
    CallInfo("backup_end", "HrESEBackupEnd", 12, _B, "ms878530", 65),
    CallInfo("restore_open", "HrESERestoreOpen", 13, _R, "ms878556", 65),
    CallInfo("restore_reopen", "HrESERestoreReopen", 14, _R, "ms878558", 65),
    CallInfo("restore_add_database", "HrESERestoreAddDatabase", 15, _R, "ms878546", 65),
    CallInfo("restore_add_database_ns", "HrESERestoreAddDatabaseNS", 16, _R, "ms878547", 65),
    CallInfo("restore_open_file", "HrESERestoreOpenFile", 17, _R, "aa564970", 80),
    CallInfo("restore_write_file", "HrESERestoreWriteFile", 18, _R, "ms878561", 65),
    CallInfo("restore_close_file", "HrESERestoreCloseFile", 19, _R, "ms878550", 65),
    CallInfo("restore_save_environment", "HrESERestoreSaveEnvironment", 20, _R, "aa564752", 80),
    CallInfo("restore_load_environment", "HrESERestoreLoadEnvironment", 21, _R, "ms878554", 65),
    CallInfo(
        "restore_get_environment",
        "HrESERestoreGetEnvironment",
        22,
        _R,
        "aa579378",
        80,
        own_page=False,
    ),
    CallInfo("restore_complete", "HrESERestoreComplete", 23, _R, "aa562960", 80),
    CallInfo("restore_close", "HrESERestoreClose", 24, _R, "aa579378", 80, own_page=False),
    CallInfo("snapshot_start", "HrESESnapshotStart", 25, _B, "ms878562", 65),
    CallInfo(
        None,
        "ESEBackupRestoreFreeNodes",
        None,
        _M,
        "ms878521",
        65,
        frees=("HrESEBackupRestoreGetNodes",),
    ),
    CallInfo(
        None,
        "ESEBackupRestoreFreeRegisteredInfo",
        None,
        _M,
        "ms878522",
        65,
        frees=("HrESEBackupRestoreGetRegistered",),
    ),
    CallInfo(
        None,
        "ESEBackupFreeInstanceInfo",
        None,
        _M,
        "aa494162",
        80,
        frees=("HrESEBackupPrepare",),
    ),
    # Its page also names the two environment calls; their own pages and eseutil use
    # ESERestoreFreeEnvironment, which is followed here.
    CallInfo(
        None,
        "ESEBackupFree",
        None,
        _M,
        "ms878518",
        65,
        frees=(
            "HrESEBackupGetLogAndPatchFiles",
            "HrESEBackupGetTruncateLogFiles",
            "HrESERestoreAddDatabase",
        ),
    ),
    CallInfo(
        None,
        "ESERestoreFreeEnvironment",
        None,
        _M,
        "aa564243",
        80,
        own_page=False,
        frees=("HrESERestoreLoadEnvironment", "HrESERestoreGetEnvironment"),
    ),
    # Documented as not recommended; nothing is left for it to free.
    CallInfo(None, "ESERestoreFree", None, _M, "aa564969", 80),
)

CALL_BY_METHOD: Final[Mapping[str, CallInfo]] = {
    info.method: info for info in CALLS if info.method is not None
}
