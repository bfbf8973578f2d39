"""What others do to the server while a client works: mounts, second clients, stops, crashes.

A case names them as data (:class:`eseconform.cases.EventSpec`); here they happen, before a call of
the client or before its job, and are counted. The server has to answer as the case says: one that
lets a store be dismounted during a backup is no server to judge a client on.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import define

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE, BackupType
from eseback.errors import ConnectionLost, EseBackupError
from eseconform.cases.model import Deed, EventSpec, names_error
from eseconform.errors import HarnessError
from esesim.layer import ApiLayer

if TYPE_CHECKING:
    from eseconform.stage import Stage

R = TypeVar("R")
HOUR_MILLISECONDS: Final = 3_600_000


@define
class EventCount:
    """An event of a case: how often its call came by, and how often it happened."""

    event: EventSpec
    matched: int = 0
    fired: int = 0


class Incidents:
    """The events of one job, carried out on a stage.

    Raises HarnessError where the server answers an event otherwise than the case says.
    """

    def __init__(self, stage: Stage, events: Sequence[EventSpec]) -> None:
        self.counts = [EventCount(event) for event in events]
        self.crashed = False
        self._stage = stage
        self._calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    def before_job(self) -> None:
        """What happens before the client begins."""
        for count in self.counts:
            if count.event.call is None:
                self._happen(count)

    def before_call(self, method: str) -> None:
        """What happens before this call reaches the server."""
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

    def _do(self, event: EventSpec) -> None:
        stage, group = self._stage, event.group or self._stage.groups[0]
        match event.do:
            case Deed.MOUNT:
                stage.server.mount(group, event.store or "")
            case Deed.DISMOUNT:
                stage.server.dismount(group, event.store or "")
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
            case Deed.REMOVE_LOG:
                stage.remove_log(group)
            case Deed.CRASH:
                stage.rival.forget()
                stage.server.crash()
                self.crashed = True


class Rival:
    """A second client of the server, with a connection of its own."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._session = stage.server.session()
        self._contexts: dict[str, int] = {}

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

    def forget(self) -> None:
        """The server died, and every context with it."""
        self._contexts.clear()


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
        return function(**arguments)
