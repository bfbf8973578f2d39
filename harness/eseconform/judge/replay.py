"""Restores a chain of sets: the saved bytes go onto an empty volume, and the engine recovers them.

Nothing of the server takes part but its parameters (page size, base name of the logs). What comes
out are rows, which the data axis compares with what the server's users had committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path

from attrs import evolve, field, frozen

from eseback.formats.names import parse_log_name
from eseconform.judge.records import base_name
from esesim.engine.config import InstanceConfig
from esesim.engine.errors import JetError
from esesim.engine.hardrecovery import RestoredDatabase, hard_recover
from esesim.engine.inspect import Rows, check_file, read_rows
from esesim.engine.log import Clock
from esesim.volume import MemoryVolume, Volume

RESTORE_FOLDER = "R:\\restore"
PATCH_FILE = ".pat"
"""Ending of the patch files of Exchange 2000 RTM and SP1, which are restored beside the logs."""
COPY_BYTES = 1 << 20
RESTORES_KEPT = 256


@frozen
class SavedDatabase:
    """A database image of a full set: display name, names of its streams, .edb first."""

    name: str
    streams: tuple[str, ...]

    @property
    def edb(self) -> str:
        """Name of the database file."""
        return self.streams[0]

    @property
    def stm(self) -> str | None:
        """Name of the streaming file; None where there is none."""
        return self.streams[1] if len(self.streams) > 1 else None


@frozen
class Chain:
    """What a restore of one storage group starts from.

    Attributes:
        databases: the images of the full set.
        images: saved bytes of the images, by name.
        logs: saved bytes of the logs (and patch files) of all sets, by name.
        gen_low, gen_high: the generations that the server listed, over all sets.
    """

    databases: tuple[SavedDatabase, ...]
    images: Mapping[str, Path]
    logs: Mapping[str, Path]
    gen_low: int
    gen_high: int


@frozen
class Restored:
    """How a restore ended.

    Attributes:
        problem: why it failed, in words; empty when it did not.
        generation: the last generation replayed, None when it failed.
        rows: what the databases hold, by name of the .edb.
    """

    problem: str = ""
    generation: int | None = None
    rows: Mapping[str, Rows] = field(factory=dict)


def generation_of(name: str, base: str) -> int | None:
    """Generation in the name of a closed log, None for any other file."""
    return parse_log_name(base_name(name), base)


@frozen
class _Restore:
    """A restore by what decides its outcome: two that are equal end alike.

    Attributes:
        config: parameters of the engine.
        databases, gen_low, gen_high: of the chain.
        contents: name and digest of every file of the chain; no digest for one that is not there.
        chain, clock: what it is done with.
    """

    config: InstanceConfig
    databases: tuple[SavedDatabase, ...]
    gen_low: int
    gen_high: int
    contents: tuple[tuple[str, bytes], ...]
    chain: Chain = field(eq=False)
    clock: Clock = field(eq=False)


def restore(chain: Chain, config: InstanceConfig, clock: Clock) -> Restored:
    """Recover a chain on a volume of its own, and read the rows.

    The same bytes restore to the same: the outcome of recent restores is remembered.
    """
    files = (*chain.images.items(), *chain.logs.items())
    contents = tuple((name, _digest(path)) for name, path in files)
    low, high = chain.gen_low, chain.gen_high
    return _restored(_Restore(config, chain.databases, low, high, contents, chain, clock))


def _digest(path: Path) -> bytes:
    """Of the bytes of a file; empty for one that is claimed but not there."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file_digest(file, "blake2b").digest()


@lru_cache(maxsize=RESTORES_KEPT)
def _restored(job: _Restore) -> Restored:
    chain, config, clock = job.chain, job.config, job.clock
    volume = MemoryVolume()
    target = evolve(config, log_path=RESTORE_FOLDER, system_path=RESTORE_FOLDER)
    _copy_in(volume, target, chain)
    entries = [RestoredDatabase(d.edb, d.edb, d.stm) for d in chain.databases]
    try:
        report = hard_recover(
            volume,
            entries,
            config=target,
            gen_low=chain.gen_low,
            gen_high=chain.gen_high,
            clock=clock,
        )
        rows = {}
        for database in chain.databases:
            paths = target.resolve(database.edb), database.stm and target.resolve(database.stm)
            flaws = check_file(volume, *paths)
            if flaws:
                return Restored(f"{database.name} is recovered, but {flaws[0]}")
            rows[database.edb] = read_rows(volume, *paths)
    except JetError as error:
        return Restored(f"recovery fails with {error}")
    except (ArithmeticError, LookupError, ValueError, AssertionError) as error:
        # The bytes may be anything; whether that is the client's doing is for the caller to see.
        return Restored(f"recovery breaks off: {type(error).__name__}: {error}")
    return Restored(generation=report.generation_last, rows=rows)


def _copy_in(volume: Volume, config: InstanceConfig, chain: Chain) -> None:
    folder = config.resolve(config.log_path)
    volume.make_directory(folder)
    for name, path in chain.images.items():
        target = config.resolve(name)
        volume.make_directory(target.rpartition("/")[0])
        _copy_file(volume, path, target)
    for name, path in chain.logs.items():
        _copy_file(volume, path, f"{folder}/{base_name(name)}")


def _copy_file(volume: Volume, source: Path, target: str) -> None:
    """Copy a saved file in; one that is claimed but not there is left out, as a restore would."""
    if not source.is_file():
        return
    out = volume.create(target)
    offset = 0
    with source.open("rb") as file:
        while data := file.read(COPY_BYTES):
            out.write(offset, data)
            offset += len(data)
    out.sync()
    out.close()
