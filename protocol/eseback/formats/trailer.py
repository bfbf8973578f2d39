"""The trailer page that ends a backed-up database, and the header of a patch file.

It says which logs the copied pages need. The page header is empty but for a checksum as in file
headers: the page has no number. Layout: ESE source inc/daedef.hxx (PATCH_HEADER_PAGE).
"""

# Annotations are no texts in this module: each would be compiled by itself, for `Layout`.
from typing import Annotated, Self

from eseback.data import frozen
from eseback.formats.checksum import Readable, header_is_good, seal_header
from eseback.formats.errors import ChecksumMismatchError
from eseback.formats.fields import NO_TIME, BkInfo, LogTime, Signature
from eseback.formats.layout import Layout, at


@frozen(kw_only=True)
class Trailer:
    """PATCH_HEADER_PAGE. ``bkinfo.gen_high`` was the current log when the last page was read.

    The fields from offset 120 on are of newer engines; older ones leave them zero.
    """

    bkinfo: Annotated[BkInfo, at(40)]
    sign_db: Annotated[Signature, at(64)]
    sign_log: Annotated[Signature, at(92)]
    gen_min_required: Annotated[int, at(120, "i")] = 0
    gen_max_required: Annotated[int, at(124, "i")] = 0
    gen_max_committed: Annotated[int, at(128, "i")] = 0
    logtime_max_required: Annotated[LogTime, at(132)] = NO_TIME
    logtime_max_committed: Annotated[LogTime, at(140)] = NO_TIME

    def pack(self, page_size: int) -> bytes:
        """One page of ``page_size`` bytes with its checksum."""
        page = bytearray(page_size)
        Layout.of(type(self)).pack_into(page, self)
        seal_header(page)
        return bytes(page)

    @classmethod
    def unpack(cls, page: Readable) -> Self:
        """Read a trailer page. ``ChecksumMismatchError`` if it is damaged or not one (zeros)."""
        if not cls.is_good(page):
            raise ChecksumMismatchError("checksum of the trailer page is wrong")
        return cls(**Layout.of(cls).unpack_from(page))

    @staticmethod
    def is_good(page: Readable) -> bool:
        """Whether the checksum of a trailer page is right."""
        return header_is_good(page)
