"""Virtual databases for tests: rigs that have one, and their files as other readers open files."""

from __future__ import annotations

import io
from typing import Any, Final

from attrs import evolve

from esesim.engine.ballast import BLOCK, BallastRule
from esesim.engine.config import InstanceConfig
from esesim.engine.page import Page
from esesim.engine.schema import mailbox_schema
from esesim.engine.virtual import build_virtual_database
from esesim.volume import Readable, VolumeFile
from tests.support.engine import CONFIG, Rig

MIB: Final = 1 << 20
GIB: Final = 1 << 30
TIB: Final = 1 << 40
SMALL: Final = 8 * MIB


def config_of(revision: int, page_size: int) -> InstanceConfig:
    """An instance of one of ``tests.support.edb.FORMATS``."""
    return evolve(CONFIG, revision=revision, page_size=page_size, has_streaming=page_size == 4096)


def virtual_rig(size: int, config: InstanceConfig = CONFIG, **options: Any) -> Rig:
    """A rig whose databases are virtual, each of ``size`` bytes, with some mail in them."""
    rig = Rig(config=config, **options)
    for name in rig.names:
        rig.instance.create_database(rig.edb(name), rig.stm(name), size=size)
        rig.workload.populate(rig.edb(name))
    return rig


def rule_of(size: int, config: InstanceConfig = CONFIG) -> BallastRule:
    """The rule of the pages in a virtual database of that size."""
    return build_virtual_database(
        mailbox_schema(),
        size=size,
        page_size=config.page_size,
        revision=config.revision,
        streaming=config.has_streaming,
        dbtime=1,
    ).rule


class OpenedFile(io.RawIOBase):
    """A file of a volume, read as Python's own files are; ``patches`` are bytes by offset."""

    def __init__(self, file: VolumeFile, patches: dict[int, Readable] | None = None) -> None:
        super().__init__()
        self._file = file
        self._patches = patches or {}
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}
        self._position = base[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def get_size(self) -> int:
        """What libesedb asks for."""
        return self._file.size

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        count = self._file.read_into(self._position, view)
        for offset, data in self._patches.items():
            start = max(offset, self._position)
            end = min(offset + len(data), self._position + count)
            if start < end:
                part = data[start - offset : end - offset]
                view[start - self._position : end - self._position] = part
        self._position += count
        return count


def window(file: VolumeFile, rule: BallastRule, root: Page, block: int) -> OpenedFile:
    """The database as if the leaves of one block were all that Ballast has.

    For readers that want to see all leaves of a table before they give the first row. The root
    leads to the block's branch page, and the links of its leaves end with it; the leaves are those
    of the file.
    """
    size, lead, base = rule.page_size, rule.lead(block), block * BLOCK
    only = Page(
        root.pgno,
        root.objid,
        root.flags,
        external=root.external,
        nodes=[b"\0\0" + (base + lead - 1).to_bytes(4, "little")],
        dbtime=root.dbtime,
    )
    return OpenedFile(
        file,
        {
            (root.pgno + 1) * size: only.to_bytes(size, ecc=False),
            (base + lead + 1) * size + 16: bytes(4),
            (base + BLOCK) * size + 20: bytes(4),
        },
    )
