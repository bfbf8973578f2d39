"""Checksums of ESE files: header XOR, page XOR and ECC, log block.

Everything here is a fold of one big integer: ``int.from_bytes`` reads the bytes once, then the
number is halved (upper half XOR lower half) until 32 bits are left, which are the XOR of all little
endian words. On the way, the parity of each upper half is one bit of the XOR of the positions of
all set bits. That XOR of positions is what the ECC of a page is made of, so one fold gives both
checksums. Of many pages in a row, all are summed up together (``eseback.formats.checksum_batch``);
only where that finds something wrong is each looked at.

Rules: ESE source checksum.cxx and checksumu.cxx (pages, headers), _log/logstream.cxx (log blocks).
Pages of 2, 4 and 8 KiB have one checksum. The larger ones of 2010 and later have four and are not
supported: ``ValueError``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, TypeAlias

from eseback.formats.checksum_batch import WORD_MASKS, page_batch

Readable: TypeAlias = bytes | bytearray | memoryview
"""What the functions of this package read; a memoryview must be one of plain bytes."""

HEADER_SEED: Final = 0x89ABCDEF
"""Seed of header and old-format page checksums; also the magic number of a database header."""
LOG_BLOCK_SEED: Final = 0xFEEDBEAF
"""Seed of the checksum of a log block."""
PAGE_SIZES: Final = (2048, 4096, 8192)
"""Page sizes in bytes that have this kind of checksum."""

# Byte 37 of a page holds bits 8..15 of its flags; 0x2000 there says "checksum with ECC".
_FLAG_BYTE: Final = 37
_ECC_FLAG: Final = 0x20
# What bytes.translate makes of such bytes: that flag alone.
_KIND_OF_FLAGS: Final = bytes(flags & _ECC_FLAG for flags in range(256))
_U32 = struct.Struct("<I")
_U32_PAIR = struct.Struct("<II")
_MASK_32: Final = 0xFFFFFFFF
_MASK_16: Final = 0xFFFF


def _folds(first: int, last: int) -> tuple[tuple[int, int], ...]:
    """Distances in bits, halved from ``first`` to ``last``, with masks of the lower part."""
    distances = []
    while first >= last:
        distances.append((first, (1 << first) - 1))
        first //= 2
    return tuple(distances)


_CHUNK: Final = 4096
# Entry n: the folds of up to 2**n bytes, down to 32 bits.
_CHUNK_FOLDS: Final = tuple(_folds(4 << n, 32) for n in range(_CHUNK.bit_length()))
# Per page size: how it is cut into eighths, the bits of one, and the folds of that down to 64 bits.
_PAGE_FOLDS: Final = {
    size: (struct.Struct(f"{size // 8}s" * 8).unpack, size, _folds(size // 2, 64))
    for size in PAGE_SIZES
}
_ZERO_PAGES: Final = {size: bytes(size) for size in PAGE_SIZES}
# So many pages at least are summed up together (of fewer, each one is as fast), and so many bytes
# at most: pages and pieces should fit into a core's cache.
_BATCH_MIN: Final = 16
_BATCH_BYTES_MAX: Final = 512 << 10
# Bit k of the position of a bit in the last word is set for the bits of the k-th mask.
_WORD_FOLDS: Final = tuple((1 << k, mask) for k, mask in enumerate(WORD_MASKS))


def xor_words(data: Readable) -> int:
    """XOR of all little endian u32 of ``data``; a short last one is extended with zero bytes."""
    size = len(data)
    if size <= _CHUNK:
        folded = int.from_bytes(data, "little")
        folds = _CHUNK_FOLDS[(size - 1).bit_length()]
    else:
        folded = 0
        for offset in range(0, size, _CHUNK):
            folded ^= int.from_bytes(data[offset : offset + _CHUNK], "little")
        folds = _CHUNK_FOLDS[-1]
    for distance, mask in folds:
        folded = (folded >> distance) ^ (folded & mask)
    return folded


def xor32(data: Readable) -> int:
    """Checksum of a header: XOR of all u32 but the first, which is the checksum itself.

    For database, streaming file, log and checkpoint headers and for the trailer page.
    """
    (stored,) = _U32.unpack_from(data)
    return int(xor_words(data) ^ stored ^ HEADER_SEED)


def seal_header(header: bytearray) -> None:
    """Store the checksum of a header at its offset 0."""
    _U32.pack_into(header, 0, xor32(header))


def header_is_good(header: Readable) -> bool:
    """Whether the stored checksum of a header is right."""
    return xor_words(header) == HEADER_SEED


def page_checksum_xor(page: Readable, pgno: int) -> int:
    """Checksum of a page in the old format, in which ``pgno`` stands at offset 4."""
    stored: tuple[int, int] = _U32_PAIR.unpack_from(page)
    return xor_words(page) ^ stored[0] ^ stored[1] ^ pgno ^ HEADER_SEED


def page_checksums(page: Readable, pgno: int) -> tuple[int, int]:
    """XOR and ECC of a page in the new format (flag 0x2000); its first eight bytes don't count.

    The flag is part of what is summed up: set it first, or let ``seal_page`` do so.
    """
    try:
        unpack, eighth, folds = _PAGE_FOLDS[len(page)]
    except KeyError:
        raise ValueError(f"a page has {PAGE_SIZES} bytes, not {len(page)}") from None
    a, b, c, d, e, f, g, h = [int.from_bytes(piece, "little") for piece in unpack(page)]
    # The first three folds at once: of an eighth of the page, 0 to 7, each bit of its number is a
    # bit of the position.
    cd, ef, gh = c ^ d, e ^ f, g ^ h
    fours = ef ^ gh
    folded = a ^ b ^ cd ^ fours
    position = eighth if (b ^ d ^ f ^ h).bit_count() & 1 else 0
    if (cd ^ gh).bit_count() & 1:
        position |= eighth * 2
    if fours.bit_count() & 1:
        position |= eighth * 4
    for distance, mask in folds:
        upper = folded >> distance
        if upper.bit_count() & 1:
            position |= distance
        folded = upper ^ (folded & mask)
    # 64 bits are left. Until here the first eight bytes were in lower halves only, so they are in
    # no parity yet and can be taken out now.
    folded ^= int.from_bytes(page[:8], "little")
    upper = folded >> 32
    if upper.bit_count() & 1:
        position |= 32
    folded = upper ^ (folded & _MASK_32)
    for bit, mask in _WORD_FOLDS:
        if (folded & mask).bit_count() & 1:
            position |= bit
    # The upper half of the ECC is the same sum for the inverted positions: equal if the number of
    # set bits is even, inverted if it is odd.
    inverted = position ^ _MASK_16 if folded.bit_count() & 1 else position
    return folded ^ pgno, (position & _MASK_16) | (inverted & (len(page) * 8 - 1)) << 16


def seal_page(page: bytearray, pgno: int, ecc: bool) -> None:
    """Store the checksums of a page at its offsets 0 and 4, and the flag that says which kind.

    With ``ecc``: XOR and ECC (format revision 0x620,0xB and later). Without: XOR and pgno.
    """
    if ecc:
        page[_FLAG_BYTE] |= _ECC_FLAG
        _U32_PAIR.pack_into(page, 0, *page_checksums(page, pgno))
    else:
        page[_FLAG_BYTE] &= ~_ECC_FLAG & 0xFF
        _U32_PAIR.pack_into(page, 0, page_checksum_xor(page, pgno), pgno)


def page_is_good(page: Readable, pgno: int) -> bool:
    """Whether the checksum of a page is right for the page number that it should have.

    The page's own flag 0x2000 says which kind it has. A page of zeros was never written: good.
    """
    stored = _U32_PAIR.unpack_from(page)
    if page[_FLAG_BYTE] & _ECC_FLAG:
        return page_checksums(page, pgno) == stored
    if stored == (0, 0):
        return _ZERO_PAGES.get(len(page)) == bytes(page)
    return stored[1] == pgno and xor_words(page) == HEADER_SEED


def bad_pgnos(pages: Readable, first_pgno: int, page_size: int) -> Iterator[int]:
    """The numbers of all pages with a wrong checksum, in order.

    ``pages`` is a range of whole pages, of which the first has the number ``first_pgno``.
    ``ValueError`` if it isn't a multiple of the page size.
    """
    if page_size not in PAGE_SIZES or len(pages) % page_size:
        raise ValueError(f"{len(pages)} bytes are no whole pages of {page_size} bytes")
    view = memoryview(pages)
    for indexes in _in_doubt(view, first_pgno, page_size):
        for index in indexes:
            page = view[index * page_size : (index + 1) * page_size]
            if not page_is_good(page, first_pgno + index):
                yield first_pgno + index


def first_bad_pgno(pages: Readable, first_pgno: int, page_size: int) -> int | None:
    """The number of the first page with a wrong checksum, or None if all are good.

    The arguments, and the error, are those of ``bad_pgnos``.
    """
    return next(bad_pgnos(pages, first_pgno, page_size), None)


def _in_doubt(pages: memoryview, first_pgno: int, page_size: int) -> Iterator[range]:
    """The indexes of pages that have to be looked at one by one, in order.

    All others are in batches of which every page is good. A batch of pages that are not alike is
    made smaller, since one unused page should not cost more than those around it.
    """
    count_max = _BATCH_BYTES_MAX // page_size
    index, end, limit = 0, len(pages) // page_size, count_max
    while index < end:
        count = min(limit, end - index) & ~1 or 1
        batch, pgno = pages[index * page_size : (index + count) * page_size], first_pgno + index
        if count >= _BATCH_MIN and not _are_alike(batch, pgno, page_size):
            limit = count // 2
            continue
        if count < _BATCH_MIN or not _all_good(batch, pgno, page_size):
            yield range(index, index + count)
        index += count
        limit = min(limit * 2, count_max)


def _are_alike(pages: memoryview, first_pgno: int, page_size: int) -> bool:
    """Whether all pages have the same kind of checksum and, if it says so, the right number.

    Not so if any of them was never written, or if there is no page with such a number.
    """
    pgnos = range(first_pgno, first_pgno + len(pages) // page_size)
    if pgnos[0] < 1 or pgnos[-1] > _MASK_32:
        return False
    kinds = set(pages[_FLAG_BYTE::page_size].tobytes().translate(_KIND_OF_FLAGS))
    if kinds == {_ECC_FLAG}:
        return True
    batch = page_batch(page_size, len(pgnos))
    return kinds == {0} and batch.first_words(pages)[1::2] == tuple(pgnos)


def _all_good(pages: memoryview, first_pgno: int, page_size: int) -> bool:
    """Whether the checksums of all pages, which are alike, are right."""
    batch = page_batch(page_size, len(pages) // page_size)
    if not pages[_FLAG_BYTE] & _ECC_FLAG:
        return batch.xors(pages) == HEADER_SEED * batch.ones
    words = batch.first_words(pages)
    xors, eccs, pgnos = batch.row(words[::2]), batch.row(words[1::2]), batch.numbers(first_pgno)
    return batch.checksums(pages, xors, eccs) == (xors ^ pgnos, eccs)


def repair_page(page: Readable, pgno: int) -> bytes | None:
    """The page with its one wrong bit put right, or None if that isn't what is wrong with it.

    Only pages with ECC can be repaired. The flag that says so may be the wrong bit itself, so it is
    not asked. A wrong bit in the stored checksums is not repaired (ESE doesn't either). A good page
    comes back unchanged.
    """
    if page_is_good(page, pgno):
        return bytes(page)
    stored_ecc = _U32_PAIR.unpack_from(page)[1]
    error = stored_ecc ^ page_checksums(page, pgno)[1]
    # One wrong bit at position p changes the ECC by p in the lower half and by its inverse above.
    positions = len(page) * 8 - 1
    if ((error >> 16) ^ error) & positions != positions:
        return None
    position = error & positions
    repaired = bytearray(page)
    repaired[position // 8] ^= 1 << position % 8
    return bytes(repaired) if page_is_good(repaired, pgno) else None


def log_block_checksum(
    records: Readable,
    cb_next: int,
    generation: int,
    *,
    before: Readable = b"",
    use_short: int = 0,
) -> int:
    """Checksum of a log block, as it stands in its LRCHECKSUM record.

    ``records`` are the cbForwards bytes behind that record, ``before`` the cbBackwards bytes in
    front of it. The generation is summed up so that a block left over from another log isn't taken
    for one of this log.
    """
    return (
        LOG_BLOCK_SEED
        ^ (xor_words(before) if before else 0)
        ^ xor_words(records)
        ^ len(before)
        ^ len(records)
        ^ cb_next
        ^ use_short
        ^ generation
    )
