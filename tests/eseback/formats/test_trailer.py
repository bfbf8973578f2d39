"""The trailer page: documented offsets, round trip."""

from __future__ import annotations

import struct

import pytest

from eseback.formats import (
    BkInfo,
    ChecksumMismatchError,
    LgPos,
    LogTime,
    Signature,
    Trailer,
    xor32,
)

TRAILER = Trailer(
    bkinfo=BkInfo(LgPos(1, 2, 3), LogTime.from_unix(1_100_000_000), 4, 5),
    sign_db=Signature(6, LogTime.from_unix(7), "A"),
    sign_log=Signature(8, LogTime.from_unix(9), "B"),
    gen_min_required=10,
    gen_max_required=11,
    gen_max_committed=12,
    logtime_max_required=LogTime.from_unix(13),
    logtime_max_committed=LogTime.from_unix(14),
)


def test_every_field_is_where_it_is_documented() -> None:
    page = bytearray(4096)
    page[40:64] = TRAILER.bkinfo.pack()
    page[64:92] = TRAILER.sign_db.pack()
    page[92:120] = TRAILER.sign_log.pack()
    struct.pack_into("<iii", page, 120, 10, 11, 12)
    page[132:148] = LogTime.from_unix(13).pack() + LogTime.from_unix(14).pack()
    struct.pack_into("<I", page, 0, xor32(page))
    assert TRAILER.pack(4096) == page


@pytest.mark.parametrize("page_size", [4096, 8192])
def test_round_trip(page_size: int) -> None:
    page = TRAILER.pack(page_size)
    assert len(page) == page_size
    assert Trailer.is_good(page)
    assert Trailer.unpack(page) == TRAILER


def test_damaged_or_zeroed() -> None:
    page = bytearray(TRAILER.pack(4096))
    page[4095] ^= 1
    for bad in (bytes(page), bytes(4096)):
        assert not Trailer.is_good(bad)
        with pytest.raises(ChecksumMismatchError):
            Trailer.unpack(bad)
