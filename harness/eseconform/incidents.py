"""What others do to the server while a client works: mounts, second clients, stops, crashes.

A case names them as data (:class:`eseconform.cases.EventSpec`); here they happen, before a call of
the client or before its job, and are counted. The server has to answer as the case says: one that
lets a store be dismounted during a backup is no server to judge a client on.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from attrs import define, evolve

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE, BackupType, RestoreClose
from eseback.errors import ROW_BY_JET, ConnectionLost, EseBackupError, JetErr
from eseback.structures import OpenedFile
from eseconform.cases.model import Deed, EventSpec, names_error
from eseconform.errors import HarnessError
from eseconform.spoiling import spoil
from eseconform.task import SavedFile
from esesim.layer import ApiLayer

if TYPE_CHECKING:
    from eseconform.stage import Stage

R = TypeVar("R")
IN_PROGRESS: Final = ROW_BY_JET[JetErr.BACKUP_IN_PROGRESS].name
MEET_SECONDS_MAX: Final = 2.0
HOUR_MILLISECONDS: Final = 3_600_000


@define
class EventCount:
    """An event of a case: how often its call came by, and how often it happened."""

    event: EventSpec
    matched: int = 0
    fired: int = 0


def _nothing_saved(job: int) -> Sequence[SavedFile]:
    """There are no sets."""
    return ()


class Incidents:
    """The events of one job, carried out on a stage; ``saved`` tells the files of a job's set.

    Raises HarnessError where the server answers an event otherwise than the case says.
    """

    def __init__(
        self,
        stage: Stage,
        events: Sequence[EventSpec],
        saved: Callable[[int], Sequence[SavedFile]] = _nothing_saved,
    ) -> None:
        self.counts = [EventCount(event) for event in events]
        self.crashed = False
        self._stage = stage
        self._saved = saved
        self._extra = 0
        self._met = threading.Event()
        self._meets = any(event.do is Deed.MEET for event in events)
        self._calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    def before_job(self) -> None:
        """What happens before the client begins."""
        for count in self.counts:
            if count.event.call is None:
                self._happen(count)

    def before_call(self, method: str) -> None:
        """What happens before this call reaches the server."""
        if self._meets:
            self._look_for_two()
        with self._lock:
            self._calls[method] += 1
            due = []
            for count in self.counts:
                if count.event.call == method:
                    count.matched += 1
                    if count.event.nth == self._calls[method]:
                        due.append(count)
        for count in due:
            self._happen(count)

    def _happen(self, count: EventCount) -> None:
        event = count.event
        during = event.call is not None and event.refused == IN_PROGRESS
        if during and not self._stage.backs_up(self._group_of(event)):
            return  # the client has ended its backup; what it should have shown did not arise
        freed = event.call == "backup_end" and event.refused is None
        if freed and self._stage.backs_up(self._group_of(event)):
            return  # the client comes to End without having ended its backup
        if event.do is Deed.MEET and not self._met.wait(MEET_SECONDS_MAX):
            return  # it does one group after the other
        try:
            self._do(event)
        except EseBackupError as error:
            if not names_error(event.refused or "", error.name, error.jet):
                raise HarnessError(f"{event.text}: the server answers {error}") from error
        else:
            if event.refused is not None:
                raise HarnessError(f"{event.text}: the server allows it")
        count.matched += event.call is None
        count.fired += 1

    def _look_for_two(self) -> None:
        """Notice when the backups of two groups are under way; the client's threads come by here
        with every call that they make.
        """
        if sum(map(self._stage.backs_up, self._stage.groups)) > 1:
            self._met.set()

    def announced(self, sections: Sequence[OpenedFile]) -> tuple[OpenedFile, ...]:
        """What an open answers, made larger if that is due."""
        extra, self._extra = self._extra, 0
        return tuple(evolve(section, size=section.size + extra) for section in sections)

    def _group_of(self, event: EventSpec) -> str:
        return event.group or self._stage.groups[0]

    def _do(self, event: EventSpec) -> None:
        stage, group = self._stage, self._group_of(event)
        match event.do:
            case Deed.MOUNT:
                for store in self._stores_of(event):
                    stage.server.mount(group, store)
            case Deed.DISMOUNT:
                for store in self._stores_of(event):
                    stage.server.dismount(group, store)
            case Deed.SETUP:
                stage.rival.back_up(group)
                stage.rival.let_go(group)
            case Deed.HOLD:
                stage.rival.back_up(group)
            case Deed.LET_GO:
                stage.rival.let_go(group)
            case Deed.STOP:
                stage.server.stop_backup(group)
            case Deed.WAIT:
                stage.server.group(group).clock.milliseconds += HOUR_MILLISECONDS
                stage.server.run_workload(group, event.steps)
            case Deed.MEET:
                pass  # it was waited for
            case Deed.ANNOUNCE:
                self._extra = event.bytes
            case Deed.REMOVE_LOG:
                stage.remove_log(group)
            case Deed.CRASH:
                stage.rival.forget()
                stage.server.crash()
                self.crashed = True
            case Deed.DESTROY:
                stage.server.destroy_group(group)
            case Deed.DESTROY_STORE:
                for store in self._stores_of(event):
                    stage.server.destroy_store(group, store)
            case Deed.OVERWRITABLE | Deed.PROTECT:
                for store in self._stores_of(event):
                    stage.server.set_overwritable(group, store, event.do is Deed.OVERWRITABLE)
            case Deed.CLEAR_LOGS:
                stage.clear_logs(group)
            case Deed.HOLD_RESTORES:
                for _ in range(event.count):
                    stage.rival.open_restore(group)
            case Deed.LET_GO_RESTORES:
                stage.rival.close_restores()
            case Deed.LOSE_SAVED | Deed.DAMAGE_SAVED | Deed.CUT_SAVED | Deed.SWAP_SAVED:
                spoil(event, self._saved(event.set))

    def _stores_of(self, event: EventSpec) -> tuple[str, ...]:
        """The store that an event is about, or all of the group."""
        if event.store is not None:
            return (event.store,)
        spec = self._stage.server.group(self._group_of(event)).spec
        return tuple(store.name for store in spec.stores)


class Rival:
    """A second client of the server, with a connection of its own."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._session = stage.server.session()
        self._contexts: dict[str, int] = {}
        self._restores: list[int] = []
        self._folders = 0

    @property
    def restores(self) -> int:
        """How many restores it holds."""
        return len(self._restores)

    def holds(self, group: str) -> bool:
        """Whether it backs up the group right now."""
        return group in self._contexts

    def back_up(self, group: str) -> None:
        """Begin a backup. Raises the server's answer when it refuses; then nothing is held."""
        context, _ = self._session.backup_prepare(self._stage.name, INFORMATION_STORE)
        number = self._stage.server.group(group).id
        try:
            self._session.backup_setup(context, number, BackupType.FULL)
        except EseBackupError:
            self._session.backup_end(context)
            raise
        self._contexts[group] = context

    def let_go(self, group: str) -> None:
        """End the backup, unsuccessfully: what it was for is nobody's business."""
        context = self._contexts.pop(group, None)
        if context is not None:
            self._session.backup_end(context)

    def open_restore(self, group: str) -> None:
        """Begin a restore of the group and leave it at that."""
        self._folders += 1
        folder = f"C:\\Rival\\Restore {self._folders}"
        name = self._stage.name
        self._restores.append(self._session.restore_open(name, INFORMATION_STORE, group, folder))

    def close_restores(self) -> None:
        """Give up all restores."""
        while self._restores:
            self._session.restore_close(self._restores.pop(), RestoreClose.ABORT)

    def forget(self) -> None:
        """The server died, and every context with it."""
        self._contexts.clear()
        self._restores.clear()


class IncidentLayer(ApiLayer):
    """Lets things happen between a client's calls. After a crash its connection is dead."""

    def __init__(self, api: BackupApi, incidents: Incidents) -> None:
        super().__init__(api)
        self._incidents = incidents

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        """What is due, then the call."""
        if not self._incidents.crashed:
            self._incidents.before_call(method)
        if self._incidents.crashed:
            raise ConnectionLost(call=method, detail="the server went down")
        result = function(**arguments)
        if method == "backup_open_file":
            return cast("R", self._incidents.announced(cast("Sequence[OpenedFile]", result)))
        return result
