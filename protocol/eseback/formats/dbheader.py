"""The header of a database (.edb) and of its streaming file (.stm).

It fills one page and stands twice at the start of the file: page 0 and, as shadow, page 1. Layout:
ESE source inc/daedef.hxx (DBFILEHDR) and, for the fields that newer engines dropped, the libesedb
format document.
"""

# Annotations are no texts in this module: each would be compiled by itself, for `Layout`.
import struct
from enum import IntEnum, IntFlag
from functools import lru_cache
from typing import Annotated, Final, Self

from eseback.data import frozen
from eseback.formats.checksum import (
    HEADER_SEED,
    PAGE_SIZES,
    Readable,
    header_is_good,
    seal_header,
)
from eseback.formats.errors import ChecksumMismatchError, FormatError, VersionMismatchError
from eseback.formats.fields import (
    NO_BACKUP,
    NO_POSITION,
    NO_SIGNATURE,
    NO_TIME,
    BkInfo,
    FileType,
    LgPos,
    LogTime,
    Signature,
)
from eseback.formats.layout import Layout, at

DATABASE_VERSION: Final = 0x620
HEADER_COPIES: Final = 2
"""Header pages at the start of a file; page number n (from 1) stands at (n + 1) * page size."""
_DEFAULT_PAGE_SIZE: Final = 4096
_U32_PAIR = struct.Struct("<II")
_PAGE_SIZE_OFFSET: Final = 236


class DbState(IntEnum):
    """State of a database (eseutil /mh: "State")."""

    JUST_CREATED = 1
    DIRTY_SHUTDOWN = 2
    CLEAN_SHUTDOWN = 3
    BEING_CONVERTED = 4
    FORCE_DETACH = 5


class DbAttribute(IntEnum):
    """What the header is the header of."""

    DATABASE = 0
    STREAMING_FILE = 1


class DbFlag(IntFlag):
    """Flags of a header."""

    NONE = 0
    SHADOWING_OFF = 0x1
    UPGRADED = 0x2
    SLV_EXISTS = 0x4


class BackupKind(IntEnum):
    """How the backup of a bkinfo was made (bkinfoType...)."""

    NORMAL = 0
    OS_SNAPSHOT = 1
    SNAPSHOT = 2


@frozen(kw_only=True)
class DatabaseHeader:
    """DBFILEHDR. The bytes behind the last field here are for newer engines and stay zero.

    ``revision`` is the second part of the version (0x620,9: Exchange 2000 and 2003; 0xB: 2003 SP1,
    page checksums with ECC; 0xC: 2007). ``sign_slv`` ties a database to its streaming file.
    ``gen_min_required``..``gen_max_required`` are the logs that recovery needs; both 0 when clean.
    """

    sign_db: Annotated[Signature, at(24)]
    sign_log: Annotated[Signature, at(108)]
    state: Annotated[DbState, at(52, "I")]
    revision: Annotated[int, at(232, "I")]
    page_size: Annotated[int, at(_PAGE_SIZE_OFFSET, "I")] = _DEFAULT_PAGE_SIZE
    magic: Annotated[int, at(4, "I")] = HEADER_SEED
    version: Annotated[int, at(8, "I")] = DATABASE_VERSION
    attribute: Annotated[DbAttribute, at(12, "I")] = DbAttribute.DATABASE
    dbtime: Annotated[int, at(16, "q")] = 0
    lgpos_consistent: Annotated[LgPos, at(56)] = NO_POSITION
    logtime_consistent: Annotated[LogTime, at(64)] = NO_TIME
    logtime_attach: Annotated[LogTime, at(72)] = NO_TIME
    lgpos_attach: Annotated[LgPos, at(80)] = NO_POSITION
    logtime_detach: Annotated[LogTime, at(88)] = NO_TIME
    lgpos_detach: Annotated[LgPos, at(96)] = NO_POSITION
    dbid: Annotated[int, at(104, "I")] = 1
    bkinfo_full_prev: Annotated[BkInfo, at(136)] = NO_BACKUP
    bkinfo_inc_prev: Annotated[BkInfo, at(160)] = NO_BACKUP
    bkinfo_full_cur: Annotated[BkInfo, at(184)] = NO_BACKUP
    flags: Annotated[DbFlag, at(208, "I")] = DbFlag.NONE
    objid_last: Annotated[int, at(212, "I")] = 0
    os_major: Annotated[int, at(216, "I")] = 0
    os_minor: Annotated[int, at(220, "I")] = 0
    os_build: Annotated[int, at(224, "I")] = 0
    os_service_pack: Annotated[int, at(228, "I")] = 0
    repair_count: Annotated[int, at(240, "I")] = 0
    logtime_repair: Annotated[LogTime, at(244)] = NO_TIME
    sign_slv: Annotated[Signature, at(252)] = NO_SIGNATURE
    dbtime_last_scrub: Annotated[int, at(280, "q")] = 0
    logtime_scrub: Annotated[LogTime, at(288)] = NO_TIME
    gen_min_required: Annotated[int, at(296, "i")] = 0
    gen_max_required: Annotated[int, at(300, "i")] = 0
    upgrade_55_format: Annotated[int, at(304, "i")] = 0
    upgrade_free_pages: Annotated[int, at(308, "i")] = 0
    upgrade_space_map_pages: Annotated[int, at(312, "i")] = 0
    bkinfo_snapshot_cur: Annotated[BkInfo, at(316)] = NO_BACKUP
    create_version: Annotated[int, at(340, "I")] = DATABASE_VERSION
    create_revision: Annotated[int, at(344, "I")] = 0
    logtime_gen_max_create: Annotated[LogTime, at(348)] = NO_TIME
    bkinfo_type_full_prev: Annotated[BackupKind, at(356, "I")] = BackupKind.NORMAL
    bkinfo_type_inc_prev: Annotated[BackupKind, at(360, "I")] = BackupKind.NORMAL
    repair_count_old: Annotated[int, at(364, "I")] = 0
    ecc_fix_success: Annotated[int, at(368, "I")] = 0
    logtime_ecc_fix_success: Annotated[LogTime, at(372)] = NO_TIME
    ecc_fix_success_old: Annotated[int, at(380, "I")] = 0
    ecc_fix_fail: Annotated[int, at(384, "I")] = 0
    logtime_ecc_fix_fail: Annotated[LogTime, at(388)] = NO_TIME
    ecc_fix_fail_old: Annotated[int, at(396, "I")] = 0
    bad_checksum: Annotated[int, at(400, "I")] = 0
    logtime_bad_checksum: Annotated[LogTime, at(404)] = NO_TIME
    bad_checksum_old: Annotated[int, at(412, "I")] = 0
    gen_max_committed: Annotated[int, at(416, "i")] = 0
    bkinfo_copy_prev: Annotated[BkInfo, at(420)] = NO_BACKUP
    bkinfo_diff_prev: Annotated[BkInfo, at(444)] = NO_BACKUP
    bkinfo_type_copy_prev: Annotated[BackupKind, at(468, "I")] = BackupKind.NORMAL
    bkinfo_type_diff_prev: Annotated[BackupKind, at(472, "I")] = BackupKind.NORMAL
    file_type: Annotated[FileType, at(667, "B")] = FileType.DATABASE

    def pack(self, page_size: int | None = None) -> bytes:
        """One header page with its checksum: ``page_size`` bytes, by default what the header says.

        ``FormatError`` if the size given is another one, or a value doesn't fit its field.
        """
        if page_size not in (None, self.page_size):
            raise FormatError(f"page size {self.page_size} in the header, {page_size} asked for")
        if self.page_size not in PAGE_SIZES:
            raise FormatError(f"page size {self.page_size} is none of {PAGE_SIZES}")
        page = bytearray(self.page_size)
        Layout.of(type(self)).pack_into(page, self)
        seal_header(page)
        return bytes(page)

    @classmethod
    def unpack(cls, page: Readable) -> Self:
        """Read one header page; its length must be the page size.

        ``ChecksumMismatchError``, ``VersionMismatchError`` (another format) or another
        ``FormatError``. A page size of 0, as old engines wrote it, reads as 4096.
        """
        return cls._unpack(bytes(page))

    @classmethod
    @lru_cache(maxsize=64)  # whoever opens a database reads its header several times
    def _unpack(cls, page: bytes) -> Self:
        layout = Layout.of(cls)
        if len(page) < layout.end:
            raise FormatError(f"{len(page)} bytes are no header page")
        if not header_is_good(page):
            raise ChecksumMismatchError("checksum of the database header is wrong")
        magic, version = _U32_PAIR.unpack_from(page, 4)
        if magic != HEADER_SEED:
            raise FormatError(f"magic number {magic:#x} is not that of a database")
        if version != DATABASE_VERSION:
            raise VersionMismatchError(f"database version {version:#x}, supported is 0x620")
        values = layout.unpack_from(page)
        values["page_size"] = values["page_size"] or _DEFAULT_PAGE_SIZE
        if values["page_size"] != len(page):
            raise FormatError(f"page size {values['page_size']} in a header of {len(page)} bytes")
        return cls(**values)

    @classmethod
    def read(cls, start: Readable) -> Self:
        """Read the header from the start of a file: the first of its two copies that is good.

        ``start`` holds at least both copies (16 KiB are always enough); the page size is found out.
        The error is that of the first copy if none is good.
        """
        first_error: FormatError | None = None
        for page_size in _likely_page_sizes(start):
            for copy in range(HEADER_COPIES):
                page = start[copy * page_size : (copy + 1) * page_size]
                try:
                    return cls.unpack(page)
                except FormatError as error:
                    first_error = first_error or error
        raise first_error or FormatError("the file has no header")


def _likely_page_sizes(start: Readable) -> list[int]:
    """Page sizes to try, that of the first header copy in front."""
    said = 0
    if len(start) >= _PAGE_SIZE_OFFSET + 4:
        said = int.from_bytes(start[_PAGE_SIZE_OFFSET : _PAGE_SIZE_OFFSET + 4], "little")
    first = said if said in PAGE_SIZES else _DEFAULT_PAGE_SIZE
    return [first, *(size for size in PAGE_SIZES if size != first)]
