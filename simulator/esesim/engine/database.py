"""One database (.edb with its .stm) that is attached to an instance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from eseback.errors import JetErr
from eseback.formats.dbheader import DatabaseHeader, DbFlag, DbState
from eseback.formats.errors import FormatError
from eseback.formats.fields import NO_POSITION, NO_TIME, LgPos, LogTime, Signature

from ..volume import Volume
from .btree import Tree
from .catalog import read_catalog
from .errors import JetError
from .log import Clock, LogStream, position_of
from .logrecord import MacroBuilder
from .pagefile import PageFile
from .redo import apply_macro
from .streaming import StreamingFile
from .table import Table

if TYPE_CHECKING:
    from .copies import DatabaseCopy

ECC_REVISION = 0xB


def read_header(volume: Volume, path: str, page_size: int = 4096) -> DatabaseHeader:
    """The header of a database or streaming file, from whichever copy is whole.

    Raises -1206 where neither is.
    """
    file = volume.open(path)
    try:
        problems = []
        for copy in range(2):
            try:
                return DatabaseHeader.unpack(file.read(copy * page_size, page_size))
            except FormatError as error:
                problems.append(str(error))
    finally:
        file.close()
    raise JetError(
        JetErr.DATABASE_CORRUPTED, f"no readable header in {path}: {'; '.join(problems)}"
    )


def write_header(volume: Volume, path: str, header: DatabaseHeader, page_size: int) -> None:
    """Write header and copy, one after the other, so that a crash leaves one of them whole."""
    file = volume.open(path)
    image = header.pack(page_size)
    for copy in range(2):
        file.write(copy * page_size, image)
        file.sync()
    file.close()


def streaming_file_problem(
    volume: Volume, header: DatabaseHeader, edb: str, stm: str | None, stm_path: str | None
) -> str | None:
    """Why the streaming file can't be used with the database ``edb``; None if it can.

    ``stm`` is its Windows path, ``stm_path`` where that is on the volume. Raises -1206 for a
    streaming file without a readable header.
    """
    if not header.flags & DbFlag.SLV_EXISTS:
        return None
    if stm_path is None or not volume.exists(stm_path):
        return f"{edb} has a streaming file, and it is not there"
    if read_header(volume, stm_path, header.page_size).sign_slv != header.sign_slv:
        return f"{stm} is the streaming file of another database"
    return None


class Database:
    """Header, pages, tables and streaming file of an attached database.

    ``edb`` and ``stm`` are the names the outside knows (Windows paths); ``edb_path`` and
    ``stm_path`` are where they lie on the volume. ``repaired`` is told the number of each page that
    was read with one wrong bit.
    """

    def __init__(
        self,
        volume: Volume,
        *,
        dbid: int,
        edb: str,
        stm: str | None,
        edb_path: str,
        stm_path: str | None,
        side_path: str | None,
        page_size: int,
        marks: Counter[str],
        cache_pages: int = 2048,
        moves_unlogged: bool = False,
        repaired: Callable[[int], None] | None = None,
    ) -> None:
        self.moves_unlogged = moves_unlogged
        self.dbid = dbid
        self.edb = edb
        self.stm = stm
        self.edb_path = edb_path
        self.stm_path = stm_path
        self.page_size = page_size
        self.marks = marks
        self.header = read_header(volume, edb_path, page_size)
        self.dbtime = self.header.dbtime
        self.pages = PageFile(
            volume,
            edb_path,
            page_size=page_size,
            ecc=self.header.revision >= ECC_REVISION,
            side_path=side_path,
            cache_pages=cache_pages,
            repaired=repaired,
        )
        self.log: LogStream
        self.tables: dict[str, Table] = {}
        self.trees: dict[int, Tree] = {}
        self.streaming: StreamingFile | None = None
        # The copy of this database that a running backup reads, if any.
        self.copy: DatabaseCopy | None = None
        self._volume = volume

    def open_tables(self, log: LogStream | None) -> None:
        """Read the catalog and make the tables usable; changes go to ``log`` (None: no changes)."""
        if log is not None:
            self.log = log
        catalog = read_catalog(self.pages.get)
        for info in catalog.tables:
            indexes = {name: self._tree(roots.fdp, roots.objid) for name, roots in info.indexes}
            long_values = info.long_values
            self.tables[info.schema.name] = Table(
                self,
                info.schema,
                self._tree(info.primary.fdp, info.primary.objid),
                indexes,
                None if long_values is None else self._tree(long_values.fdp, long_values.objid),
            )
        if self.stm_path is not None and catalog.stream_avail and catalog.stream_owner_map:
            avail, owner_map = catalog.stream_avail, catalog.stream_owner_map
            self.streaming = StreamingFile(
                self._volume,
                self.stm_path,
                self.page_size,
                self._tree(avail.fdp, avail.objid),
                self._tree(owner_map.fdp, owner_map.objid),
            )

    def tree_at(self, fdp: int) -> Tree:
        """The tree whose root is at ``fdp``, also where the catalog has not been read."""
        return self._tree(fdp, self.pages.get(fdp).objid)

    def _tree(self, fdp: int, objid: int) -> Tree:
        return self.trees.setdefault(fdp, Tree(self, fdp, objid))

    def macro(self) -> MacroBuilder:
        """A builder for a structural change, stamped with the next dbtime."""
        self.dbtime += 1
        return MacroBuilder(self.dbid, self.dbtime)

    def run_macro(self, macro: MacroBuilder) -> None:
        """Log a structural change and make it."""
        record = macro.build()
        apply_macro(self.pages, record, self.log.append(record))

    def run_split(self, macro: MacroBuilder, source: int, targets: Sequence[int]) -> None:
        """Run the macro of a split; where moved rows aren't logged, write its pages at once."""
        self.run_macro(macro)
        if not self.moves_unlogged:
            return
        self.log.flush()
        pages = [self.pages.get(pgno) for pgno in (*targets, source)]
        self.pages.flush_together(pages)
        if self.copy is not None:
            for page in pages[:-1]:
                if self.copy.misses(page.pgno, source):
                    self.copy.patch(page)
                    self.marks["page_patched"] += 1

    def note_split(self, source: int, target: int, rows: int) -> None:
        """Tell a running copy that rows moved from one page to another."""
        if rows and self.copy is not None and self.copy.is_between(target, source):
            self.marks["split_behind_reader"] += 1

    def note_growth(self) -> None:
        """Tell a running copy that the file is larger now than when it was opened."""
        if self.copy is not None:
            self.marks["growth_past_open_size"] += 1

    def flush(self, count: int | None = None) -> int:
        """Write up to ``count`` dirty pages, log first; returns how many."""
        if not self.pages.dirty:
            return 0
        self.log.flush()
        if self.streaming is not None:
            self.streaming.sync()
        return self.pages.flush(count)

    def write_header(self, **changes: Any) -> None:
        """Change fields of the header and write it, with the dbtime as of now."""
        self.header = evolve(self.header, dbtime=self.dbtime, **changes)
        write_header(self._volume, self.edb_path, self.header, self.page_size)

    def mark_attached(self, signature: Signature, position: int, clock: Clock) -> None:
        """The header of a database that is in use from ``position`` on."""
        generation = position >> 32
        self.write_header(
            state=DbState.DIRTY_SHUTDOWN,
            dbid=self.dbid,
            sign_log=signature,
            lgpos_attach=position_of(position),
            logtime_attach=LogTime.from_unix(clock.now()),
            lgpos_consistent=NO_POSITION,
            logtime_consistent=NO_TIME,
            lgpos_detach=NO_POSITION,
            logtime_detach=NO_TIME,
            gen_min_required=generation,
            gen_max_required=generation,
        )

    def mark_clean(self, at: LgPos, time: LogTime, **changes: Any) -> None:
        """The header of a database that needs no log any more."""
        self.write_header(
            state=DbState.CLEAN_SHUTDOWN,
            lgpos_consistent=at,
            logtime_consistent=time,
            lgpos_detach=at,
            logtime_detach=time,
            gen_min_required=0,
            gen_max_required=0,
            **changes,
        )
        # Another file may come in this one's place; its pages must not be overwritten.
        self.pages.drop_side_file()

    def close(self) -> None:
        """Let go of the files; what is not flushed is lost."""
        self.pages.close()
        if self.streaming is not None:
            self.streaming.close()
