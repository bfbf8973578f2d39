"""One backup context of a client: which group it backs up, and the file it has open."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from eseback.order import BackupState

from ..engine.backup import Backup
from ..exchange import StorageGroup
from ..volume import Lent
from .reading import SectionReader, nothing_ahead, nothing_to_lend

if TYPE_CHECKING:
    from ..engine.lookahead import LookAhead


class BackupContext:
    """What HrESEBackupPrepare hands out.

    ``group`` is set from Setup until its backup is over, however it ends; while it is set and
    ``group.backup_owner`` is this context, the engine's backup of that group is this one's. The
    engine knows one open file at a time; ``file_handle`` is the client's number for it.
    """

    __slots__ = (
        "engine_handle",
        "file_handle",
        "group",
        "handle",
        "lend",
        "look_ahead",
        "offered",
        "read",
    )

    def __init__(self, handle: int, offered: frozenset[int]) -> None:
        self.handle = handle
        self.offered = offered  # numbers of the instances that this service backs up
        self.group: StorageGroup | None = None
        self.read: Callable[[memoryview], int] | None = None
        self.lend: Callable[[int], Lent | None] = nothing_to_lend
        self.look_ahead: Callable[[int, int], LookAhead | None] = nothing_ahead
        self.file_handle = 0
        self.engine_handle = 0

    @property
    def state(self) -> BackupState:
        """Where the context stands in the order of calls."""
        group = self.group
        if group is None or group.backup_owner is not self or group.instance is None:
            return BackupState.PREPARED
        return group.instance.backup.state

    def take(self, group: StorageGroup) -> None:
        """Setup succeeded: the group's backup is this context's."""
        self.release()
        self.group = group
        group.backup_owner = self

    def open(self, file_handle: int, engine_handle: int, *, buffered: bool) -> None:
        """The engine has opened a file. Without buffering its own rules for reads apply."""
        assert self.group is not None
        instance = self.group.running
        page_size = instance.config.page_size
        read_pages = partial(instance.backup.read_file, engine_handle)
        # A backup that reads in a way of its own (a server broken on purpose) lends nothing.
        if type(instance.backup).read_file is Backup.read_file:
            lend_pages: Callable[[int], Lent | None] = partial(
                instance.backup.lend_file, engine_handle
            )
            pages_ahead: Callable[[int, int], LookAhead | None] = partial(
                instance.backup.look_ahead, engine_handle
            )
        else:
            lend_pages, pages_ahead = nothing_to_lend, nothing_ahead
        # Two headers and a page of a database, header and a page of a log (ESE source backup.cxx).
        pages_min = 3 if instance.backup.state is BackupState.DATABASE_OPEN else 2
        least = pages_min * page_size
        reader = SectionReader(read_pages, page_size, least, lend_pages, pages_ahead)
        self.read = reader.read if buffered else read_pages
        self.lend = reader.lend if buffered else lend_pages
        self.look_ahead = reader.look_ahead if buffered else pages_ahead
        self.file_handle = file_handle
        self.engine_handle = engine_handle

    def note_failure(self) -> None:
        """A call failed: the engine may have closed the file, or ended the backup."""
        state = self.state
        if not state.running:
            self.release()
        elif not state.file_open:
            self.forget_file()

    def forget_file(self) -> None:
        """No file is open any more."""
        self.read = None
        self.lend = nothing_to_lend
        self.look_ahead = nothing_ahead

    def release(self) -> None:
        """The backup is over."""
        group = self.group
        if group is not None and group.backup_owner is self:
            group.backup_owner = None
        self.group = None
        self.forget_file()
