"""The log header and what it shares with the checkpoint."""

from __future__ import annotations

import struct

import pytest
from attrs import evolve

from eseback.formats import (
    AttachFlag,
    AttachInfo,
    ChecksumMismatchError,
    DbmsParam,
    FileType,
    FormatError,
    LgPos,
    LogFlag,
    LogHeader,
    LogTime,
    Signature,
    VersionMismatchError,
    seal_header,
    xor32,
)

NOW = LogTime.from_unix(1_100_000_000)
BEFORE = LogTime.from_unix(1_099_999_000)
SIGN_LOG = Signature(0xABCD, NOW, "")
SIGN_DB = Signature(0x1234, BEFORE, "PC")
PARAMETERS = DbmsParam(
    system_path="C:\\sys",
    log_path="D:\\log",
    circular=True,
    sessions=1,
    open_tables=2,
    version_pages=3,
    cursors=4,
    log_buffers=5,
    log_file_sectors=6,
    cache_size=7,
)
ATTACHED = (
    AttachInfo(
        dbid=1,
        names=("C:\\priv1.edb", "C:\\priv1.stm"),
        dbtime=99,
        objid_last=12,
        max_size=13,
        lgpos_attach=LgPos(1, 2, 3),
        lgpos_consistent=LgPos(4, 5, 6),
        sign_db=SIGN_DB,
    ),
    AttachInfo(dbid=2, names=("C:\\b\u00fccher.edb",), flags=AttachFlag.UNICODE_NAMES),
)
HEADER = LogHeader(
    generation=0x2A,
    created=NOW,
    previous_created=BEFORE,
    sign_log=SIGN_LOG,
    file_sectors=10240,
    page_size=8192,
    update=8,
    parameters=PARAMETERS,
    flags=LogFlag.CIRCULAR_NOW | LogFlag.CIRCULAR_IN_HISTORY,
    lgpos_checkpoint=LgPos(0x29, 8, 22),
    attachments=ATTACHED,
)


def test_every_field_is_where_it_is_documented() -> None:
    expected = bytearray(4096)
    struct.pack_into("<iHHHH", expected, 4, 0x2A, 512, 8, 10240, 8192)
    expected[16:32] = NOW.pack() + BEFORE.pack()
    struct.pack_into("<III", expected, 32, 7, 3704, 8)
    expected[44:72] = SIGN_LOG.pack()
    expected[72:78] = b"C:\\sys"
    expected[333:339] = b"D:\\log"
    struct.pack_into("<B7I", expected, 594, 1, 1, 2, 3, 4, 5, 6, 7)
    expected[639] = 6
    expected[640:648] = LgPos(0x29, 8, 22).pack()
    expected[667] = 3
    names = b"C:\\priv1.edb\0C:\\priv1.stm\0"
    struct.pack_into("<BBHqII", expected, 671, 1, 0, len(names), 99, 12, 13)
    expected[691:707] = LgPos(1, 2, 3).pack() + LgPos(4, 5, 6).pack()
    expected[707:735] = SIGN_DB.pack()
    expected[735 : 735 + len(names)] = names
    second = 735 + len(names)
    wide = "C:\\b\u00fccher.edb\0".encode("utf-16-le")
    struct.pack_into("<BBH", expected, second, 2, 0x20, len(wide))
    expected[second + 64 : second + 64 + len(wide)] = wide
    struct.pack_into("<I", expected, 0, xor32(expected))
    assert HEADER.pack() == expected


def test_round_trip() -> None:
    data = HEADER.pack()
    assert len(data) == 4096
    assert LogHeader.unpack(data) == HEADER
    assert LogHeader.unpack(memoryview(data + bytes(512))) == HEADER
    plain = LogHeader(generation=1, created=NOW, sign_log=SIGN_LOG, file_sectors=128)
    assert LogHeader.unpack(plain.pack()) == plain
    assert plain.file_size == 64 * 1024
    old = evolve(plain, file_type=FileType.UNKNOWN, update=4)
    assert LogHeader.unpack(old.pack()) == old


def test_damage() -> None:
    data = bytearray(HEADER.pack())
    assert LogHeader.unpack(data) == HEADER
    data[4000] ^= 1  # in the same buffer: that it was good before counts for nothing
    with pytest.raises(ChecksumMismatchError):
        LogHeader.unpack(data)
    with pytest.raises(FormatError, match="100 bytes"):
        LogHeader.unpack(bytes(100))


@pytest.mark.parametrize(
    ("offset", "value", "error", "reason"),
    [
        (32, b"\x08", VersionMismatchError, "8.3704"),
        (667, b"\x01", FormatError, "not that of a log"),
        (667, b"\x63", FormatError, "file_type"),
        (673, b"\xff\xff", FormatError, "cut off"),
    ],
)
def test_sealed_nonsense(offset: int, value: bytes, error: type[FormatError], reason: str) -> None:
    data = bytearray(HEADER.pack())
    data[offset : offset + len(value)] = value
    seal_header(data)
    with pytest.raises(error, match=reason):
        LogHeader.unpack(data)


def test_attachments_must_fit() -> None:
    info = AttachInfo(dbid=1, names=("C:\\" + "x" * 240 + ".edb", "C:\\" + "x" * 240 + ".stm"))
    three = evolve(HEADER, attachments=(info,) * 3)
    assert LogHeader.unpack(three.pack()).attachments == (info,) * 3
    with pytest.raises(FormatError, match="of 2048 bytes"):
        evolve(HEADER, attachments=(info,) * 4).pack()


def test_list_that_fills_its_room_ends_there() -> None:
    sizes = (1000, 2048 - 2 * 64 - 1000 - 1)
    infos = tuple(AttachInfo(dbid=1, names=("x" * (size - 1),)) for size in sizes)
    data = bytearray(evolve(HEADER, attachments=infos).pack())
    assert LogHeader.unpack(data).attachments == infos
    longer = (infos[0], evolve(infos[1], names=(infos[1].names[0] + "x",)))
    with pytest.raises(FormatError, match="2049 of 2048"):
        evolve(HEADER, attachments=longer).pack()
    # As another writer may do it: no byte is left for the one that ends the list.
    data[671:2719] = longer[0].pack() + longer[1].pack()
    data[2719] = 9
    seal_header(data)
    assert LogHeader.unpack(data).attachments == longer


def test_names_and_paths_that_can_not_be_stored() -> None:
    info = AttachInfo(dbid=1, names=("C:\\\u4e2d.edb",))
    with pytest.raises(FormatError, match="attached database"):
        info.pack()
    unicode_info = evolve(info, flags=AttachFlag.UNICODE_NAMES)
    assert AttachInfo.unpack(unicode_info.pack(), 0) == (unicode_info, len(unicode_info.pack()))
    for path in ("C:\\" + "x" * 258, "C:\\\u4e2d", "C:\\a\0b"):
        with pytest.raises(FormatError, match="path"):
            DbmsParam(log_path=path).pack()
    assert DbmsParam.unpack(DbmsParam(log_path="x" * 260).pack()).log_path == "x" * 260


def test_generation_that_does_not_fit() -> None:
    with pytest.raises(FormatError, match="generation"):
        evolve(HEADER, generation=1 << 31).pack()
