"""The database header: documented offsets, round trip, the errors of a damaged one."""

from __future__ import annotations

import struct

import pytest
from attrs import evolve, fields

from eseback.formats import (
    BackupKind,
    BkInfo,
    ChecksumMismatchError,
    DatabaseHeader,
    DbAttribute,
    DbFlag,
    DbState,
    FileType,
    FormatError,
    LgPos,
    LogTime,
    Signature,
    VersionMismatchError,
    seal_header,
    xor32,
)


def signature(number: int) -> Signature:
    """A signature that differs from the others."""
    return Signature(number, LogTime.from_unix(1_100_000_000 + number), f"PC{number}")


def backup(number: int) -> BkInfo:
    """A bkinfo that differs from the others."""
    position = LgPos(number, number + 1, number + 2)
    return BkInfo(position, LogTime.from_unix(1_000_000_000 + number), number, number + 3)


def time(number: int) -> LogTime:
    """A time that differs from the others."""
    return LogTime.from_unix(900_000_000 + number)


FULL = DatabaseHeader(
    sign_db=signature(1),
    sign_log=signature(2),
    state=DbState.DIRTY_SHUTDOWN,
    revision=0xB,
    page_size=8192,
    attribute=DbAttribute.STREAMING_FILE,
    dbtime=0x123456789A,
    lgpos_consistent=LgPos(31, 32, 33),
    logtime_consistent=time(1),
    logtime_attach=time(2),
    lgpos_attach=LgPos(41, 42, 43),
    logtime_detach=time(3),
    lgpos_detach=LgPos(51, 52, 53),
    dbid=5,
    bkinfo_full_prev=backup(100),
    bkinfo_inc_prev=backup(200),
    bkinfo_full_cur=backup(300),
    flags=DbFlag.SLV_EXISTS | DbFlag.SHADOWING_OFF,
    objid_last=77,
    os_major=5,
    os_minor=2,
    os_build=3790,
    os_service_pack=1,
    repair_count=3,
    logtime_repair=time(4),
    sign_slv=signature(3),
    dbtime_last_scrub=0x99,
    logtime_scrub=time(5),
    gen_min_required=61,
    gen_max_required=62,
    upgrade_55_format=63,
    upgrade_free_pages=64,
    upgrade_space_map_pages=65,
    bkinfo_snapshot_cur=backup(400),
    create_version=0x620,
    create_revision=9,
    logtime_gen_max_create=time(6),
    bkinfo_type_full_prev=BackupKind.OS_SNAPSHOT,
    bkinfo_type_inc_prev=BackupKind.SNAPSHOT,
    repair_count_old=71,
    ecc_fix_success=72,
    logtime_ecc_fix_success=time(7),
    ecc_fix_success_old=73,
    ecc_fix_fail=74,
    logtime_ecc_fix_fail=time(8),
    ecc_fix_fail_old=75,
    bad_checksum=76,
    logtime_bad_checksum=time(9),
    bad_checksum_old=78,
    gen_max_committed=79,
    bkinfo_copy_prev=backup(500),
    bkinfo_diff_prev=backup(600),
    bkinfo_type_copy_prev=BackupKind.SNAPSHOT,
    bkinfo_type_diff_prev=BackupKind.OS_SNAPSHOT,
    file_type=FileType.STREAMING_FILE,
)
SMALL = DatabaseHeader(
    sign_db=signature(1), sign_log=signature(2), state=DbState.CLEAN_SHUTDOWN, revision=9
)


def documented_bytes() -> bytes:
    """FULL as the documentation lays it out, one run of neighbours after the other."""
    page = bytearray(8192)
    struct.pack_into("<IIIq", page, 4, 0x89ABCDEF, 0x620, 1, 0)
    struct.pack_into("<q", page, 16, 0x123456789A)
    page[24:52] = signature(1).pack()
    struct.pack_into("<I", page, 52, 2)
    page[56:64] = struct.pack("<HHi", 33, 32, 31)
    page[64:80] = time(1).pack() + time(2).pack()
    page[80:104] = LgPos(41, 42, 43).pack() + time(3).pack() + LgPos(51, 52, 53).pack()
    struct.pack_into("<I", page, 104, 5)
    page[108:136] = signature(2).pack()
    page[136:208] = b"".join(backup(number).pack() for number in (100, 200, 300))
    struct.pack_into("<9I", page, 208, 5, 77, 5, 2, 3790, 1, 0xB, 8192, 3)
    page[244:280] = time(4).pack() + signature(3).pack()
    struct.pack_into("<q8s5i", page, 280, 0x99, time(5).pack(), 61, 62, 63, 64, 65)
    page[316:340] = backup(400).pack()
    struct.pack_into("<II8sIII", page, 340, 0x620, 9, time(6).pack(), 1, 2, 71)
    struct.pack_into("<I8sII8sI", page, 368, 72, time(7).pack(), 73, 74, time(8).pack(), 75)
    struct.pack_into("<I8sIi", page, 400, 76, time(9).pack(), 78, 79)
    page[420:468] = backup(500).pack() + backup(600).pack()
    struct.pack_into("<II", page, 468, 2, 1)
    page[667] = 2
    struct.pack_into("<I", page, 0, xor32(page))
    return bytes(page)


def test_every_field_is_where_it_is_documented() -> None:
    assert FULL.pack() == documented_bytes()


def test_no_field_of_the_example_has_its_default() -> None:
    same = {
        field.name
        for field in fields(DatabaseHeader)
        if getattr(FULL, field.name) == getattr(SMALL, field.name)
    }
    assert same == {"magic", "version", "sign_db", "sign_log", "create_version"}


def test_round_trip() -> None:
    for header in (FULL, SMALL, evolve(SMALL, page_size=2048)):
        page = header.pack()
        assert len(page) == header.page_size
        assert DatabaseHeader.unpack(page) == header
        assert DatabaseHeader.unpack(memoryview(page)) == header
    assert FULL.pack(8192) == FULL.pack()


def test_page_size_must_agree() -> None:
    with pytest.raises(FormatError, match="4096 asked for"):
        FULL.pack(4096)
    with pytest.raises(FormatError, match="page size 16384"):
        evolve(FULL, page_size=16384).pack()
    longer = bytearray(SMALL.pack() + bytes(4096))
    seal_header(longer)
    with pytest.raises(FormatError, match="header of 8192 bytes"):
        DatabaseHeader.unpack(longer)


def test_page_size_0_means_4096() -> None:
    page = bytearray(SMALL.pack())
    struct.pack_into("<I", page, 236, 0)
    seal_header(page)
    assert DatabaseHeader.unpack(page) == SMALL


def test_damage() -> None:
    page = bytearray(SMALL.pack())
    assert DatabaseHeader.unpack(page) == SMALL
    page[3000] ^= 1  # in the same buffer: that it was good before counts for nothing
    with pytest.raises(ChecksumMismatchError):
        DatabaseHeader.unpack(page)
    with pytest.raises(FormatError, match="no header page"):
        DatabaseHeader.unpack(b"short")


@pytest.mark.parametrize(
    ("offset", "value", "error", "reason"),
    [
        (4, 0x12345678, FormatError, "magic"),
        (8, 0x623, VersionMismatchError, "0x623"),
        (52, 9, FormatError, "state"),
        (12, 7, FormatError, "attribute"),
    ],
)
def test_sealed_nonsense(offset: int, value: int, error: type[FormatError], reason: str) -> None:
    page = bytearray(SMALL.pack())
    struct.pack_into("<I", page, offset, value)
    seal_header(page)
    with pytest.raises(error, match=reason) as caught:
        DatabaseHeader.unpack(page)
    assert type(caught.value) is error


@pytest.mark.parametrize("header", [SMALL, FULL, evolve(SMALL, page_size=2048)])
def test_read_takes_the_copy_that_is_good(header: DatabaseHeader) -> None:
    page = header.pack()
    damaged = bytes(len(page))
    rest = bytes(3 * len(page))
    assert DatabaseHeader.read(page + page + rest) == header
    assert DatabaseHeader.read(page + damaged + rest) == header
    assert DatabaseHeader.read(damaged + page + rest) == header
    with pytest.raises(ChecksumMismatchError):
        DatabaseHeader.read(damaged + damaged + rest)
    with pytest.raises(FormatError):
        DatabaseHeader.read(b"")
