"""A full and an incremental backup of a quiet server, for tests that spoil one thing at a time."""

from __future__ import annotations

import pytest
from attrs import evolve, frozen

from eseback.constants import BackupType
from esesim.engine.errors import JetError
from esesim.engine.inspect import database_rows
from esesim.journal import Rows
from esesim.volume import Volume
from tests.support.engine import CONFIG, FOLDER, Recovered, Rig, SavedSet

SLEEPING = evolve(CONFIG, flush_per_slice=0, checkpoint_lag=1000)
"""A server whose lazy writer sleeps: what is on disk is what the test wrote."""


@frozen
class Scene:
    """A full backup, an incremental one, the logs closed since then, and the rows of each time."""

    rig: Rig
    full: SavedSet
    incremental: SavedSet
    rows_full: Rows
    rows_incremental: Rows

    @property
    def edb(self) -> str:
        return self.rig.edb()

    @property
    def stm(self) -> str:
        stm = self.rig.stm()
        assert stm is not None
        return stm

    def log(self, generation: int) -> str:
        return f"{FOLDER}\\E00{generation:05X}.log"

    @property
    def middle(self) -> int:
        """A generation of the full set with neighbours on both sides."""
        return self.full.generations[2]

    def lay_out(self) -> Volume:
        return self.rig.lay_out([self.full])

    def recover(self, volume: Volume) -> Recovered:
        return self.rig.recover([self.full], volume=volume)

    def refused(self, volume: Volume) -> JetError:
        with pytest.raises(JetError) as refused:
            self.recover(volume)
        return refused.value


def make_scene() -> Scene:
    """The scene, on a server of its own."""
    rig = Rig(config=SLEEPING).create()
    # The headers have marks of earlier backups, as on any server that is not new.
    rig.back_up()
    rig.work(20)
    rig.back_up(BackupType.LOGS_ONLY)
    rig.work(100)
    rig.workload.settle()
    full = rig.back_up(truncate=False)
    rows_full = database_rows(rig.database())
    rig.work(80)
    rig.workload.settle()
    incremental = rig.back_up(truncate=True)
    rows_incremental = database_rows(rig.database())
    assert len(full.logs) >= 5
    return Scene(rig, full, incremental, rows_full, rows_incremental)
