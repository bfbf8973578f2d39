"""The pages of Ballast as bytes, at the speed of copying memory.

Pages of a block differ from those of another in few bytes: page numbers, keys, Ids, checksums. Each
of these is a linear function, over single bits, of the number of the block: a shift of it, or a sum
of shifts modulo 2, and so are the checksums, which are XORs of words and of bit positions. So a
block is a pattern, made once page by page as ``ballast`` says, and a difference that is the XOR of
one contribution per bit of the block's number. How large these are is found by making pages for
numbers with a single bit set and comparing: nothing here knows where a page has which field, but
the links to the neighbouring blocks.

A block being read is kept and turned into the next one in place, where only columns of bytes that
change are written, each by one slice assignment over all pages of the block.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from typing import Final

from eseback.data import frozen

from .ballast import BLOCK, BLOCK_SHIFT, BallastRule

KIND: Final = "ballast"
_BLOCK_BITS: Final = 32 - BLOCK_SHIFT
_HEAD: Final = 8  # both checksums, or the checksum and the page number
_PREV_OFFSET: Final = 16
_NEXT_OFFSET: Final = 20
_BYTES: Final = int.from_bytes(range(256))
# Tables for bytes.translate() that flip bits.
_FLIPS: Final = tuple(
    (_BYTES ^ int.from_bytes(bytes((flip,)) * 256)).to_bytes(256) for flip in range(256)
)
# Fewer pages than this of another block are made one by one, unless they follow those read last: a
# look at some row must not throw away the block that somebody reads through.
_PAGES_MIN: Final = 8


@frozen(eq=False)
class _Pattern:
    """What blocks of one format have in common.

    ``pages`` is a block of number 0 without links to its neighbours; ``columns`` maps each offset
    in a page that differs between blocks to its bytes on the leaves 1 to 255 of that block;
    ``deltas`` has per bit of a block's number the bytes at these offsets that it flips, as one
    number; ``parent`` is the branch page of block 0, ``parent_deltas`` what the bits of the block's
    number and ``bound_deltas`` what those of the following one flip in it.
    """

    pages: bytes
    columns: Mapping[int, bytes]
    deltas: tuple[int, ...]
    parent: int
    parent_deltas: tuple[int, ...]
    bound_deltas: tuple[int, ...]


@cache
def _pattern(page_size: int, ecc: bool, objid: int, dbtime: int) -> _Pattern:
    """Some 50 ms of work, and a block's size of memory, for all databases of a format."""
    rule = BallastRule(page_size, objid, dbtime, 0, 1)

    def leaf(pgno: int, prev: int, next: int) -> bytes:
        return bytes(rule.leaf(pgno, prev, next).to_bytes(page_size, ecc=ecc))

    def parent(block: int, bound: int) -> int:
        page = rule.leaf_parent(block << BLOCK_SHIFT, block, 1, bound)
        return int.from_bytes(page.to_bytes(page_size, ecc=ecc), "little")

    leaves = [leaf(n, n - 1, (n + 1) % BLOCK) for n in range(1, BLOCK)]
    one = BLOCK // 2  # any leaf shows what a bit of the block's number does to all of them
    numbers = [int.from_bytes(leaves[one - 1], "little")]
    # A key or an Id has fewer bits than a page number: its rows must remain below the limit.
    bits = [bit for bit in range(_BLOCK_BITS) if _fits(page_size, bit)]
    for bit in bits:
        base = 1 << bit + BLOCK_SHIFT
        page = leaf(base + one, base + one - 1, base + one + 1)
        numbers.append(int.from_bytes(page, "little"))
    flips = [(number ^ numbers[0]).to_bytes(page_size, "little") for number in numbers[1:]]
    offsets = [offset for offset, seen in enumerate(zip(*flips, strict=True)) if any(seen)]
    base_parent = parent(0, 0)
    return _Pattern(
        pages=bytes(page_size) + b"".join(leaves),
        columns={offset: bytes(page[offset] for page in leaves) for offset in offsets},
        deltas=tuple(
            int.from_bytes(bytes(flip[offset] for offset in offsets), "little") for flip in flips
        ),
        parent=base_parent,
        parent_deltas=tuple(parent(1 << bit, 0) ^ base_parent for bit in bits),
        bound_deltas=tuple(parent(0, 1 << bit) ^ base_parent for bit in bits),
    )


def _fits(page_size: int, bit: int) -> bool:
    return (1 << bit + BLOCK_SHIFT) * (page_size // 2048) < 1 << 31


class BallastPages:
    """A :class:`esesim.volume.Generated`: the pages of ``rule`` in a database file."""

    kind = KIND

    def __init__(self, rule: BallastRule, *, ecc: bool) -> None:
        self.rule = rule
        self.unit = rule.page_size
        self.start = (rule.first_pgno + 1) * self.unit  # page 1 stands behind two headers
        self.end = (rule.end_pgno + 1) * self.unit
        self._ecc = ecc
        self._lock = threading.Lock()
        self._block = bytearray()
        # The block that is kept, and whether it can be turned into another one in place.
        self._number: int | None = None
        self._reusable = False
        self._delta = b""
        self._next_pgno = 0  # behind the last page that was read

    def recipe(self) -> dict[str, int]:
        """See ``Generated``."""
        rule = self.rule
        return {
            "page_size": rule.page_size,
            "objid": rule.objid,
            "dbtime": rule.dbtime,
            "first": rule.first,
            "end": rule.end,
            "ecc": int(self._ecc),
        }

    @classmethod
    def from_recipe(cls, recipe: Mapping[str, int]) -> BallastPages:
        """The inverse of :meth:`recipe`."""
        numbers = dict(recipe)
        ecc = bool(numbers.pop("ecc"))
        return cls(BallastRule(**numbers), ecc=ecc)

    def __reduce__(self) -> tuple[object, ...]:
        """For copies of a whole server: what is kept for reading on is not copied."""
        return BallastPages.from_recipe, (self.recipe(),)

    def fill(self, offset: int, buffer: memoryview) -> None:
        """See ``Generated``."""
        unit = self.unit
        pgno = offset // unit - 1
        place = 0
        while place < len(buffer):
            block, first = divmod(pgno, BLOCK)
            count = min(BLOCK - first, (len(buffer) - place) // unit)
            end = place + count * unit
            if count < _PAGES_MIN and block != self._number and pgno != self._next_pgno:
                buffer[place:end] = b"".join(map(self.page, range(pgno, pgno + count)))
            else:
                with self._lock:
                    if block != self._number:
                        self._make(block)
                    with memoryview(self._block) as whole:
                        buffer[place:end] = whole[first * unit : (first + count) * unit]
            place = end
            pgno += count
            self._next_pgno = pgno

    def page(self, pgno: int) -> bytes:
        """One page, made without the others of its block."""
        return bytes(self.rule.page(pgno).to_bytes(self.unit, ecc=self._ecc))

    # -- one block after the other, in place

    def _make(self, number: int) -> None:
        """Turn the block that is kept into this one."""
        rule, unit = self.rule, self.unit
        pattern = _pattern(unit, self._ecc, rule.objid, rule.dbtime)
        columns = pattern.columns
        if not self._reusable:
            self._block = bytearray(pattern.pages)
            self._delta = bytes(len(columns))
        block, self._number, self._reusable = self._block, None, False
        delta = _summed(pattern.deltas, number).to_bytes(len(columns), "little")
        for (offset, column), old, new in zip(columns.items(), self._delta, delta, strict=True):
            if old != new:
                block[unit + offset :: unit] = column.translate(_FLIPS[new])
        self._delta = delta
        head = sum(
            flip << 8 * offset
            for offset, flip in zip(columns, delta, strict=True)
            if offset < _HEAD
        )
        self._link(pattern.pages, head, number)
        lead = rule.lead(number)
        if lead == 1 and number + 1 < rule.end:
            flips = _summed(pattern.parent_deltas, number)
            flips ^= _summed(pattern.bound_deltas, number + 1)
            block[:unit] = (pattern.parent ^ flips).to_bytes(unit, "little")
        else:
            base = number << BLOCK_SHIFT
            block[: lead * unit] = b"".join(map(self.page, range(base, base + lead)))
        # Further branch pages have taken the place of leaves: the next block begins anew.
        self._reusable = lead == 1
        self._number = number

    def _link(self, pages: bytes, head: int, number: int) -> None:
        """Link the first and the last leaf with those of the neighbouring blocks.

        ``pages`` is the pattern, ``head`` what this block's number flips in the head of each leaf.
        """
        rule, base, lead = self.rule, number << BLOCK_SHIFT, self.rule.lead(number)
        before = 0 if number == rule.first else base - 1
        after = 0
        if number + 1 < rule.end:
            after = base + BLOCK + rule.lead(number + 1)
        for place, offset, old, new in (
            (lead, _PREV_OFFSET, base + lead - 1, before),
            (BLOCK - 1, _NEXT_OFFSET, base, after),
        ):
            start = place * self.unit
            sealed = int.from_bytes(pages[start : start + _HEAD], "little")
            sealed ^= head ^ self._checksum_flips(offset, old ^ new)
            self._block[start : start + _HEAD] = sealed.to_bytes(_HEAD, "little")
            self._block[start + offset : start + offset + 4] = new.to_bytes(4, "little")

    def _checksum_flips(self, offset: int, flips: int) -> int:
        """What the bits of ``flips``, flipped at ``offset`` of a page, flip in its head.

        The XOR has one bit for each of them, the ECC sums up their positions, once as they are
        and once inverted (see ``eseback.formats.checksum``).
        """
        positions = self.unit * 8 - 1
        total = 0
        while flips:
            position = offset * 8 + (flips & -flips).bit_length() - 1
            flips &= flips - 1
            total ^= 1 << position % 32
            if self._ecc:
                total ^= (position | (~position & positions) << 16) << 32
        return total


def _summed(contributions: tuple[int, ...], number: int) -> int:
    """The XOR of the contributions of the bits that are set in a number."""
    total = 0
    while number:
        total ^= contributions[(number & -number).bit_length() - 1]
        number &= number - 1
    return total
