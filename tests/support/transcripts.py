"""Transcripts written by hand, in the words of the API, for tests of judges."""

from __future__ import annotations

from typing import Any, Final, Self

from eseback.calls import CALL_BY_METHOD
from eseback.constants import INFORMATION_STORE, BackupType, DatabaseFlags, InstanceEnd
from eseback.errors import ROW_BY_JET, ROW_BY_NAME
from esesim.transcript import CallError, CallRecord

GROUP: Final = "First Storage Group"
EDB: Final = "C:\\mdbdata\\priv1.edb"
STM: Final = "C:\\mdbdata\\priv1.stm"
LOGS: Final = ("C:\\mdbdata\\E0000005.log", "C:\\mdbdata\\E0000006.log")
SIZE: Final = 100_000


class Transcript:
    """Records in order. Every method adds a call, as it is answered when ``error`` is not given."""

    def __init__(self, dismounted: str | None = None) -> None:
        self.records: list[CallRecord] = []
        self._handle = 0
        self._databases = [_database("Mailbox Store", (EDB, STM), mounted=True)]
        if dismounted is not None:
            self._databases.append(_database("Archive", (dismounted,), mounted=False))

    def call(
        self, method: str, result: Any = None, error: str | int | None = None, **args: Any
    ) -> Self:
        """Any call; ``error`` is a name of the table, a JET number, or ``lost``."""
        self.records.append(
            CallRecord(
                number=len(self.records) + 1,
                call=CALL_BY_METHOD[method].documented,
                method=method,
                group=None,
                arguments=args,
                result=None if error else result,
                error=_error(error) if error else None,
            )
        )
        return self

    def prepare(self, annotation: str = INFORMATION_STORE, context: int = 1) -> Self:
        """Prepare, with one instance whose id is 7."""
        instance = {"instance_id": 7, "instance_name": GROUP, "databases": self._databases}
        return self.call(
            "backup_prepare",
            {"context": context, "instances": [instance]},
            server="EXCHSRV1",
            annotation=annotation,
        )

    def setup(
        self,
        backup_type: int = BackupType.FULL,
        instance: int = 7,
        error: str | int | None = None,
        context: int = 1,
    ) -> Self:
        """Setup."""
        return self.call(
            "backup_setup",
            error=error,
            context=context,
            instance_id=instance,
            backup_type=int(backup_type),
        )

    def open(self, name: str, error: str | int | None = None, size: int = SIZE) -> Self:
        """OpenFile; handles count from 1."""
        if not error:
            self._handle += 1
        result = [{"handle": self._handle, "size": size}]
        return self.call("backup_open_file", result, error, context=1, file_name=name)

    def read(
        self, count: int, error: str | int | None = None, handle: int | None = None, crc: str = "0"
    ) -> Self:
        """ReadFile of the file opened last."""
        return self.call(
            "backup_read_file",
            {"bytes": count, "crc32": crc},
            error,
            context=1,
            handle=self._handle if handle is None else handle,
            buffer=65536,
        )

    def close(self, error: str | int | None = None, handle: int | None = None) -> Self:
        """CloseFile of the file opened last."""
        number = self._handle if handle is None else handle
        return self.call("backup_close_file", None, error, context=1, handle=number)

    def copy(self, *names: str) -> Self:
        """Open, read to the end and close, file by file."""
        for name in names:
            self.open(name).read(SIZE).read(0).close()
        return self

    def logs(self, names: tuple[str, ...] = LOGS, error: str | int | None = None) -> Self:
        """GetLogAndPatchFiles."""
        return self.call("backup_get_log_and_patch_files", list(names), error, context=1)

    def truncate_list(self) -> Self:
        """GetTruncateLogFiles."""
        return self.call("backup_get_truncate_log_files", [], context=1)

    def truncate(self, error: str | int | None = None) -> Self:
        """TruncateLogs."""
        return self.call("backup_truncate_logs", None, error, context=1)

    def instance_end(
        self, flags: int = InstanceEnd.SUCCESS, error: str | int | None = None
    ) -> Self:
        """InstanceEnd."""
        return self.call("backup_instance_end", None, error, context=1, flags=int(flags))

    def end(self, error: str | int | None = None, context: int = 1) -> Self:
        """End."""
        return self.call("backup_end", None, error, context=context)


def full_backup() -> Transcript:
    """A full backup without a fault."""
    transcript = Transcript().prepare().setup().copy(EDB, STM).logs().copy(*LOGS)
    return transcript.truncate().instance_end().end()


def _database(name: str, streams: tuple[str, ...], *, mounted: bool) -> dict[str, Any]:
    flags = DatabaseFlags.MOUNTED if mounted else DatabaseFlags.UNMOUNTED
    return {"display_name": name, "streams": list(streams), "flags": int(flags)}


def _error(error: str | int) -> CallError:
    if error == "lost":
        row = ROW_BY_NAME["RPC_S_CALL_FAILED"]
        return CallError(row.hresult, row.jet, row.name, True, "")
    row = ROW_BY_JET[error] if isinstance(error, int) else ROW_BY_NAME[error]
    return CallError(row.hresult, row.jet, row.name, False, "")
