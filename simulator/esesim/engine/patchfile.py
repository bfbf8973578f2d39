"""Patch files of Exchange 2000 RTM and SP1 (.pat).

In that era the record of a split does not carry the rows that move: redo takes them from the source
page. So the target must reach the file before the source does, and a fuzzy copy can lose rows:
where the target was copied before the split and the source after it, no page of the copy has them.
Such targets go to a patch file beside the database; it is listed with the logs, and a restore
without it fails (-538).

The file has the layout of the trailer as its header, in one page, and page images behind it
(libesedb knows no such file; ESE source backup.cxx of the open engine has only the header's
layout).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from eseback.errors import JetErr
from eseback.formats.checksum import page_is_good
from eseback.formats.fields import BkInfo
from eseback.formats.trailer import Trailer

from ..volume import Volume
from .errors import JetError
from .page import Page

if TYPE_CHECKING:
    from .database import Database


def patch_name(edb: str) -> str:
    """The patch file of a database: same name, ending ``.pat``."""
    stem, dot, _ = edb.rpartition(".")
    return f"{stem if dot else edb}.pat"


class PatchFile:
    """The patch file that one copy of a database writes. ``name`` is its Windows path."""

    # ASSUMED(patch-file-pages): behind the header page stand whole page images in the order of the
    # splits; the page number at offset 4 of the old page format tells which they are.
    def __init__(self, volume: Volume, name: str, path: str, database: Database) -> None:
        self.name = name
        self.pages = 0
        self._volume = volume
        self._path = path
        self._database = database
        size = database.page_size
        volume.create(path, size).close()

    def add(self, page: Page) -> None:
        """Append the image of a page that took moved rows."""
        database = self._database
        size = database.page_size
        file = self._volume.open(self._path)
        offset = (1 + self.pages) * size
        file.write(offset, page.to_bytes(size, ecc=database.pages.ecc))
        file.close()
        self.pages += 1

    def finish(self, bkinfo: BkInfo, gen_high: int) -> None:
        """Write the header, when the logs are listed."""
        header = self._database.header
        file = self._volume.open(self._path)
        trailer = Trailer(
            bkinfo=evolve(bkinfo, gen_high=gen_high),
            sign_db=header.sign_db,
            sign_log=header.sign_log,
        )
        file.write(0, trailer.pack(self._database.page_size))
        file.sync()
        file.close()

    def delete(self) -> None:
        """Remove the file: the backup is over."""
        if self._volume.exists(self._path):
            self._volume.delete(self._path)


def read_patches(volume: Volume, path: str, page_size: int) -> tuple[bytes, dict[int, list[Page]]]:
    """Header page and page images of a patch file, by page number, in the order of the splits.

    Raises -538 where the file is missing, -535 where a page of it is damaged.
    """
    if not volume.exists(path):
        raise JetError(JetErr.PATCH_FILE_MISSING, f"the patch file {path} is not in the set")
    file = volume.open(path)
    data = file.read(0, file.size)
    file.close()
    patches: dict[int, list[Page]] = {}
    for offset in range(page_size, len(data), page_size):
        image = data[offset : offset + page_size]
        pgno = int.from_bytes(image[4:8], "little")
        if len(image) < page_size or not page_is_good(image, pgno):
            raise JetError(
                JetErr.BAD_PATCH_PAGE, f"the page at byte {offset} of {path} fails its checksum"
            )
        patches.setdefault(pgno, []).append(Page.from_bytes(image, pgno))
    return data[:page_size], patches
