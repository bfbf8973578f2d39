"""The small structures stand byte by byte as documented."""

from __future__ import annotations

import datetime
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback.formats import (
    NO_BACKUP,
    NO_POSITION,
    NO_SIGNATURE,
    NO_TIME,
    BkInfo,
    FormatError,
    LgPos,
    LogTime,
    Signature,
)

BYTE = st.integers(0, 255)
U32 = st.integers(0, 0xFFFFFFFF)
TIMES = st.builds(LogTime, BYTE, BYTE, BYTE, BYTE, BYTE, BYTE, st.tuples(BYTE, BYTE))
POSITIONS = st.builds(
    LgPos, st.integers(-(2**31), 2**31 - 1), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF)
)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=15)


def test_log_time_bytes() -> None:
    time = LogTime.from_unix(1_100_000_000)  # 2004-11-09 11:33:20 UTC
    assert time.pack() == bytes([20, 33, 11, 9, 11, 104, 0, 0])
    assert time.to_datetime() == datetime.datetime(2004, 11, 9, 11, 33, 20, tzinfo=datetime.UTC)
    assert NO_TIME.pack() == bytes(8)
    assert NO_TIME.to_datetime() is None
    with pytest.raises(FormatError, match="no such time"):
        LogTime(104, 13, 1).to_datetime()


@given(st.integers(0, 4_000_000_000), st.integers(0, 4_000_000_000))
def test_log_times_compare_as_moments(first: int, second: int) -> None:
    assert (LogTime.from_unix(first) < LogTime.from_unix(second)) == (first < second)


def test_lg_pos_bytes_and_order() -> None:
    assert LgPos(0x12345, 8, 22).pack() == struct.pack("<HHi", 22, 8, 0x12345)
    assert NO_POSITION.pack() == bytes(8)
    assert str(LgPos(0x1F, 8, 0x16)) == "(1F,8,16)"
    in_order = [LgPos(1, 9, 9), LgPos(2, 8, 500), LgPos(2, 9, 0), LgPos(2, 9, 1), LgPos(3, 0, 0)]
    assert sorted(in_order, key=lambda place: place.pack()) != in_order
    assert sorted([*in_order[3:], *in_order[:3]]) == in_order


def test_signature_bytes() -> None:
    created = LogTime.from_unix(1_100_000_000)
    signature = Signature(0xCAFEBABE, created, "EXCH01")
    assert signature.pack() == struct.pack("<I8s16s", 0xCAFEBABE, created.pack(), b"EXCH01")
    assert NO_SIGNATURE.pack() == bytes(28)
    for name in ("x" * 16, "\u20ac"):
        with pytest.raises(FormatError, match="computer name"):
            Signature(1, created, name).pack()


def test_bk_info_bytes() -> None:
    time = LogTime.from_unix(1_100_000_000)
    info = BkInfo(LgPos(7, 8, 9), time, 5, 6)
    assert info.pack() == struct.pack("<HHi8sII", 9, 8, 7, time.pack(), 5, 6)
    assert NO_BACKUP.pack() == bytes(24)


@given(TIMES, POSITIONS, U32, U32, NAMES, st.binary(max_size=9))
def test_round_trips(
    time: LogTime, position: LgPos, low: int, high: int, name: str, before: bytes
) -> None:
    backup = BkInfo(position, time, low, high)
    signature = Signature(low, time, name)
    assert LogTime.unpack(before + time.pack(), len(before)) == time
    assert LgPos.unpack(before + position.pack(), len(before)) == position
    assert BkInfo.unpack(before + backup.pack(), len(before)) == backup
    assert Signature.unpack(before + signature.pack(), len(before)) == signature
