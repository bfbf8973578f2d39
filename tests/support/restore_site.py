"""A restore as a server does it: the set's logs in one folder, recovery's own log in another, and
the group's production folder, whose logs are played forward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, evolve, field

from eseback.errors import JetErr
from esesim.engine.errors import JetError
from esesim.engine.event import Event
from esesim.engine.hardrecovery import RecoveryReport, RestoredDatabase, hard_recover
from esesim.engine.inspect import Rows, check_file, read_rows
from esesim.volume import MemoryVolume
from esesim.windows_path import to_volume_path
from tests.support.engine import FOLDER, Rig, SavedSet, StepClock
from tests.support.files import all_files, put

RESTORE = "C:\\restore"
"""The folder of the restore: the logs of the sets lie here."""
OWN = "C:\\recovery"
"""The folders of the instance that recovers."""
FOLDERS = (FOLDER, RESTORE, OWN)


@define
class Site:
    """A volume with a restore prepared on it, and how to recover."""

    rig: Rig
    volume: MemoryVolume
    gen_low: int
    gen_high: int
    target_gen_max: int | None = None
    target: str | None = FOLDER
    config: dict[str, Any] = field(factory=dict)
    events: list[Event] = field(factory=list)
    progress: list[tuple[int, int]] = field(factory=list)

    def copy(self) -> Site:
        """The same on a volume of its own."""
        return evolve(self, volume=self.volume.snapshot(), events=[], progress=[])

    def entries(self) -> list[RestoredDatabase]:
        """The restore map: every database to where it was."""
        rig = self.rig
        return [RestoredDatabase(rig.edb(n), rig.edb(n), rig.stm(n)) for n in rig.names]

    def recover(self, **changes: Any) -> RecoveryReport:
        """Hard recovery; ``changes`` are arguments of ``hard_recover``."""
        arguments: dict[str, Any] = {
            "config": evolve(
                self.rig.config,
                **{"name": "Restore", "system_path": OWN, "log_path": OWN} | self.config,
            ),
            "gen_low": self.gen_low,
            "gen_high": self.gen_high,
            "backup_log_path": RESTORE,
            "target_log_path": self.target,
            "target_gen_max": self.target_gen_max,
            "clock": StepClock(),
            "events": self.events.append,
            "marks": self.rig.marks,
            "progress": lambda done, total: self.progress.append((done, total)),
        }
        arguments = {"databases": self.entries()} | arguments | changes
        return hard_recover(self.volume, arguments.pop("databases"), **arguments)

    def refused(self, expected: JetErr, **changes: Any) -> JetError:
        """Recovery fails with this error."""
        try:
            self.recover(**changes)
        except JetError as error:
            assert error.err == expected, error
            return error
        raise AssertionError(f"no {expected.name}")

    def rows(self, name: str = "priv1") -> Rows:
        """What is in a recovered database, which must be whole."""
        stm = self.rig.stm(name)
        paths = to_volume_path(self.rig.edb(name)), None if stm is None else to_volume_path(stm)
        assert check_file(self.volume, *paths) == []
        return read_rows(self.volume, *paths)

    def files(self) -> dict[str, dict[str, bytes]]:
        """Every file of the three folders, by folder."""
        return {folder: all_files(self.volume, folder) for folder in FOLDERS}

    def log(self, generation: int, folder: str = RESTORE) -> str:
        """Windows path of a closed log."""
        return f"{folder}\\E00{generation:05X}.log"

    def generations(self) -> range:
        """The generations of the sets."""
        return range(self.gen_low, self.gen_high + 1)

    def event_ids(self) -> list[int]:
        """Ids of the events written so far."""
        return [event.id for event in self.events]


def stage(
    rig: Rig,
    sets: list[SavedSet],
    *,
    keep: Callable[[str], bool] = lambda name: name.endswith((".log", ".chk")),
) -> Site:
    """Lay sets out on a volume: images where the databases were, logs in the restore's folder.

    The production folder is as the server has it now, as far as ``keep`` says of its files' names.
    """
    volume = MemoryVolume()
    for folder in FOLDERS:
        volume.make_directory(to_volume_path(folder))
    for name, data in all_files(rig.volume, FOLDER).items():
        if keep(name):
            put(volume, f"{FOLDER}\\{name}", data)
    for saved in sets:
        for item in saved.databases:
            put(volume, item.path, item.data)
        for item in saved.logs:
            put(volume, f"{RESTORE}\\{item.path.rpartition(chr(92))[2]}", item.data)
    generations = [generation for saved in sets for generation in saved.generations]
    return Site(rig, volume, min(generations), max(generations))
