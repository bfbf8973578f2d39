"""Making the files of a new database: .edb with catalog and empty tables, and its .stm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eseback.errors import JetErr
from eseback.formats.dbheader import DatabaseHeader, DbAttribute, DbFlag, DbState
from eseback.formats.fields import NO_SIGNATURE, FileType, LogTime, Signature

from .database import ECC_REVISION, read_header, write_header
from .errors import JetError
from .initial import build_initial_database
from .schema import mailbox_schema

if TYPE_CHECKING:
    from .instance import Instance

_FIRST_DBTIME = 1


def create_database_files(instance: Instance, edb: str, stm: str | None) -> None:
    """Write both files, synced, in state JustCreated. Raises -1201 where a database is there.

    A file in state JustCreated is what a crash in here left: nothing is lost by making it anew.
    """
    config, volume = instance.config, instance.volume
    path = config.resolve(edb)
    if volume.exists(path) and not _is_unfinished(instance, path):
        raise JetError(JetErr.DATABASE_DUPLICATE, f"{edb} exists already")
    now = LogTime.from_unix(instance.clock.now())
    initial = build_initial_database(
        mailbox_schema(),
        page_size=config.page_size,
        revision=config.revision,
        cpg_initial=config.initial_pages,
        streaming=stm is not None,
        dbtime=_FIRST_DBTIME,
    )
    sign_slv = NO_SIGNATURE if stm is None else Signature(instance.rng.getrandbits(32), now, "")
    header = DatabaseHeader(
        sign_db=Signature(instance.rng.getrandbits(32), now, config.computer),
        sign_log=instance.log.signature,
        state=DbState.JUST_CREATED,
        revision=config.revision,
        create_revision=config.revision,
        page_size=config.page_size,
        dbtime=_FIRST_DBTIME,
        objid_last=initial.objid_last,
        flags=DbFlag.NONE if stm is None else DbFlag.SLV_EXISTS,
        sign_slv=sign_slv,
        os_major=5,
        os_minor=2,
        os_build=3790,
    )
    size = config.page_size
    for name in (edb, stm):
        if name is not None:
            volume.make_directory(config.resolve(name).rpartition("/")[0])
    # The .edb's header comes last: it makes the pair a database.
    if stm is not None:
        _create_streaming_file(instance, stm, header)
    file = volume.create(path, (initial.last_pgno + 2) * size)
    for page in initial.pages:
        image = page.to_bytes(size, ecc=config.revision >= ECC_REVISION)
        file.write((page.pgno + 1) * size, image)
    file.sync()
    file.close()
    write_header(volume, path, header, size)
    volume.sync_directory(path.rpartition("/")[0])


def _create_streaming_file(instance: Instance, stm: str, header: DatabaseHeader) -> None:
    size = instance.config.page_size
    path = instance.config.resolve(stm)
    instance.volume.create(path, 2 * size).close()
    stream_header = DatabaseHeader(
        sign_db=header.sign_db,
        sign_log=header.sign_log,
        state=DbState.CLEAN_SHUTDOWN,
        revision=header.revision,
        create_revision=header.revision,
        page_size=size,
        attribute=DbAttribute.STREAMING_FILE,
        file_type=FileType.STREAMING_FILE,
        sign_slv=header.sign_slv,
        flags=DbFlag.SLV_EXISTS,
    )
    write_header(instance.volume, path, stream_header, size)
    instance.volume.sync_directory(path.rpartition("/")[0])


def _is_unfinished(instance: Instance, path: str) -> bool:
    try:
        header = read_header(instance.volume, path, instance.config.page_size)
    except JetError:
        # Neither copy of the header was ever written whole: the file's making was cut short.
        return True
    return header.state == DbState.JUST_CREATED
