"""Page checksums beside zlib.crc32 over the same pages.

They are verified whenever a page is read that this process has not sealed itself, in batches if
there are many; zlib.crc32 is what the standard library offers in C for the same job.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

import pytest

from benchmarks.conftest import Measure
from benchmarks.table import Goal, GoalKind
from eseback.formats.checksum import first_bad_pgno, page_checksum_xor, page_checksums, seal_page

PAGES = 2000
RANGE = 250  # 1 MB of 4 KiB pages: what a client reads at a time


def _pages(page_size: int) -> list[bytes]:
    rng = random.Random(620)
    return [rng.randbytes(page_size) for _ in range(PAGES)]


@pytest.mark.parametrize(
    ("name", "checksum", "page_size", "ratio_min"),
    [
        ("XOR, 4 KiB pages (2000, 2003)", page_checksum_xor, 4096, 0.17),
        ("XOR and ECC, 4 KiB pages (2003 SP1)", page_checksums, 4096, 0.085),
        ("XOR and ECC, 8 KiB pages (2007)", page_checksums, 8192, 0.085),
    ],
)
def bench_page_checksum(
    measure: Measure,
    name: str,
    checksum: Callable[[bytes, int], object],
    page_size: int,
    ratio_min: float,
) -> None:
    pages = _pages(page_size)

    def subject() -> None:
        for pgno, page in enumerate(pages, start=1):
            checksum(page, pgno)

    def yardstick() -> None:
        for page in pages:
            zlib.crc32(page)

    measure(
        f"page checksum: {name}",
        subject,
        goal=Goal(GoalKind.SPEED_RATIO_MIN, ratio_min),
        yardstick_name="zlib.crc32",
        yardstick=yardstick,
        amount=PAGES * page_size / 1e6,
        unit="MB",
    )


@pytest.mark.parametrize(
    ("name", "ecc", "page_size", "ratio_min"),
    [
        ("XOR, 4 KiB pages (2000, 2003)", False, 4096, 0.22),
        ("XOR and ECC, 4 KiB pages (2003 SP1)", True, 4096, 0.15),
        ("XOR and ECC, 8 KiB pages (2007)", True, 8192, 0.15),
    ],
)
def bench_verified_together(
    measure: Measure, name: str, ecc: bool, page_size: int, ratio_min: float
) -> None:
    pages = [bytearray(page) for page in _pages(page_size)[:RANGE]]
    for pgno, page in enumerate(pages, start=1):
        seal_page(page, pgno, ecc)
    data = b"".join(pages)

    def subject() -> None:
        for _ in range(PAGES // RANGE):
            assert first_bad_pgno(data, 1, page_size) is None

    def yardstick() -> None:
        for _ in range(PAGES // RANGE):
            for page in pages:
                zlib.crc32(page)

    measure(
        f"page checksum, {RANGE} pages together: {name}",
        subject,
        goal=Goal(GoalKind.SPEED_RATIO_MIN, ratio_min),
        yardstick_name="zlib.crc32",
        yardstick=yardstick,
        amount=PAGES * page_size / 1e6,
        unit="MB",
    )
