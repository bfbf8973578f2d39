"""Hard recovery of a full backup, beside zlib.crc32 over the same logs.

A backup whose databases were copied before the users went to work, so that nearly everything in the
logs has to be done again. Measured is all of it: reading and checking the logs, redo, undo, sealing
every changed page anew and writing it. Small records are the hard case: what a record costs counts
more than what its bytes do.
"""

from __future__ import annotations

import zlib

from attrs import frozen

from benchmarks.conftest import Measure
from benchmarks.servers import MIB, RunningBackup, quiet_topology, running_backup
from benchmarks.table import Goal, GoalKind
from eseback.formats.names import parse_log_name
from esesim import MemoryVolume, SimulatedServer
from esesim.engine.config import InstanceConfig
from esesim.engine.hardrecovery import RecoveryReport, RestoredDatabase, hard_recover
from esesim.engine.log import Clock
from esesim.engine.logfile import read_log

RATE_MIN = 60
STEPS = 12_000
RECORD_SIZE_MAX = 300


@frozen
class SavedBackup:
    """A full backup on a volume of its own, and how to recover it."""

    volume: MemoryVolume
    database: RestoredDatabase
    logs: tuple[str, ...]
    config: InstanceConfig
    clock: Clock

    def used(self, log: str) -> int:
        """Bytes of a log up to its end mark: the rest of the file is empty."""
        return read_log(self.volume, self.config.resolve(log)).end

    def recover(self, volume: MemoryVolume) -> RecoveryReport:
        """Recover the databases on a copy of the volume."""
        names = (log.rpartition("\\")[2] for log in self.logs)
        generations = [parse_log_name(name, self.config.base) or 0 for name in names]
        return hard_recover(
            volume,
            [self.database],
            config=self.config,
            gen_low=min(generations),
            gen_high=max(generations),
            clock=self.clock,
        )


def save(backup: RunningBackup, name: str, volume: MemoryVolume, path: str) -> None:
    """Copy one file of a running backup onto a volume."""
    volume.make_directory(path.rpartition("/")[0])
    (opened,) = backup.api.backup_open_file(backup.context, name)
    file, offset, buffer = volume.create(path), 0, memoryview(bytearray(MIB))
    while count := backup.api.backup_read_file(backup.context, opened.handle, buffer):
        file.write(offset, bytes(buffer[:count]))
        offset += count
    file.sync()
    file.close()
    backup.api.backup_close_file(backup.context, opened.handle)


def full_backup() -> SavedBackup:
    """Databases first, then a lot of work, then the logs."""
    topology = quiet_topology(messages=400, body_size_max=512, log_size=MIB)
    volume = MemoryVolume()
    with SimulatedServer(topology) as server, running_backup(server) as backup:
        (group,) = server.groups
        config = group.running.config
        for stream in backup.streams:
            save(backup, stream, volume, config.resolve(stream))
        server.run_workload(group.name, STEPS)
        logs = backup.api.backup_get_log_and_patch_files(backup.context)
        for log in logs:
            save(backup, log, volume, config.resolve(log))
        edb, stm = backup.streams
        return SavedBackup(volume, RestoredDatabase(edb, edb, stm), logs, config, group.clock)


def bench_hard_recovery(measure: Measure) -> None:
    saved = full_backup()
    size = sum(saved.used(log) for log in saved.logs)
    counts = saved.recover(saved.volume.snapshot()).counts
    assert size / counts.records <= RECORD_SIZE_MAX
    assert counts.applied > counts.records // 2, "most of the log has to be done again"
    logs = [read_log(saved.volume, saved.config.resolve(log)).data for log in saved.logs]
    copies: list[MemoryVolume] = []

    measure(
        f"hard recovery, records of {size / counts.records:.0f} bytes on average",
        lambda: saved.recover(copies.pop()),
        goal=Goal(GoalKind.RATE_MIN, RATE_MIN),
        yardstick_name="zlib.crc32 of the logs",
        yardstick=lambda: [zlib.crc32(log) for log in logs],
        amount=size / MIB,
        unit="MiB",
        rounds=7,
        prepare=lambda: copies.append(saved.volume.snapshot()),
    )
