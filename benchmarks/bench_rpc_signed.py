"""Signed reads over the wire, beside signing the same bytes twice, which is what both ends do."""

from __future__ import annotations

import hmac

import pytest

from benchmarks.bench_rpc_read import KIB, wire_backup
from benchmarks.conftest import Measure
from benchmarks.rpc_peer import PASSWORD, USER
from benchmarks.table import Goal, GoalKind
from eseback.rpc import AuthLevel, Credentials

PIECE = 65_504  # bytes of the stub in a fragment
KEY = bytes(16)


@pytest.mark.parametrize(("name", "size"), [("256 KiB", 256 * KIB), ("1 MiB", 1024 * KIB)])
def bench_rpc_signed_read(measure: Measure, name: str, size: int) -> None:
    credentials = Credentials(USER, PASSWORD, level=AuthLevel.INTEGRITY)
    buffer = memoryview(bytearray(size))
    data = bytes(PIECE)
    with wire_backup("--users", credentials=credentials) as backup:
        handle, total = backup.open()
        backup.api.backup_close_file(backup.context, handle)

        def read_signed() -> None:
            backup.read_whole(buffer)

        def hash_twice() -> None:
            for _ in range(2 * (total // PIECE)):
                hmac.digest(KEY, data, "md5")
            hmac.digest(KEY, data[: total % PIECE], "md5")

        measure(
            f"signed read over the wire (NTLM), {name} at a time",
            read_signed,
            goal=Goal(GoalKind.SPEED_RATIO_MIN, 0.7),
            yardstick_name="HMAC-MD5 of as many bytes, twice",
            yardstick=hash_twice,
            amount=total / 1e6,
            unit="MB",
            rounds=9,
        )
