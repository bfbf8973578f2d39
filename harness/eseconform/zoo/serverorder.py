"""Broken servers of the zoo: order, locks and discovery.

See :mod:`eseconform.zoo.servers`.
"""

from __future__ import annotations

from attrs import evolve

from eseback.constants import BackupType, DatabaseFlags
from eseback.errors import EseBackupError, JetErr
from eseback.order import BackupState
from eseback.structures import InstanceBackupInfo
from eseconform.zoo.brokenserver import BrokenServer
from esesim.engine.backup import Backup
from esesim.engine.errors import JetError
from esesim.exchange import InformationStore
from esesim.session import Session


class _LetsDatabaseIn(Backup):
    def open_file(self, path: str) -> tuple[int, int]:
        edbs = {database.edb.casefold() for database in self._instance.databases.values()}
        if self.state is not BackupState.LOGS or path.casefold() not in edbs:
            return super().open_file(path)
        self.state = BackupState.DATABASES
        opened = super().open_file(path)
        self.state = BackupState.LOG_OPEN
        return opened


class OpensDatabaseAfterLogs(BrokenServer):
    """Looks for a mounted database before it looks at the phase."""

    backup = _LetsDatabaseIn


class _EndsOnSecondSetup(Backup):
    def begin(self, kind: BackupType) -> None:
        if self.is_running:
            super().end(False)
            raise JetError(JetErr.BACKUP_IN_PROGRESS, "a backup runs")
        super().begin(kind)


class SecondSetupEndsFirst(BrokenServer):
    """Cleans up after a refused Setup, and takes the running backup for its own."""

    backup = _EndsOnSecondSetup


class ForgetsMountLock(BrokenServer):
    """Doesn't ask whether a backup runs when a store is mounted or dismounted."""

    def mount(self, group: str, store: str) -> None:
        """See SimulatedServer."""
        backup = self.group(group).running.backup
        state, backup.state = backup.state, BackupState.PREPARED
        try:
            super().mount(group, store)
        finally:
            backup.state = state

    def dismount(self, group: str, store: str) -> None:
        """See SimulatedServer."""
        backup = self.group(group).running.backup
        state, backup.state = backup.state, BackupState.PREPARED
        try:
            super().dismount(group, store)
        finally:
            backup.state = state


class KeepsGroupOfLostClient(BrokenServer):
    """Forgets the context of a lost client, and not its backup."""

    def connection_lost(self, context: int) -> None:
        """See SimulatedServer."""
        for session in list(self._sessions):
            session._contexts.pop(context, None)


class _EndsOnList(Backup):
    def log_list(self) -> list[str]:
        try:
            return super().log_list()
        except JetError:
            if self.is_running:
                super().end(False)
            raise


class RefusedListEndsBackup(BrokenServer):
    """Refuses the list of logs while a file is open, and drops the backup with it."""

    backup = _EndsOnList


class _NamesNothing(Session):
    def backup_get_truncate_log_files(self, context: int) -> tuple[str, ...]:
        """See Session."""
        if self._held(context, "backup_get_truncate_log_files").group is None:
            return ()
        return super().backup_get_truncate_log_files(context)


class ListsWithoutBackup(BrokenServer):
    """Answers with an empty list of logs to truncate where no backup runs."""

    connection = _NamesNothing


class _EndsBackupsAlone(Session):
    def __init__(self, store: InformationStore, *, remote: bool = False) -> None:
        super().__init__(store, remote=remote)
        self._set_up: set[int] = set()

    def backup_setup(self, context: int, instance_id: int, backup_type: BackupType) -> None:
        """See Session."""
        self._set_up.add(context)
        super().backup_setup(context, instance_id, backup_type)

    def backup_end(self, context: int) -> None:
        """See Session."""
        super().backup_end(context)
        if context not in self._set_up:
            raise EseBackupError.from_jet(JetErr.NO_BACKUP, "backup_end")


class EndNeedsSetup(BrokenServer):
    """Answers the End of a context with an error if no Setup was tried in it."""

    connection = _EndsBackupsAlone


class _RunsOnAfterEnd(Session):
    def backup_end(self, context: int) -> None:
        """See Session."""
        if self._held(context, "backup_end").state.running:
            self._contexts.pop(context)
        else:
            super().backup_end(context)


class EndKeepsBackup(BrokenServer):
    """Frees the context at End, and leaves its backup to whoever may come."""

    connection = _RunsOnAfterEnd


class _RunsOnAfterError(Backup):
    def open_file(self, path: str) -> tuple[int, int]:
        state, run = self.state, self._run
        try:
            return super().open_file(path)
        except JetError:
            self.state, self._run = state, run
            raise


class KeepsGroupAfterError(BrokenServer):
    """Keeps the group locked after an error that ended its backup, until InstanceEnd."""

    backup = _RunsOnAfterError


class _AllMounted(Session):
    def backup_prepare(
        self, server: str, annotation: str
    ) -> tuple[int, tuple[InstanceBackupInfo, ...]]:
        """See Session."""
        context, instances = super().backup_prepare(server, annotation)
        return context, tuple(
            evolve(
                instance,
                databases=tuple(evolve(d, flags=DatabaseFlags.MOUNTED) for d in instance.databases),
            )
            for instance in instances
        )


class ListsAllAsMounted(BrokenServer):
    """Lists the stores of a running group as mounted, every one."""

    connection = _AllMounted
