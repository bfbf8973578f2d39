"""The header of a transaction log file, and the parts that it shares with the checkpoint file.

Layout: ESE source inc/logapi.hxx and inc/log.hxx (LGFILEHDR, DBMS_PARAM, ATTACHINFO). A log has one
copy of its header, 4096 bytes; the records start behind it, at sector 8.
"""

# Annotations are no texts in this module: each would be compiled by itself, for `Layout`.
import struct
from enum import IntFlag
from functools import lru_cache
from typing import Annotated, ClassVar, Final, Self

from eseback.data import frozen
from eseback.formats.checksum import Readable, header_is_good, seal_header
from eseback.formats.errors import ChecksumMismatchError, FormatError, VersionMismatchError
from eseback.formats.fields import (
    NO_POSITION,
    NO_SIGNATURE,
    NO_TIME,
    FileType,
    LgPos,
    LogTime,
    Signature,
)
from eseback.formats.layout import Layout, at

LOG_HEADER_SIZE: Final = 4096
SECTOR_SIZE: Final = 512
LOG_MAJOR: Final = 7
LOG_MINOR: Final = 3704
ATTACH_LIST_OFFSET: Final = 671
"""Where the list of attached databases stands in a log header."""
ATTACH_LIST_SIZE: Final = 2048
"""Room for that list in a log header or checkpoint, in bytes."""
_DEFAULT_PAGE_SIZE: Final = 4096
_PATH_SIZE: Final = 261


class LogFlag(IntFlag):
    """Flags of a log header."""

    NONE = 0
    RESERVE_LOG_USED = 1
    CIRCULAR_NOW = 2
    CIRCULAR_IN_HISTORY = 4


class AttachFlag(IntFlag):
    """Flags of an ATTACHINFO."""

    NONE = 0
    UNICODE_NAMES = 0x20
    SPARSE = 0x40


def _pack_path(path: str) -> bytes:
    try:
        data = path.encode("cp1252")
    except UnicodeEncodeError as error:
        raise FormatError(f"path {path!r}: {error}") from None
    if len(data) >= _PATH_SIZE or b"\0" in data:
        raise FormatError(f"path {path!r} doesn't fit {_PATH_SIZE} bytes")
    return data


def _unpack_path(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("cp1252", "replace")


@frozen(kw_only=True)
class DbmsParam:
    """DBMS_PARAM: the parameters that the engine ran with. ``log_file_sectors`` is csecLGFile."""

    SIZE: ClassVar[int] = 567
    _STRUCT: ClassVar[struct.Struct] = struct.Struct("<261s261sB7I16x")

    system_path: str = ""
    log_path: str = ""
    circular: bool = False
    sessions: int = 0
    open_tables: int = 0
    version_pages: int = 0
    cursors: int = 0
    log_buffers: int = 0
    log_file_sectors: int = 0
    cache_size: int = 0

    def pack(self) -> bytes:
        """567 bytes. ``FormatError`` if a path is too long or not in code page 1252."""
        return self._STRUCT.pack(
            _pack_path(self.system_path),
            _pack_path(self.log_path),
            self.circular,
            self.sessions,
            self.open_tables,
            self.version_pages,
            self.cursors,
            self.log_buffers,
            self.log_file_sectors,
            self.cache_size,
        )

    @classmethod
    def unpack(cls, buffer: Readable, offset: int = 0) -> Self:
        """The parameters at ``offset``."""
        system, log, flags, *numbers = cls._STRUCT.unpack_from(buffer, offset)
        return cls(
            system_path=_unpack_path(system),
            log_path=_unpack_path(log),
            circular=bool(flags & 1),
            sessions=numbers[0],
            open_tables=numbers[1],
            version_pages=numbers[2],
            cursors=numbers[3],
            log_buffers=numbers[4],
            log_file_sectors=numbers[5],
            cache_size=numbers[6],
        )


NO_PARAMETERS: Final = DbmsParam()


@frozen(kw_only=True)
class AttachInfo:
    """ATTACHINFO: one attached database. ``names`` are the paths of .edb and, if any, .stm."""

    # ASSUMED(attachinfo-stm-name): the path of the .stm is the second name of an ATTACHINFO; no
    # public source says where it stands.

    _STRUCT: ClassVar[struct.Struct] = struct.Struct("<BBHqII8s8s28s")

    dbid: int
    names: tuple[str, ...]
    flags: AttachFlag = AttachFlag.NONE
    dbtime: int = 0
    objid_last: int = 0
    max_size: int = 0
    lgpos_attach: LgPos = NO_POSITION
    lgpos_consistent: LgPos = NO_POSITION
    sign_db: Signature = NO_SIGNATURE

    def pack(self) -> bytes:
        """64 bytes and the names, each with a NUL. ``FormatError`` if it can't be stored."""
        try:
            names = "".join(name + "\0" for name in self.names).encode(_name_encoding(self.flags))
            fixed = self._STRUCT.pack(
                self.dbid,
                self.flags,
                len(names),
                self.dbtime,
                self.objid_last,
                self.max_size,
                self.lgpos_attach.pack(),
                self.lgpos_consistent.pack(),
                self.sign_db.pack(),
            )
        except (UnicodeEncodeError, struct.error) as error:
            raise FormatError(f"attached database {self.names}: {error}") from None
        return fixed + names

    @classmethod
    def unpack(cls, buffer: Readable, offset: int) -> tuple[Self, int]:
        """The information at ``offset``, and the offset behind it."""
        start = offset + cls._STRUCT.size
        if start > len(buffer):
            raise FormatError("list of attached databases is cut off")
        dbid, flags, size, dbtime, objid_last, max_size, attach, consistent, sign = (
            cls._STRUCT.unpack_from(buffer, offset)
        )
        end = start + size
        if end > len(buffer):
            raise FormatError("list of attached databases is cut off")
        try:
            names = bytes(buffer[start:end]).decode(_name_encoding(flags))
        except UnicodeDecodeError as error:
            raise FormatError(f"name of an attached database: {error}") from None
        info = cls(
            dbid=dbid,
            names=tuple(names.removesuffix("\0").split("\0")) if names else (),
            flags=AttachFlag(flags),
            dbtime=dbtime,
            objid_last=objid_last,
            max_size=max_size,
            lgpos_attach=LgPos.unpack(attach),
            lgpos_consistent=LgPos.unpack(consistent),
            sign_db=Signature.unpack(sign),
        )
        return info, end


def _name_encoding(flags: int) -> str:
    return "utf-16-le" if flags & AttachFlag.UNICODE_NAMES else "cp1252"


def pack_attachments(attachments: tuple[AttachInfo, ...]) -> bytes:
    """The list as it stands in a log header or checkpoint: one after the other, then dbid 0.

    ``FormatError`` if it takes more than the 2048 bytes that there are.
    """
    data = b"".join(info.pack() for info in attachments) + b"\0"
    if len(data) > ATTACH_LIST_SIZE:
        raise FormatError(f"attached databases take {len(data)} of {ATTACH_LIST_SIZE} bytes")
    return data


def unpack_attachments(buffer: Readable, offset: int) -> tuple[AttachInfo, ...]:
    """The list that starts at ``offset``."""
    area = buffer[offset : offset + ATTACH_LIST_SIZE]
    attachments = []
    position = 0
    while position < len(area) and area[position] != 0:
        info, position = AttachInfo.unpack(area, position)
        attachments.append(info)
    return tuple(attachments)


@frozen(kw_only=True)
class LogHeader:
    """LGFILEHDR. ``previous_created`` is ``created`` of the log before it: so logs are chained.

    ``file_sectors`` gives the fixed size of the file (5 MiB: 10240). ``update`` is the third part
    of the version 7.3704.x; the file type is there from x = 5 on.
    """

    generation: Annotated[int, at(4, "i")]
    created: Annotated[LogTime, at(16)]
    sign_log: Annotated[Signature, at(44)]
    file_sectors: Annotated[int, at(12, "H")]
    previous_created: Annotated[LogTime, at(24)] = NO_TIME
    sector_size: Annotated[int, at(8, "H")] = SECTOR_SIZE
    header_sectors: Annotated[int, at(10, "H")] = LOG_HEADER_SIZE // SECTOR_SIZE
    page_size: Annotated[int, at(14, "H")] = _DEFAULT_PAGE_SIZE
    major: Annotated[int, at(32, "I")] = LOG_MAJOR
    minor: Annotated[int, at(36, "I")] = LOG_MINOR
    update: Annotated[int, at(40, "I")] = 5
    parameters: Annotated[DbmsParam, at(72)] = NO_PARAMETERS
    flags: Annotated[LogFlag, at(639, "B")] = LogFlag.NONE
    lgpos_checkpoint: Annotated[LgPos, at(640)] = NO_POSITION
    file_type: Annotated[FileType, at(667, "B")] = FileType.LOG
    attachments: tuple[AttachInfo, ...] = ()

    @property
    def file_size(self) -> int:
        """Size in bytes that the whole file must have."""
        return self.file_sectors * self.sector_size

    def pack(self) -> bytes:
        """4096 bytes with their checksum. ``FormatError`` if a value doesn't fit its field."""
        header = bytearray(LOG_HEADER_SIZE)
        Layout.of(type(self)).pack_into(header, self)
        attachments = pack_attachments(self.attachments)
        header[ATTACH_LIST_OFFSET : ATTACH_LIST_OFFSET + len(attachments)] = attachments
        seal_header(header)
        return bytes(header)

    @classmethod
    def unpack(cls, start: Readable) -> Self:
        """Read the header from the start of a log file (4096 bytes or more).

        ``ChecksumMismatchError``, ``VersionMismatchError`` (another format) or another
        ``FormatError``. A page size of 0, as old engines wrote it, reads as 4096.
        """
        return cls._unpack(bytes(start[:LOG_HEADER_SIZE]))

    @classmethod
    @lru_cache(maxsize=64)  # a backup or a recovery reads each header several times
    def _unpack(cls, header: bytes) -> Self:
        if len(header) < LOG_HEADER_SIZE:
            raise FormatError(f"{len(header)} bytes are no log header")
        if not header_is_good(header):
            raise ChecksumMismatchError("checksum of the log header is wrong")
        values = Layout.of(cls).unpack_from(header)
        if (values["major"], values["minor"]) != (LOG_MAJOR, LOG_MINOR):
            raise VersionMismatchError(
                f"log version {values['major']}.{values['minor']}, supported is 7.3704"
            )
        if values["file_type"] not in (FileType.LOG, FileType.UNKNOWN):
            raise FormatError(f"file type {values['file_type']!r} is not that of a log")
        values["page_size"] = values["page_size"] or _DEFAULT_PAGE_SIZE
        return cls(**values, attachments=unpack_attachments(header, ATTACH_LIST_OFFSET))
