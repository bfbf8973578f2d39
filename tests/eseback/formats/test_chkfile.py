"""The checkpoint file: documented offsets, two copies, either is enough."""

from __future__ import annotations

import struct

import pytest

from eseback.formats import (
    AttachInfo,
    Checkpoint,
    ChecksumMismatchError,
    DbmsParam,
    FormatError,
    LgPos,
    LogTime,
    Signature,
    seal_header,
    xor32,
)

SIGN_LOG = Signature(0xABCD, LogTime.from_unix(1_100_000_000), "")
CHECKPOINT = Checkpoint(
    lgpos_checkpoint=LgPos(9, 10, 11),
    sign_log=SIGN_LOG,
    lgpos_last_full_backup=LgPos(5, 6, 7),
    parameters=DbmsParam(system_path="C:\\sys"),
    lgpos_full_backup=LgPos(12, 13, 14),
    logtime_full_backup=LogTime.from_unix(1),
    lgpos_inc_backup=LgPos(15, 16, 17),
    logtime_inc_backup=LogTime.from_unix(2),
    version=3,
    lgpos_db_consistency=LgPos(18, 19, 20),
    attachments=(AttachInfo(dbid=6, names=("C:\\pub1.edb",)),),
)


def test_every_field_is_where_it_is_documented() -> None:
    copy = bytearray(4096)
    copy[4:20] = struct.pack("<HHiHHi", 7, 6, 5, 11, 10, 9)
    copy[20:48] = SIGN_LOG.pack()
    copy[48:54] = b"C:\\sys"
    copy[615:631] = LgPos(12, 13, 14).pack() + LogTime.from_unix(1).pack()
    copy[631:647] = LgPos(15, 16, 17).pack() + LogTime.from_unix(2).pack()
    copy[647] = 3
    copy[648:656] = LgPos(18, 19, 20).pack()
    copy[667] = 4
    struct.pack_into("<BBH", copy, 679, 6, 0, 12)
    copy[743:755] = b"C:\\pub1.edb\0"
    struct.pack_into("<I", copy, 0, xor32(copy))
    assert CHECKPOINT.pack() == bytes(copy) * 2


def test_either_copy_is_enough() -> None:
    data = CHECKPOINT.pack()
    assert Checkpoint.unpack(data) == CHECKPOINT
    assert Checkpoint.unpack(bytes(4096) + data[4096:]) == CHECKPOINT
    assert Checkpoint.unpack(data[:4096] + bytes(4096)) == CHECKPOINT
    assert Checkpoint.unpack(data[:4096]) == CHECKPOINT
    torn = bytearray(data)
    torn[2048] ^= 1
    assert Checkpoint.unpack(memoryview(torn)) == CHECKPOINT
    torn[2048 + 4096] ^= 1
    with pytest.raises(ChecksumMismatchError):
        Checkpoint.unpack(torn)


def test_other_file() -> None:
    data = bytearray(CHECKPOINT.pack()[:4096])
    data[667] = 3
    seal_header(data)
    with pytest.raises(FormatError, match="not that of a checkpoint"):
        Checkpoint.unpack(data)
    with pytest.raises(ChecksumMismatchError):
        Checkpoint.unpack(b"")
