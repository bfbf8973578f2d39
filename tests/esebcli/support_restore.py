"""A scripted server that also restores, and restores from it in one line.

It follows the contract's order table of restore calls, keeps the files that it is given, and says
what it was asked to recover. It recovers nothing: what recovery needs is shown on the simulator.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from attrs import define, evolve, field, frozen

from eseback.constants import RecoverStatus, RestoreClose, RestoreComplete
from eseback.errors import ConnectionLost, EseBackupError
from eseback.restoreorder import (
    RESTORE_STARTS,
    RestoreCall,
    RestoreState,
    restore_cell,
    restore_close_call,
    restore_complete_call,
)
from eseback.structures import RestoreDatabase, RestoreEnvironment, RestoreFile
from esebcli.fileaccess import FileAccess
from esebcli.manifest import SavedFile
from esebcli.names import last_component
from esebcli.restore import RestoreJob, RestoreRequest, RestoreResult
from tests.esebcli.support_fake import SERVER, FakeServer, two_groups
from tests.esebcli.support_jobs import manifest_of

CHOSEN: Final = "C:\\Temp\\Restore "
"""The folder that the server chooses, up to a number."""


@define
class _Restore:
    state: RestoreState
    environment: RestoreEnvironment
    name: str = ""
    data: bytearray = field(factory=bytearray)


@frozen
class Completed:
    """A Complete that arrived: the environment, the paths, the target and the flags."""

    environment: RestoreEnvironment
    checkpoint_path: str
    log_path: str
    target: str | None
    flags: RestoreComplete


@define
class RestoringServer(FakeServer):
    """The scripted server with the restore calls.

    Attributes:
        file_level: leave the writing of files to the client.
        disk: files by Windows path, as they were restored.
        places: where a database goes, by GUID; where it came from if it is not in here.
        refused: databases that AddDatabase refuses, with the name of the error.
        saved: environments by folder.
        completed: what was to be recovered.
        recovery_hr: outcome of a recovery that nobody waits for; the polls until it has ended.
    """

    file_level: bool = False
    disk: dict[str, bytes] = field(factory=dict)
    places: dict[uuid.UUID, tuple[str, ...]] = field(factory=dict)
    refused: dict[uuid.UUID, str] = field(factory=dict)
    saved: dict[str, RestoreEnvironment] = field(factory=dict)
    completed: list[Completed] = field(factory=list)
    recovery_hr: int = 0
    polls: int = 2
    restores: dict[int, _Restore] = field(factory=dict)
    pieces_max: int = 0

    @property
    def files(self) -> FileAccess:
        """File access to its disk."""
        return _Disk(self.disk)

    def restore_states(self) -> list[RestoreState]:
        """States of all restore contexts that were ever made."""
        return [restore.state for restore in self.restores.values()]

    # ---- the calls

    def restore_open(
        self, server: str, annotation: str, source_instance: str, log_path: str | None
    ) -> int:
        """Begin."""
        with self._call("restore_open", 0, (server, source_instance, log_path)):
            folder = log_path or f"{CHOSEN}{len(self.restores) + 1}"
            environment = RestoreEnvironment(folder, source_instance, annotation=annotation)
            return self._begin(environment, "restore_open")

    def restore_reopen(self, server: str, annotation: str | None, log_path: str) -> int:
        """Go on with what was saved."""
        with self._call("restore_reopen", 0, (server, annotation, log_path)):
            return self._begin(self.saved[log_path], "restore_reopen")

    def restore_get_environment(self, context: int) -> RestoreEnvironment:
        """What the context knows."""
        with self._call("restore_get_environment", context):
            me = self._step_restore(context, RestoreCall.GET_ENVIRONMENT)
            if me.state is RestoreState.COMPLETING:
                self.polls -= 1
                if self.polls <= 0:
                    self._end_recovery(me)
            return me.environment

    def restore_add_database(
        self, context: int, display_name: str, guid: uuid.UUID, source_streams: Sequence[str]
    ) -> tuple[str, ...]:
        """Say where the files go."""
        with self._call("restore_add_database", context, display_name):
            streams = self.places.get(guid, tuple(source_streams))
            self._add(context, display_name, guid, source_streams, streams)
            return streams

    def restore_add_database_ns(
        self,
        context: int,
        display_name: str,
        guid: uuid.UUID,
        source_streams: Sequence[str],
        destination_streams: Sequence[str],
    ) -> None:
        """Be told where the files go."""
        with self._call("restore_add_database_ns", context, tuple(destination_streams)):
            self._add(context, display_name, guid, source_streams, destination_streams)

    def restore_open_file(self, context: int, file_name: str, sections: int = 1) -> RestoreFile:
        """Announce a file."""
        with self._call("restore_open_file", context, file_name):
            call = RestoreCall.OPEN_FILE_LEVEL if self.file_level else RestoreCall.OPEN_FILE
            me = self._step_restore(context, call)
            if self.file_level:
                return RestoreFile(None)
            me.name, me.data = file_name, bytearray()
            self.disk[file_name] = b""
            return RestoreFile(77)

    def restore_write_file(self, context: int, handle: int, data: memoryview) -> None:
        """Append."""
        with self._call("restore_write_file", context, handle):
            me = self._step_restore(context, RestoreCall.WRITE)
            assert handle == 77
            self.pieces_max = max(self.pieces_max, len(data))
            me.data += data
            self.disk[me.name] = bytes(me.data)

    def restore_close_file(self, context: int, handle: int) -> None:
        """Close."""
        with self._call("restore_close_file", context, handle):
            self._step_restore(context, RestoreCall.CLOSE_FILE)

    def restore_save_environment(self, context: int) -> None:
        """Save."""
        with self._call("restore_save_environment", context):
            me = self._step_restore(context, RestoreCall.SAVE)
            self.saved[me.environment.restore_log_path] = me.environment

    def restore_complete(
        self,
        context: int,
        checkpoint_path: str,
        log_path: str,
        target_instance: str | None,
        flags: RestoreComplete,
    ) -> None:
        """Recover, as far as anybody can see."""
        with self._call("restore_complete", context, flags):
            me = self._step_restore(context, restore_complete_call(flags))
            self.completed.append(
                Completed(me.environment, checkpoint_path, log_path, target_instance, flags)
            )
            status = RecoverStatus.STARTED
            me.environment = evolve(me.environment, status_last_recover=status)
            if me.state is RestoreState.COMPLETED:
                self._end_recovery(me)

    def restore_close(self, context: int, flag: RestoreClose) -> None:
        """End the context."""
        with self._call("restore_close", context, flag):
            self._step_restore(context, restore_close_call(flag))

    # ---- behind them

    def _begin(self, environment: RestoreEnvironment, method: str) -> int:
        handle = 500 + len(self.restores)
        self.restores[handle] = _Restore(RESTORE_STARTS[method], environment)
        return handle

    def _add(
        self,
        context: int,
        name: str,
        guid: uuid.UUID,
        sources: Sequence[str],
        destinations: Sequence[str],
    ) -> None:
        if guid in self.refused:
            raise EseBackupError.from_name(self.refused[guid], "restore_add_database")
        me = self._step_restore(context, RestoreCall.ADD_DATABASE)
        database = RestoreDatabase(name, guid, tuple(sources), tuple(destinations))
        me.environment = evolve(me.environment, databases=(*me.environment.databases, database))

    def _end_recovery(self, me: _Restore) -> None:
        failed = self.recovery_hr != 0
        if me.state is RestoreState.COMPLETING:
            call = RestoreCall.RECOVERY_FAILED if failed else RestoreCall.RECOVERY_ENDED
            me.state = restore_cell(me.state, call).next_state
        me.environment = evolve(
            me.environment,
            status_last_recover=RecoverStatus.ENDED,
            hr_last_recover=self.recovery_hr,
        )

    def _step_restore(self, context: int, call: RestoreCall) -> _Restore:
        me = self.restores[context]
        cell = restore_cell(me.state, call)
        me.state = cell.next_state
        if not cell.ok:
            assert cell.row is not None
            raise EseBackupError(cell.row.hresult, call=call.method)
        assert not cell.misuse, cell.misuse
        return me

    def _lose(self, context: int, error: BaseException) -> None:
        if isinstance(error, ConnectionLost) and context in self.restores:
            me = self.restores[context]
            me.state = restore_cell(me.state, RestoreCall.CONNECTION_LOST).next_state
        super()._lose(context, error)


@frozen
class _Disk:
    files: dict[str, bytes]

    @contextmanager
    def create(self, windows_path: str) -> Iterator[io.BytesIO]:
        file = io.BytesIO()
        yield file
        self.files[windows_path] = file.getvalue()


def restoring() -> RestoringServer:
    """The server of :func:`two_groups`, which can restore."""
    return RestoringServer(two_groups().groups)


def bring_back(server: RestoringServer, *sets: Path, **more: Any) -> RestoreResult:
    """Restore sets to the scripted server."""
    files = more.pop("files", server.files if server.file_level else None)
    request = RestoreRequest(sets, server=SERVER, **{"parallel": 1, **more})
    return RestoreJob(lambda: server.api, request, files=files).run()


def bytes_in(folder: Path, group: str = "First Storage Group") -> Mapping[str, bytes]:
    """The saved bytes of a group's part of a set, by file name."""
    part = manifest_of(folder).group(group)
    assert part is not None
    return {file.name: _read(folder / part.folder, file) for file in part.files}


def by_name(disk: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """What is on the server's disk, by file name alone."""
    return {last_component(path): data for path, data in disk.items()}


def _read(folder: Path, file: SavedFile) -> bytes:
    return (folder / file.name).read_bytes()
