"""The database images of a restore: what hard recovery demands of them (ESE source logutil.cxx)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from eseback.data import frozen
from eseback.errors import JetErr
from eseback.formats.dbheader import DatabaseHeader, DbState
from eseback.formats.errors import FormatError
from eseback.formats.fields import NO_BACKUP
from eseback.formats.logheader import LogHeader
from eseback.formats.trailer import Trailer

from .database import Database, read_header, streaming_file_problem, write_header
from .errors import JetError
from .log import LogFiles
from .page import Page
from .pagefile import drop_side_file, mend_torn_pages
from .patchfile import patch_name, read_patches

if TYPE_CHECKING:
    from .instance import Instance


@frozen
class RestoredDatabase:
    """One line of the restore map: the name at backup time and where the image lies now.

    All are Windows paths as the instance's ``resolve`` takes them.
    """

    source_edb: str
    edb: str
    stm: str | None = None


@frozen
class ImageRules:
    """What an image is held against: the set's files and range, its stream, logs of a first try.

    ``own_first`` is the first generation that an earlier try of the recovery wrote.
    """

    files: LogFiles
    gen_low: int
    gen_high: int
    log: LogHeader
    own_first: int | None


@frozen
class Image:
    """An image that passed its checks. ``is_recovered``: by an earlier try, nothing is left to do.

    ``patches`` are the pages of its patch file, by page number.
    """

    entry: RestoredDatabase
    header: DatabaseHeader
    is_recovered: bool
    patches: dict[int, list[Page]]


def is_fresh(instance: Instance, entry: RestoredDatabase) -> bool:
    """Whether no recovery has touched the image yet. Never raises: the checks come later."""
    path = instance.config.resolve(entry.edb)
    if not instance.volume.exists(path):
        return False
    try:
        header = read_header(instance.volume, path, instance.config.page_size)
    except JetError:
        return False
    return header.state == DbState.DIRTY_SHUTDOWN and header.bkinfo_full_cur.gen_high == 0


def check_image(instance: Instance, entry: RestoredDatabase, rules: ImageRules) -> Image:
    """Hold an image to the rules. Changes nothing.

    Raises -535 -538 -539 -540 -552 -553 -554 -561 -615 -1206 -1811.
    """
    path = instance.config.resolve(entry.edb)
    size = instance.config.page_size
    volume = instance.volume
    if not volume.exists(path):
        raise JetError(JetErr.FILE_NOT_FOUND, f"there is no {entry.edb}")
    if volume.size(path) % size:
        raise instance.refusal(
            JetErr.BAD_BACKUP_DATABASE_SIZE,
            f"{entry.edb} has {volume.size(path)} bytes, no multiple of {size}",
            event=438,
            database=entry.edb,
        )
    header = read_header(volume, path, size)
    if _was_recovered(header, rules):
        return Image(entry, header, True, {})
    if header.state != DbState.DIRTY_SHUTDOWN or header.bkinfo_full_cur.gen_low == 0:
        raise JetError(
            JetErr.RESTORE_OF_NON_BACKUP_DATABASE,
            f"{entry.edb} is in state {header.state.name}: no backup image",
        )
    if header.sign_log != rules.log.sign_log:
        raise JetError(
            JetErr.DATABASE_LOG_SET_MISMATCH, f"{entry.edb} belongs to another log stream"
        )
    patches: dict[int, list[Page]] = {}
    if instance.config.patch_files:
        page, patches = read_patches(volume, _patch_path(rules.files, entry), size)
        _check_trailer(instance, entry, page, header, rules)
    elif header.bkinfo_full_cur.gen_high == 0:
        _check_trailer(instance, entry, _last_page(instance, path), header, rules)
    stm_path = None if entry.stm is None else instance.config.resolve(entry.stm)
    problem = streaming_file_problem(volume, header, entry.edb, entry.stm, stm_path)
    if problem is not None:
        raise JetError(JetErr.DATABASE_STREAMING_FILE_MISMATCH, problem)
    return Image(entry, header, False, patches)


def _was_recovered(header: DatabaseHeader, rules: ImageRules) -> bool:
    """Whether an earlier try finished with this database; the log that it wrote is the proof."""
    return (
        rules.own_first is not None
        and header.state == DbState.CLEAN_SHUTDOWN
        and header.sign_log == rules.log.sign_log
        and header.bkinfo_full_prev == header.bkinfo_full_cur == NO_BACKUP
        and header.lgpos_consistent.generation >= rules.own_first
    )


def _last_page(instance: Instance, path: str) -> bytes:
    size = instance.config.page_size
    file = instance.volume.open(path)
    page = file.read(max(file.size - size, 0), size)
    file.close()
    return page


def _patch_path(files: LogFiles, entry: RestoredDatabase) -> str:
    """Where the patch file of a database lies at a restore: in the folder of the logs."""
    return files.path(patch_name(entry.source_edb).rpartition("\\")[2])


def _check_trailer(
    instance: Instance,
    entry: RestoredDatabase,
    page: bytes,
    header: DatabaseHeader,
    rules: ImageRules,
) -> None:
    """Hold the trailer, or the header of the patch file, against header and set."""
    try:
        trailer = Trailer.unpack(page)
    except FormatError as error:
        raise JetError(JetErr.BAD_PATCH_PAGE, f"trailer of {entry.edb}: {error}") from error
    current = header.bkinfo_full_cur
    if (
        trailer.sign_db != header.sign_db
        or trailer.sign_log != header.sign_log
        or trailer.bkinfo.mark != current.mark
    ):
        raise instance.refusal(
            JetErr.DATABASE_PATCH_FILE_MISMATCH,
            f"header and trailer of {entry.edb} are from different backups",
            event=430,
            database=entry.edb,
        )
    needed = trailer.bkinfo
    if needed.gen_low < rules.gen_low:
        raise instance.refusal(
            JetErr.STARTING_RESTORE_LOG_TOO_HIGH,
            f"{entry.edb} needs logs from generation {needed.gen_low}; the set starts at "
            f"{rules.gen_low}",
            event=431,
            file=_shown(rules.files, rules.gen_low),
            wanted=_shown(rules.files, needed.gen_low),
        )
    if needed.gen_high > rules.gen_high:
        raise instance.refusal(
            JetErr.ENDING_RESTORE_LOG_TOO_LOW,
            f"{entry.edb} needs logs up to generation {needed.gen_high}; the set ends at "
            f"{rules.gen_high}",
            event=432,
            file=_shown(rules.files, rules.gen_high),
            wanted=_shown(rules.files, needed.gen_high),
        )


def _shown(files: LogFiles, generation: int) -> str:
    return files.shown(files.closed(generation))


def prepare_image(instance: Instance, image: Image, gen_high: int) -> Database:
    """Open an image for the replay; its header says from here on that the set's logs are needed.

    Power may be lost at any point: what was done is done again, or found done.
    """
    volume, header = instance.volume, image.header
    path = instance.config.resolve(image.entry.edb)
    side = instance.restore_side_path(header.sign_db)
    if header.bkinfo_full_cur.gen_high:
        mend_torn_pages(volume, path, side, instance.config.page_size, instance.marks)
    else:
        drop_side_file(volume, side)  # of an earlier image of the database
    database = instance.open_database(header.dbid, image.entry.edb, image.entry.stm, side_path=side)
    database.pages.patches = image.patches
    database.write_header(
        bkinfo_full_cur=evolve(header.bkinfo_full_cur, gen_high=gen_high),
        gen_max_required=max(header.gen_max_required, gen_high),
    )
    if not instance.config.patch_files:
        _clear_trailer(database, header)
    return database


def finish_image(instance: Instance, image: Image) -> None:
    """Do what a loss of power may have left undone on an image that an earlier try recovered."""
    config = instance.config
    # One copy of the header may still be that of before.
    path = config.resolve(image.entry.edb)
    write_header(instance.volume, path, image.header, config.page_size)
    drop_side_file(instance.volume, instance.restore_side_path(image.header.sign_db))


def _clear_trailer(database: Database, header: DatabaseHeader) -> None:
    """The trailer becomes a zero page, last of all: a restore that fails before can be tried again.

    Where power was lost just before that, it is still there although the header is written.
    """
    file, size = database.pages.file, database.page_size
    offset = file.size - size
    try:
        trailer = Trailer.unpack(file.read(offset, size))
    except FormatError:
        return
    if trailer.sign_db == header.sign_db:
        file.write(offset, bytes(size))
        file.sync()
