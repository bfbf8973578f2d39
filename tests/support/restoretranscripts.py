"""Transcripts of restores written by hand, and what such a restore had to bring back."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Final, Self

from attrs import evolve

from eseback.constants import INFORMATION_STORE, RecoverStatus, RestoreClose
from eseconform.judge.restorefollow import follow_restore
from eseconform.judge.restoreledger import FileWrite, Wanted, WantedDatabase
from eseconform.judge.restoretalk import RestoreTalk
from eseconform.task import Claim, JobKind, Outcome, Task
from tests.support.transcripts import EDB, GROUP, STM, Transcript

GUID: Final = "c302e70e-579e-5ad4-b33c-d3db1893d5fd"
FOLDER: Final = "C:\\Restore\\First Storage Group"
PRODUCTION: Final = "C:\\mdbdata"
STORE: Final = "Mailbox Store"
LOGS: Final = ("E0000005.log", "E0000006.log")
SIZE: Final = 100
RESTORE: Final = Task(JobKind.RESTORE, "EXCHSRV1", INFORMATION_STORE, (GROUP,), Path("work"))
WANTED: Final = Wanted(
    group=GROUP,
    base="E00",
    databases=(WantedDatabase(STORE, GUID, (EDB, STM)),),
    all_names=(STORE,),
    gen_low=5,
    gen_high=6,
    full_high=6,
    saved={
        EDB.casefold(): (Path("priv1.edb"),),
        STM.casefold(): (Path("priv1.stm"),),
        **{f"c:\\mdbdata\\{log}".casefold(): (Path(log),) for log in LOGS},
    },
)
"""What the sets hold: one store with its two files, and generations 5 and 6."""


class RestoreTranscript(Transcript):
    """Records of restore calls. A context is 1 unless said otherwise; the folder is ``FOLDER``."""

    def open(  # type: ignore[override]
        self,
        folder: str | None = None,
        group: str = GROUP,
        context: int = 1,
        annotation: str = INFORMATION_STORE,
        server: str = "EXCHSRV1",
        error: str | int | None = None,
    ) -> Self:
        """RestoreOpen."""
        return self.call(
            "restore_open",
            {"context": context},
            error,
            server=server,
            annotation=annotation,
            source_instance=group,
            log_path=folder,
        )

    def reopen(self, folder: str = FOLDER, context: int = 2) -> Self:
        """RestoreReopen, without annotation."""
        return self.call(
            "restore_reopen",
            {"context": context},
            server="EXCHSRV1",
            annotation=None,
            log_path=folder,
        )

    def look(
        self,
        folder: str = FOLDER,
        status: RecoverStatus = RecoverStatus.NOT_STARTED,
        result: int = 0,
        context: int = 1,
    ) -> Self:
        """GetEnvironment."""
        environment = {
            "restore_log_path": folder,
            "source_instance_name": GROUP,
            "status_last_recover": int(status),
            "hr_last_recover": result,
        }
        return self.call("restore_get_environment", environment, context=context)

    def add(
        self,
        name: str = STORE,
        guid: str = GUID,
        sources: tuple[str, ...] = (EDB, STM),
        error: str | int | None = None,
        context: int = 1,
    ) -> Self:
        """AddDatabase; the files go where they were."""
        return self.call(
            "restore_add_database",
            list(sources),
            error,
            context=context,
            display_name=name,
            guid=guid,
            source_streams=list(sources),
        )

    def add_ns(self, there: tuple[str, ...], sources: tuple[str, ...] = (EDB, STM)) -> Self:
        """AddDatabaseNS."""
        return self.call(
            "restore_add_database_ns",
            None,
            context=1,
            display_name=STORE,
            guid=GUID,
            source_streams=list(sources),
            destination_streams=list(there),
        )

    def announce(
        self,
        name: str,
        *,
        file_level: bool = False,
        error: str | int | None = None,
        sections: int = 1,
        context: int = 1,
    ) -> Self:
        """OpenFile; handles count from 1."""
        if not (error or file_level):
            self._handle += 1
        result = {"handle": None if file_level else self._handle}
        return self.call(
            "restore_open_file", result, error, context=context, file_name=name, sections=sections
        )

    def write(self, error: str | int | None = None, handle: int | str | None = None) -> Self:
        """WriteFile of SIZE zeros."""
        data = {"bytes": SIZE, "crc32": f"{zlib.crc32(bytes(SIZE)):08x}"}
        number = self._handle if handle is None else handle
        return self.call("restore_write_file", None, error, context=1, handle=number, data=data)

    def shut(self, error: str | int | None = None, handle: int | str | None = None) -> Self:
        """CloseFile."""
        number = self._handle if handle is None else handle
        return self.call("restore_close_file", None, error, context=1, handle=number)

    def put(self, *names: str, context: int = 1) -> Self:
        """Announce, write and close, file by file."""
        for name in names:
            self.announce(name, context=context)
            data = {"bytes": SIZE, "crc32": f"{zlib.crc32(bytes(SIZE)):08x}"}
            handle = {"context": context, "handle": self._handle}
            self.call("restore_write_file", None, **handle, data=data)
            self.call("restore_close_file", None, **handle)
        return self

    def put_logs(self, *logs: str, context: int = 1) -> Self:
        """Logs into the folder."""
        return self.put(*(f"{FOLDER}\\{log}" for log in logs), context=context)

    def save(self, error: str | int | None = None, context: int = 1) -> Self:
        """SaveEnvironment."""
        return self.call("restore_save_environment", None, error, context=context)

    def complete(
        self,
        flags: int = 0,
        target: str | None = None,
        error: str | int | None = None,
        path: str = FOLDER,
        context: int = 1,
    ) -> Self:
        """Complete."""
        return self.call(
            "restore_complete",
            None,
            error,
            context=context,
            checkpoint_path=path,
            log_path=path,
            target_instance=target,
            flags=flags,
        )

    def leave(
        self,
        flag: int = RestoreClose.NORMAL,
        error: str | int | None = None,
        context: int = 1,
    ) -> Self:
        """Close."""
        return self.call("restore_close", None, error, context=context, flag=int(flag))


def begun() -> RestoreTranscript:
    """Open, with a look at the environment, and the database added."""
    return RestoreTranscript().open().look().add()


def with_files() -> RestoreTranscript:
    """All files restored and the environment saved."""
    return begun().put(EDB, STM).put_logs(*LOGS).save()


def whole_restore() -> RestoreTranscript:
    """A restore without a fault."""
    return with_files().complete().leave()


def talk_of(
    transcript: RestoreTranscript,
    outcome: Outcome = Outcome.SUCCESS,
    wanted: Wanted = WANTED,
    writes: tuple[FileWrite, ...] = (),
    **changes: Any,
) -> RestoreTalk:
    """The transcript as a judge gets it; ``changes`` are of the task."""
    claim = Claim(outcome, reason="" if outcome is Outcome.SUCCESS else "it failed")
    return RestoreTalk(
        task=evolve(RESTORE, **changes),
        claim=claim,
        follower=follow_restore(transcript.records),
        wanted={wanted.group: wanted},
        writes=writes,
        production=(PRODUCTION,),
    )
