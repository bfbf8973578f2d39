"""Where a body lies in the streaming file: runs of pages, as a column of a row holds them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from eseback.data import frozen

_RUN: Final = struct.Struct("<III")


@frozen
class StreamRun:
    """``cpg`` pages of the streaming file from page ``pgno`` on; ``size`` bytes are used."""

    pgno: int
    cpg: int
    size: int


# ASSUMED(stream-runs): a row tells where its body lies in the .stm as a list of runs, each three
# 32-bit numbers. The format of 2000 and 2003 for such columns (coltyp 13) is not documented.
def pack_runs(runs: Iterable[StreamRun]) -> bytes:
    """The runs as a column value: 12 bytes each, little endian."""
    return b"".join(_RUN.pack(run.pgno, run.cpg, run.size) for run in runs)


def unpack_runs(value: bytes) -> tuple[StreamRun, ...]:
    """The runs of a column value; ValueError if it is cut off."""
    if len(value) % _RUN.size:
        raise ValueError(f"a list of runs has {len(value)} bytes, not a multiple of {_RUN.size}")
    return tuple(StreamRun(*numbers) for numbers in _RUN.iter_unpack(value))
