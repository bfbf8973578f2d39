"""Broken servers of the zoo: restores.

See :mod:`eseconform.zoo.servers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from attrs import evolve

from eseback.constants import RestoreComplete
from eseback.errors import EseBackupError
from eseback.formats.dbheader import DatabaseHeader
from eseback.formats.errors import FormatError
from eseback.formats.logblock import verify_log
from eseback.restoreorder import RestoreState
from eseback.structures import RestoreEnvironment
from eseconform.judge.replay import generation_of
from eseconform.zoo.brokenserver import BrokenServer
from esesim.engine.log import LogStream
from esesim.engine.replay import Replay
from esesim.exchange import StorageGroup
from esesim.exchange.instances import InstanceSlots
from esesim.exchange.refused import Refused
from esesim.exchange.restore import Restore
from esesim.exchange.restores import Restores
from esesim.server import SimulatedServer
from esesim.session import Session
from esesim.topology import Topology
from esesim.windows_path import to_volume_path


class _OtherRestores(BrokenServer):
    """A server that keeps track of its restores with another class."""

    restores_kind: type[Restores] = Restores

    def _start(self, group: StorageGroup, stores: object) -> None:
        self._store.restores.__class__ = self.restores_kind
        super()._start(group, stores)  # type: ignore[arg-type]


# --- what comes back


class _Skips(Session):
    def restore_complete(
        self,
        context: int,
        checkpoint_path: str,
        log_path: str,
        target_instance: str | None,
        flags: RestoreComplete,
    ) -> None:
        restore = self._restores[context]
        restore.release()
        restore.state = RestoreState.COMPLETED


class CompletesWithoutRecovery(BrokenServer):
    """Takes Complete for a mere notice, and leaves the recovery to the mount."""

    connection = _Skips


@contextmanager
def _without_undo() -> Iterator[None]:
    undo = Replay.undo

    def nothing(self: Replay, log: LogStream) -> None:
        """What is open stays."""

    Replay.undo = nothing  # type: ignore[method-assign]
    try:
        yield
    finally:
        Replay.undo = undo  # type: ignore[method-assign]


class _KeepsLosers(Session):
    def restore_complete(
        self,
        context: int,
        checkpoint_path: str,
        log_path: str,
        target_instance: str | None,
        flags: RestoreComplete,
    ) -> None:
        with _without_undo():
            super().restore_complete(context, checkpoint_path, log_path, target_instance, flags)


class RecoversUncommittedRows(BrokenServer):
    """Redoes all that is in the logs, and undoes nothing of it."""

    connection = _KeepsLosers


class _CutsRange(Session):
    """Shortens the range of logs to those that are of use."""

    def usable(self, data: bytes) -> bool:
        return True

    def restore_complete(
        self,
        context: int,
        checkpoint_path: str,
        log_path: str,
        target_instance: str | None,
        flags: RestoreComplete,
    ) -> None:
        restore = self._restores[context]
        known = restore.environment
        good = self._good(restore)
        high = known.gen_low
        while high + 1 in good:
            high += 1
        volume = self._store.volume
        for generation, name in self._logs(restore).items():
            if generation > high:
                volume.delete(f"{restore.folder}/{name}")
        restore.note(gen_high=high)
        super().restore_complete(context, checkpoint_path, log_path, target_instance, flags)

    def _logs(self, restore: Restore) -> Mapping[int, str]:
        base = restore.environment.log_base_name or "E00"
        names = self._store.volume.list(restore.folder)
        found = ((generation_of(name, base), name) for name in names)
        return {generation: name for generation, name in found if generation is not None}

    def _good(self, restore: Restore) -> set[int]:
        good = set()
        for generation, name in self._logs(restore).items():
            file = self._store.volume.open(f"{restore.folder}/{name}")
            if self.usable(file.read(0, file.size)):
                good.add(generation)
            file.close()
        return good


class IgnoresMissingLog(BrokenServer):
    """Recovers up to the first log that is missing, and calls that a success."""

    connection = _CutsRange


class _CutsAtDamage(_CutsRange):
    def usable(self, data: bytes) -> bool:
        try:
            return not verify_log(data)
        except FormatError:
            return False


class RecoversUpToDamage(BrokenServer):
    """Takes a damaged log for the end of the logs."""

    connection = _CutsAtDamage


class _KeepsMarks(Session):
    def restore_complete(
        self,
        context: int,
        checkpoint_path: str,
        log_path: str,
        target_instance: str | None,
        flags: RestoreComplete,
    ) -> None:
        restore = self._restores[context]
        before = {d.destination_streams[0]: None for d in restore.environment.databases}
        headers = {edb: self._header(edb) for edb in before}
        super().restore_complete(context, checkpoint_path, log_path, target_instance, flags)
        for edb, old in headers.items():
            path = to_volume_path(edb)
            header = evolve(self._header(edb), bkinfo_full_prev=old.bkinfo_full_cur)
            file = self._store.volume.open(path)
            page = header.pack()
            for number in range(2):
                file.write(number * len(page), page)
            file.sync()
            file.close()

    def _header(self, edb: str) -> DatabaseHeader:
        file = self._store.volume.open(to_volume_path(edb))
        try:
            return DatabaseHeader.read(file.read(0, 2 * 8192))
        finally:
            file.close()


class ForgetsToZeroMarks(BrokenServer):
    """Lets a restored database remember the full backup that it came from."""

    connection = _KeepsMarks


# --- what is refused


class _TakesMounted(Restores):
    def _check_free(self, stream: str) -> None:
        place = self.owners.by_path(stream)
        if place is not None and not place.group.is_overwritable(place.store.name):
            raise Refused("hrCBDatabaseInUse", f"{place.label} may not be overwritten")


class LetsMountedBeRestored(_OtherRestores):
    """Asks for the flag of a database, and not whether it is mounted."""

    restores_kind = _TakesMounted


class _TakesProtected(Restores):
    def _check_free(self, stream: str) -> None:
        place = self.owners.by_path(stream)
        if place is not None and place.group.is_mounted(place.store.name):
            raise Refused("hrCBDatabaseInUse", f"{place.label} is mounted")


class IgnoresOverwriteFlag(_OtherRestores):
    """Lets every database be restored that is not mounted."""

    restores_kind = _TakesProtected


class _SharesFolders(Restores):
    def _check_folder(self, folder: str) -> None:
        pass


class SharesFolders(_OtherRestores):
    """Takes one folder for two restores at the same time."""

    restores_kind = _SharesFolders


class _Endless(InstanceSlots):
    def reserve(self, name: str, *, storage_group: bool) -> None:
        self._names[name] = storage_group


class HasNoInstanceLimit(BrokenServer):
    """Opens restores for as long as somebody asks."""

    def __init__(self, topology: Topology, **options: object) -> None:
        super().__init__(topology, **options)  # type: ignore[arg-type]
        self._store.slots.__class__ = _Endless


# --- environments and contexts


class _LosesRange(Restores):
    def load(self, log_path: str) -> RestoreEnvironment:
        return evolve(super().load(log_path), databases=())


class LosesSavedDatabases(_OtherRestores):
    """Saves the logs of a restore, and not its databases."""

    restores_kind = _LosesRange


class _KeepsSlot(Restores):
    def forget(self, restore: Restore) -> None:
        self.unclaim(restore)
        with self._lock:
            for key, held in list(self._open.items()):
                if held is restore:
                    del self._open[key]


class KeepsInstanceOfClosed(_OtherRestores):
    """Forgets a restore that was closed, and not its instance."""

    restores_kind = _KeepsSlot


class _AllIsWell(Session):
    def restore_get_environment(self, context: int) -> RestoreEnvironment:
        return evolve(super().restore_get_environment(context), hr_last_recover=0)


class SaysAllIsWell(BrokenServer):
    """Tells that a recovery is over, and not how it ended."""

    connection = _AllIsWell


class _SavesOnce(Session):
    def restore_save_environment(self, context: int) -> None:
        restore = self._restores.get(context)
        if restore is not None and restore.state is RestoreState.SAVED:
            raise EseBackupError.from_name("hrRestoreMapExists", "restore_save_environment")
        super().restore_save_environment(context)


class SavesOnce(BrokenServer):
    """Refuses to save an environment that it has saved before."""

    connection = _SavesOnce


RESTORE_BUGS: Final[tuple[tuple[str, type[SimulatedServer], str, str], ...]] = (
    ("completes_without_recovery", CompletesWithoutRecovery, "ESE-SRV-RST-001", "restore-rows"),
    ("recovers_uncommitted_rows", RecoversUncommittedRows, "ESE-SRV-RST-002", "restore-undo"),
    ("ignores_missing_log", IgnoresMissingLog, "ESE-SRV-RST-003", "restore-hole"),
    ("forgets_to_zero_marks", ForgetsToZeroMarks, "ESE-SRV-RST-004", "restore-forgets"),
    ("lets_mounted_be_restored", LetsMountedBeRestored, "ESE-SRV-RST-005", "restore-mounted"),
    ("ignores_overwrite_flag", IgnoresOverwriteFlag, "ESE-SRV-RST-006", "restore-protected"),
    ("shares_folders", SharesFolders, "ESE-SRV-RST-007", "restore-folders"),
    ("has_no_instance_limit", HasNoInstanceLimit, "ESE-SRV-RST-008", "restore-instances"),
    ("loses_saved_databases", LosesSavedDatabases, "ESE-SRV-RST-009", "restore-reopened"),
    ("keeps_instance_of_closed", KeepsInstanceOfClosed, "ESE-SRV-RST-010", "restore-freed"),
    ("recovers_up_to_damage", RecoversUpToDamage, "ESE-SRV-RST-011", "restore-damage"),
    ("saves_once", SavesOnce, "ESE-SRV-RST-013", "restore-order"),
    ("says_all_is_well", SaysAllIsWell, "ESE-SRV-RST-012", "restore-unwaited"),
)
"""Name, class, the rule that it breaks, and the check that finds it first."""
