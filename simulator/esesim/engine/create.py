"""Making the files of a new database: .edb with catalog and empty tables, and its .stm."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from eseback.data import frozen
from eseback.errors import JetErr
from eseback.formats.dbheader import DatabaseHeader, DbAttribute, DbFlag, DbState
from eseback.formats.fields import NO_SIGNATURE, FileType, LogTime, Signature

from .database import ECC_REVISION, read_header, write_header
from .errors import JetError
from .initial import build_initial_database
from .schema import mailbox_schema

if TYPE_CHECKING:
    from .ballast import BallastRule
    from .instance import Instance

_FIRST_DBTIME = 1


def create_database_files(instance: Instance, edb: str, stm: str | None, size: int = 0) -> None:
    """Write both files, synced, in state JustCreated. Raises -1201 where a database is there.

    With a ``size`` in bytes the database is virtual, see :mod:`.virtual`. A file in state
    JustCreated is what a crash in here left: nothing is lost by making it anew.
    """
    config, volume = instance.config, instance.volume
    path = config.resolve(edb)
    if volume.exists(path) and not _is_unfinished(instance, path):
        raise JetError(JetErr.DATABASE_DUPLICATE, f"{edb} exists already")
    now = LogTime.from_unix(instance.clock.now())
    contents = _initial_contents(
        size, config.page_size, config.revision, config.initial_pages, stm is not None
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
        objid_last=contents.objid_last,
        flags=DbFlag.NONE if stm is None else DbFlag.SLV_EXISTS,
        sign_slv=sign_slv,
        os_major=5,
        os_minor=2,
        os_build=3790,
    )
    page_size = config.page_size
    for name in (edb, stm):
        if name is not None:
            volume.make_directory(config.resolve(name).rpartition("/")[0])
    # The .edb's header comes last: it makes the pair a database.
    if stm is not None:
        _create_streaming_file(instance, stm, header)
    file_size = (contents.last_pgno + 2) * page_size
    if contents.rule is None:
        file = volume.create(path, file_size)
    else:
        from .ballastblocks import BallastPages

        ballast = BallastPages(contents.rule, ecc=config.revision >= ECC_REVISION)
        file = volume.create_generated(path, file_size, ballast)
    for pgno, image in contents.images:
        file.write((pgno + 1) * page_size, image)
    file.sync()
    file.close()
    write_header(volume, path, header, page_size)
    volume.sync_directory(path.rpartition("/")[0])


@frozen
class _Contents:
    """A new database but for its header: pages by number, the last one, and what is generated."""

    images: tuple[tuple[int, bytes], ...]
    last_pgno: int
    objid_last: int
    rule: BallastRule | None


# A server makes many databases of one kind.
@lru_cache(maxsize=8)
def _initial_contents(
    size: int, page_size: int, revision: int, cpg_initial: int, streaming: bool
) -> _Contents:
    rule = None
    if size:
        from .virtual import build_virtual_database

        made = build_virtual_database(
            mailbox_schema(),
            size=size,
            page_size=page_size,
            revision=revision,
            streaming=streaming,
            dbtime=_FIRST_DBTIME,
        )
        initial, rule = made.initial, made.rule
    else:
        initial = build_initial_database(
            mailbox_schema(),
            page_size=page_size,
            revision=revision,
            cpg_initial=cpg_initial,
            streaming=streaming,
            dbtime=_FIRST_DBTIME,
        )
    ecc = revision >= ECC_REVISION
    images = ((page.pgno, bytes(page.to_bytes(page_size, ecc=ecc))) for page in initial.pages)
    return _Contents(tuple(images), initial.last_pgno, initial.objid_last, rule)


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
    """Whether a crash cut the making of the file short, so that nothing is lost with it."""
    size = instance.config.page_size
    try:
        header = read_header(instance.volume, path, size)
    except JetError:
        # The copy is written last. One that is there and bad belonged to a database: no crash
        # leaves both copies damaged.
        file = instance.volume.open(path)
        copy = file.read(size, size)
        file.close()
        return not any(copy)
    return header.state == DbState.JUST_CREATED
