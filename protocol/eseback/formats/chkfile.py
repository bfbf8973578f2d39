"""The checkpoint file (.chk): from where recovery must start.

Two copies of 4096 bytes, one after the other; a torn write leaves one of them good. Layout: ESE
source inc/logapi.hxx (CHECKPOINT_FIXED).
"""

# Annotations are no texts in this module: each would be compiled by itself, for `Layout`.
from typing import Annotated, Final, Self

from eseback.data import frozen
from eseback.formats.checksum import Readable, header_is_good, seal_header
from eseback.formats.errors import ChecksumMismatchError, FormatError
from eseback.formats.fields import NO_POSITION, NO_TIME, FileType, LgPos, LogTime, Signature
from eseback.formats.layout import Layout, at
from eseback.formats.logheader import (
    NO_PARAMETERS,
    AttachInfo,
    DbmsParam,
    pack_attachments,
    unpack_attachments,
)

_COPY_SIZE: Final = 4096
CHECKPOINT_SIZE: Final = 2 * _COPY_SIZE
_ATTACH_LIST_OFFSET: Final = 679


@frozen(kw_only=True)
class Checkpoint:
    """CHECKPOINT. The positions and times of backups are copied to the databases' headers at start.

    ``lgpos_last_full_backup`` is the checkpoint at the time of the last full backup.
    """

    lgpos_checkpoint: Annotated[LgPos, at(12)]
    sign_log: Annotated[Signature, at(20)]
    lgpos_last_full_backup: Annotated[LgPos, at(4)] = NO_POSITION
    parameters: Annotated[DbmsParam, at(48)] = NO_PARAMETERS
    lgpos_full_backup: Annotated[LgPos, at(615)] = NO_POSITION
    logtime_full_backup: Annotated[LogTime, at(623)] = NO_TIME
    lgpos_inc_backup: Annotated[LgPos, at(631)] = NO_POSITION
    logtime_inc_backup: Annotated[LogTime, at(639)] = NO_TIME
    version: Annotated[int, at(647, "B")] = 1
    lgpos_db_consistency: Annotated[LgPos, at(648)] = NO_POSITION
    file_type: Annotated[FileType, at(667, "B")] = FileType.CHECKPOINT
    attachments: tuple[AttachInfo, ...] = ()

    def pack(self) -> bytes:
        """8192 bytes: the sealed copy and its shadow."""
        copy = bytearray(_COPY_SIZE)
        Layout.of(type(self)).pack_into(copy, self)
        attachments = pack_attachments(self.attachments)
        copy[_ATTACH_LIST_OFFSET : _ATTACH_LIST_OFFSET + len(attachments)] = attachments
        seal_header(copy)
        return bytes(copy) * 2

    @classmethod
    def unpack(cls, data: Readable) -> Self:
        """Read a whole checkpoint file: the first copy, or the second if the first is damaged.

        ``ChecksumMismatchError`` if both are; ``FormatError`` if it isn't a checkpoint.
        """
        for start in (0, _COPY_SIZE):
            copy = data[start : start + _COPY_SIZE]
            if len(copy) == _COPY_SIZE and header_is_good(copy):
                return cls._unpack_copy(copy)
        raise ChecksumMismatchError("checksums of both copies of the checkpoint are wrong")

    @classmethod
    def _unpack_copy(cls, copy: Readable) -> Self:
        values = Layout.of(cls).unpack_from(copy)
        if values["file_type"] not in (FileType.CHECKPOINT, FileType.UNKNOWN):
            raise FormatError(f"file type {values['file_type']!r} is not that of a checkpoint")
        return cls(**values, attachments=unpack_attachments(copy, _ATTACH_LIST_OFFSET))
