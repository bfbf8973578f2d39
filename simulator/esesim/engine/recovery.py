"""What soft and hard recovery have in common: redo a generation, check, undo, leave all clean.

ESE source logredo.cxx.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from eseback.errors import JetErr
from eseback.formats.fields import LogTime
from eseback.formats.logheader import LogHeader

from .database import Database
from .log import LogStream
from .logfile import LogFile, LogSummary
from .replay import Replay, Target

if TYPE_CHECKING:
    from .instance import Instance


def redo_log(replay: Replay, log: LogFile) -> None:
    """Redo every record of one generation."""
    replay.redo_blocks(log.data, log.blocks, log.generation << 32)
    replay.counts.generations += 1
    replay.write_back()


def make_target(instance: Instance, database: Database) -> Target:
    """A database as the goal of a replay."""
    stm = None
    if database.stm_path is not None and instance.volume.exists(database.stm_path):
        stm = instance.volume.open(database.stm_path)
    return Target(database, stm)


def check_generations(instance: Instance, database: Database, last_generation: int) -> None:
    """All logs whose changes may be in the file have been replayed; else -543."""
    header = database.header
    if header.gen_max_required > last_generation:
        raise instance.refusal(
            JetErr.REQUIRED_LOG_FILES_MISSING,
            f"{database.edb} needs logs up to generation {header.gen_max_required}; the last one "
            f"replayed is {last_generation}",
            event=453,
            database=database.edb,
            low=header.gen_min_required,
            high=header.gen_max_required,
            found=last_generation,
        )


def open_log_at_end(instance: Instance, last: LogSummary) -> None:
    """Go on writing behind the last good block of the current log."""
    files, volume = instance.files, instance.volume
    size = last.header.file_sectors * 512
    if last.ended:
        # The crash came between the end mark and the renames.
        start_log(instance, last.header)
        return
    file = volume.open(files.current)
    behind = file.read(last.end, size - last.end)
    # Comparing zeros is fifty times as quick as stripping them.
    if behind != bytes(len(behind)):
        instance.marks["torn_log"] += 1
        # What lies behind the end must never be taken for a block again.
        file.write(last.end, bytes(len(behind.rstrip(b"\0"))))
        file.sync()
    file.close()
    instance.log = LogStream(
        files,
        last.header,
        instance.clock,
        attachments=instance.attachments,
        rolled=instance.rolled,
        generation_max=instance.config.generation_max,
        block_start=last.end,
    )


def start_log(instance: Instance, previous: LogHeader) -> None:
    """Open the generation that follows ``previous`` as current log."""
    header = evolve(
        previous,
        generation=previous.generation + 1,
        created=LogTime.from_unix(instance.clock.now()),
        previous_created=previous.created,
        attachments=instance.attachments(),
    )
    instance.log = LogStream.create(
        instance.files,
        header,
        instance.clock,
        attachments=instance.attachments,
        rolled=instance.rolled,
        generation_max=instance.config.generation_max,
    )
    instance.rolled(header.generation)


def undo_and_close(instance: Instance, replay: Replay, **changes: Any) -> None:
    """Undo what is open, write everything, leave the databases clean and closed."""
    for target in replay.targets.values():
        target.database.log = instance.log
        target.sync_stream()
    replay.undo(instance.log)
    for dbid, target in list(replay.targets.items()):
        database = target.database
        database.flush()
        record = instance.end_attachment(database, **changes)
        instance.databases.pop(dbid, None)
        instance.log.append(record)
        target.close_stream()
        database.close()
    replay.targets.clear()
    instance.log.flush()
