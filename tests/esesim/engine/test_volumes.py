"""The engine on a volume in memory and on one in a real directory: the same files, byte for byte.

And the same files again with the same seed: whatever depends on the order of a set, on the time of
day or on the address of an object would show here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from eseback.constants import BackupType
from esesim.engine.inspect import check_file, database_rows
from esesim.volume import DirectoryVolume, MemoryVolume, Volume
from tests.support.engine import CONFIG, FOLDER, Rig, SavedSet
from tests.support.files import all_files

KINDS = ("memory", "directory")
type_Files = dict[str, bytes]


def vanish(rig: Rig) -> None:
    """The process is gone: its files are closed, and what waited to be written is lost."""
    rig.instance.log.close()
    for database in rig.instance.databases.values():
        database.close()


def make_volume(kind: str, path: Path) -> Volume:
    if kind == "memory":
        return MemoryVolume()
    path.mkdir()
    return DirectoryVolume(path)


@pytest.fixture(params=KINDS)
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Volume:
    return make_volume(request.param, tmp_path / "root")


def chain(rig: Rig) -> list[SavedSet]:
    """A full and an incremental backup under load."""
    rig.work(20)
    rig.steps, rig.steps_per_backup_max = 2, 30
    sets = [rig.back_up()]
    rig.work(10)
    sets.append(rig.back_up(BackupType.LOGS_ONLY))
    return sets


def back_up_under_load(volume: Volume, seed: int) -> type_Files:
    """A history with backups: files of the server, files of the sets."""
    rig = Rig(volume=volume, seed=seed, names=("priv1", "pub1")).create()
    sets = chain(rig)
    files = all_files(volume, FOLDER)
    for number, saved in enumerate(sets):
        for file in (*saved.databases, *saved.logs):
            files[f"{number}/{file.path}"] = file.data
    vanish(rig)
    return files


def restart_in_the_middle(volume: Volume, seed: int) -> type_Files:
    """A history with detach, attach, a clean restart and one without shutdown."""
    rig = Rig(volume=volume, seed=seed).create()
    rig.work(20)
    rig.workload.settle()
    rig.instance.detach(rig.edb())
    rig.instance.attach(rig.edb(), rig.stm())
    rig.work(20)
    rig.workload.settle()
    rig.instance.terminate()
    rig.boot()
    rig.attach()
    rig.work(20)
    vanish(rig)
    rig.boot()
    rig.attach()
    rig.work(10)
    files = all_files(volume, FOLDER)
    vanish(rig)
    return files


HISTORIES = (back_up_under_load, restart_in_the_middle)
each_history = pytest.mark.parametrize("history", HISTORIES)
type_History = Callable[[Volume, int], type_Files]


def assert_same(left: type_Files, right: type_Files) -> None:
    assert sorted(left) == sorted(right)
    assert [name for name in left if left[name] != right[name]] == []


@each_history
def test_both_volumes_end_with_the_same_files(history: type_History, tmp_path: Path) -> None:
    first, second = (history(make_volume(kind, tmp_path / kind), 5) for kind in KINDS)
    assert len(first) > 8
    assert_same(first, second)


@each_history
def test_same_seed_gives_the_same_files(history: type_History) -> None:
    assert_same(history(MemoryVolume(), 5), history(MemoryVolume(), 5))


@each_history
def test_another_seed_gives_other_files(history: type_History) -> None:
    first, second = history(MemoryVolume(), 5), history(MemoryVolume(), 6)
    assert first["priv1.edb"] != second["priv1.edb"]


def test_law_holds(volume: Volume) -> None:
    rig = Rig(volume=volume).create()
    sets = chain(rig)
    vanish(rig)
    recovered = rig.recover(sets)
    assert recovered.rows() == recovered.expected()


def test_recovery_on_this_volume(volume: Volume) -> None:
    """The restore itself runs on the volume, not only the backup."""
    rig = Rig(seed=3).create()
    sets = chain(rig)
    recovered = rig.recover(sets, volume=rig.lay_out(sets, volume))
    assert recovered.rows() == recovered.expected()
    assert check_file(recovered.volume, *recovered.paths()) == []
    assert_same(all_files(volume, FOLDER), all_files(rig.recover(sets).volume, FOLDER))


def test_mount_dismount_restart(volume: Volume) -> None:
    rig = Rig(volume=volume, names=("priv1", "pub1")).create()
    rig.work(30)
    rig.workload.settle()
    rig.instance.detach(rig.edb("pub1"))
    assert rig.instance.find(rig.edb("pub1")) is None
    rig.instance.attach(rig.edb("pub1"), rig.stm("pub1"))
    rig.work(20)
    rig.workload.settle()
    expected = {name: database_rows(rig.database(name)) for name in rig.names}
    rig.instance.terminate()
    rig.boot()
    assert rig.instance.databases == {}
    rig.attach()
    for name in rig.names:
        assert database_rows(rig.database(name)) == expected[name]
        assert database_rows(rig.database(name)) == rig.journal.rows(rig.edb(name))
    vanish(rig)


def test_start_without_shutdown(volume: Volume) -> None:
    """The process is gone, the volume is not: what was committed is there."""
    rig = Rig(volume=volume, config=evolve(CONFIG, flush_per_slice=1)).create()
    rig.work(50)
    vanish(rig)
    rig.boot()
    rig.attach()
    assert database_rows(rig.database()) == rig.journal.rows(rig.edb())
    vanish(rig)
