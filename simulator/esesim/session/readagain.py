"""One read of an open file, made again and again: what a backup does nearly all the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..engine.errors import JetError
from ..engine.lookahead import LookAhead
from ..exchange import StorageGroup
from ..exchange.clock import MILLISECONDS_PER_CALL
from ..volume import Lent
from .arguments import translated
from .contexts import BackupContext


class OpenRead:
    """`Session.read_lent` with the same arguments each time, as long as the file stays open.

    What was looked up once holds for all of these reads, so little is left to be done for each.
    size: bytes, more than 0. memory: gives the buffer where data has to be copied. Whoever makes
    one holds the group's lock, and the context has a file open.
    """

    __slots__ = ("_ahead", "_group", "_held", "_lend", "_lock", "_memory", "_read", "_size")

    def __init__(
        self,
        held: BackupContext,
        group: StorageGroup,
        size: int,
        memory: Callable[[int], memoryview],
    ) -> None:
        assert held.read is not None, "no file is open"
        self._held, self._group, self._lock = held, group, group.lock
        self._read = held.read
        self._lend = None if size % group.running.config.page_size else held.lend
        self._size, self._memory = size, memory
        self._ahead: LookAhead | None = None

    def again(self) -> Lent | None:
        """The next bytes of the file. None if another file or none is open now: then nothing has
        happened, and the session is to be asked. Raises EseBackupError.
        """
        held, group, read, lend = self._held, self._group, self._read, self._lend
        with self._lock:
            if held.read is not read or group.backup_owner is not held:
                return None
            group.clock.milliseconds += MILLISECONDS_PER_CALL
            if group.steps_per_call or group.pace is not None:
                group.work()
            try:
                if lend is not None:
                    lent = lend(self._size)
                    if lent is not None:
                        return lent
                view = self._memory(self._size)
                return [view[: read(view)]]
            except JetError as error:
                held.note_failure()
                raise translated(error, "backup_read_file") from error

    def look_ahead(self, count: int) -> Sequence[Lent]:
        """What the next calls will give, at most `count` of them, if nothing comes between; nothing
        has happened yet. `take` makes them, one by one.
        """
        held, group = self._held, self._group
        with self._lock:
            if (
                held.read is not self._read
                or group.backup_owner is not held
                or group.steps_per_call  # users at work change files between any two calls
                or group.pace is not None
            ):
                return ()
            self._ahead = held.look_ahead(self._size, count)
            return () if self._ahead is None else self._ahead.lent

    def take(self) -> bool:
        """Make the next call of those that `look_ahead` has told about. False if it would give
        something else by now: nothing has happened then, and `again` is to be asked.
        """
        held, group, ahead = self._held, self._group, self._ahead
        with self._lock:
            if (
                ahead is None
                or held.read is not self._read
                or group.backup_owner is not held
                or group.steps_per_call
                or group.pace is not None
                or not ahead.take()
            ):
                return False
            group.clock.milliseconds += MILLISECONDS_PER_CALL
            return True
