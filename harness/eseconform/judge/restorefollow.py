"""Follows a client's restore calls through their order table, like :mod:`.follow` for a backup.

Here, too, the judge keeps the set of states that a context may be in, and a call is wrong only when
it is wrong in all of them: nobody tells the judge when a recovery ends that the client did not wait
for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from attrs import define, field

from eseback.constants import RecoverStatus, RestoreClose, RestoreComplete
from eseback.jeterr import JetErr
from eseback.restoreorder import (
    RESTORE_STARTS,
    RestoreCall,
    RestoreCell,
    RestoreState,
    restore_cell,
    restore_close_call,
    restore_complete_call,
)
from eseconform.judge import records
from eseconform.judge.breaches import CallBreach
from eseconform.judge.ledger import Segment
from eseconform.judge.records import CallRecord, what
from eseconform.judge.restoreledger import (
    AddedDatabase,
    Completion,
    Refused,
    Restore,
    RestoredFile,
    States,
)

REFUSALS: Final = ("hrCBDatabaseInUse", "hrCBDatabaseNotFound")
"""Errors by which a server refuses to have a database restored."""
_ADDS = ("restore_add_database", "restore_add_database_ns")
_CLOSED: States = frozenset({RestoreState.CLOSED})
_CLOSES = (RestoreCall.CLOSE_NORMAL, RestoreCall.CLOSE_ABORT)
_COMPLETES = (RestoreCall.COMPLETE, RestoreCall.COMPLETE_NOWAIT)
_OPENS = (RestoreCall.OPEN_FILE, RestoreCall.OPEN_FILE_LEVEL)
_FLAGS = int(RestoreComplete.ATTACH_DBS | RestoreComplete.NOWAIT | RestoreComplete.KEEP_LOG_FILES)


@define
class RestoreContext:
    """One restore context.

    Attributes:
        handle: its number.
        restore: the restore that it is part of.
        states: every state that it may be in.
        opened_at, closed_at: numbers of its first call and of its Close.
        current: the file that is open by a handle, None when none is.
        lost: the connection broke; what the client still tries is not judged.
        changed: something was added or announced in it.
        close_failed: the last Close of it failed.
        completed_at: number of a Complete that succeeded.
    """

    handle: int
    restore: Restore
    states: States
    opened_at: int
    closed_at: int | None = None
    current: RestoredFile | None = None
    lost: bool = False
    changed: bool = False
    close_failed: bool = False
    completed_at: int | None = None


@define
class RestoreFollower:
    """State of the walk through one job's transcript. Feed it records in order.

    Attributes:
        contexts: every restore context, by number; closed ones stay.
        restores: every restore, in the order in which they began.
        breaches: calls that the table forbids, or lets pass although they break a rule.
        lost_at: number of the call in which the connection broke, or None.
        records: every call, in order.
    """

    contexts: dict[int, RestoreContext] = field(factory=dict)
    restores: list[Restore] = field(factory=list)
    breaches: list[CallBreach] = field(factory=list)
    lost_at: int | None = None
    records: list[CallRecord] = field(factory=list)

    def feed(self, record: CallRecord) -> None:
        """Take the next call into account."""
        self.records.append(record)
        if record.method in RESTORE_STARTS:
            self._start(record)
        elif record.method == "restore_load_environment":
            self._look(record, self._by_folder(records.text(record, "log_path")))
        elif record.method.startswith("restore_"):
            self._in_context(record)
        if record.error is not None and record.error.lost:
            self._lose(record)

    # --- contexts --------------------------------------------------------------------------------

    def _start(self, record: CallRecord) -> None:
        if record.error is not None:
            return
        handle: int = record.result["context"]
        folder = records.text(record, "log_path") or None
        if record.method == "restore_open":
            name = records.text(record, "source_instance")
            restore = Restore(name, folder, record.number, chosen=folder is None)
            self.restores.append(restore)
        else:
            restore = self._reopened(record, folder)
        states = frozenset({RESTORE_STARTS[record.method]})
        self.contexts[handle] = RestoreContext(handle, restore, states, record.number)

    def _reopened(self, record: CallRecord, folder: str | None) -> Restore:
        known = self._by_folder(folder or "")
        if known is None:
            known = Restore("", folder, record.number, resumed=True)
            self.restores.append(known)
            return known
        others = [c for c in self.contexts.values() if c.restore is known and not c.lost]
        if any(context.closed_at is None for context in others):
            text = f"Reopen of {folder} comes while a context of that restore is still open"
            self.breaches.append(CallBreach(record.number, "ESE-RST-SEQ-011", text))
        elif not known.saved:
            text = f"Reopen of {folder} comes although its environment was never saved"
            self.breaches.append(CallBreach(record.number, "ESE-RST-SEQ-011", text))
        return known

    def _by_folder(self, folder: str) -> Restore | None:
        key = folder_key(folder)
        found = [r for r in self.restores if r.folder is not None and folder_key(r.folder) == key]
        return found[-1] if found else None

    def _lose(self, record: CallRecord) -> None:
        self.lost_at = record.number if self.lost_at is None else self.lost_at
        for context in self.contexts.values():
            context.states, context.current, context.lost = _CLOSED, None, True

    # --- calls -----------------------------------------------------------------------------------

    def _in_context(self, record: CallRecord) -> None:
        context = self.contexts.get(records.number(record, "context"))
        if context is None:
            text = f"{what(record)} names a context that does not exist"
            self.breaches.append(CallBreach(record.number, "ESE-RST-SEQ-001", text))
            return
        if context.lost:
            return
        call = classify(record, context)
        cells = {state: restore_cell(state, call) for state in context.states}
        self._check(record, call, context, cells)
        context.states = narrowed(cells, call, record)
        if record.error is not None and context.restore.error is None:
            context.restore.error = (record.number, record.error)
        self._note(record, call, context)

    def _check(
        self,
        record: CallRecord,
        call: RestoreCall,
        context: RestoreContext,
        cells: dict[RestoreState, RestoreCell],
    ) -> None:
        breach: tuple[str, str] | None
        busy = record.error is not None and record.error.jet == JetErr.RESTORE_IN_PROGRESS
        if busy and RestoreState.COMPLETING in cells:
            # The server says so: the recovery that nobody waits for is not over yet.
            breach = "ESE-RST-SEQ-009", f"{what(record)} comes while the recovery runs"
        elif not any(cell.ok for cell in cells.values()):
            breach = _forbidden(record, call, context)
        elif all(cell.ok and cell.misuse for cell in cells.values()):
            breach = _misuse(record, call, context)
        else:
            breach = None
        if breach is not None:
            self.breaches.append(CallBreach(record.number, *breach))

    def _note(self, record: CallRecord, call: RestoreCall, context: RestoreContext) -> None:
        restore, ok = context.restore, record.error is None
        match record.method:
            case "restore_add_database" | "restore_add_database_ns":
                self._added(record, context)
            case "restore_open_file" if ok:
                handle = record.result["handle"]
                file = RestoredFile(records.text(record, "file_name"), record.number, handle)
                restore.files.append(file)
                context.changed = True
                context.current = file if handle is not None else context.current
            case "restore_write_file" | "restore_close_file":
                _note_file(record, call, context)
            case "restore_save_environment" if ok:
                restore.saved = True
            case "restore_get_environment":
                self._look(record, restore)
            case "restore_complete":
                _note_complete(record, context)
            case "restore_close":
                context.close_failed = not ok
                if ok:
                    context.closed_at = record.number
                    restore.closes.append((records.number(record, "flag"), record.number))

    def _added(self, record: CallRecord, context: RestoreContext) -> None:
        name = records.text(record, "display_name")
        sources = _texts(record.arguments.get("source_streams"))
        if record.error is not None:
            refused = Refused(name, sources, record.number, record.error)
            context.restore.refused.append(refused)
            return
        by_client = record.method == "restore_add_database_ns"
        there = record.arguments.get("destination_streams") if by_client else record.result
        guid = str(record.arguments.get("guid", ""))
        context.changed = True
        known = context.restore.databases
        before = [d for d in known if (d.name, d.guid) == (name, guid)]
        first = before[0].call if before else record.number
        added = AddedDatabase(name, guid, sources, _texts(there), first, by_client)
        known[:] = [*(d for d in known if d not in before), added]

    def _look(self, record: CallRecord, restore: Restore | None) -> None:
        """The client looks at an environment: its folder, and whether the recovery is over."""
        if restore is None or record.error is not None:
            return
        environment: dict[str, Any] = record.result
        if restore.folder is None:
            restore.folder = environment["restore_log_path"]
        if not restore.group:
            restore.group = environment["source_instance_name"]
        status, result = environment["status_last_recover"], environment["hr_last_recover"]
        running = [c for c in restore.completions if c.error is None and not c.waited]
        if running:
            running[-1].looks += 1
            if status == RecoverStatus.ENDED:
                running[-1].seen_ended = result
                self._recovery_is_over(restore, succeeded=result == 0)

    def _recovery_is_over(self, restore: Restore, *, succeeded: bool) -> None:
        after = RestoreState.COMPLETED if succeeded else RestoreState.SAVED
        for context in self.contexts.values():
            if context.restore is restore and RestoreState.COMPLETING in context.states:
                context.states = frozenset({after})


def follow_restore(transcript: Iterable[CallRecord]) -> RestoreFollower:
    """Walk through a transcript."""
    follower = RestoreFollower()
    for record in transcript:
        follower.feed(record)
    return follower


def folder_key(folder: str) -> str:
    """What is equal for two ways to write one Windows folder."""
    return folder.rstrip("\\/").replace("/", "\\").casefold()


def classify(record: CallRecord, context: RestoreContext) -> RestoreCall:
    """Which column of the order table a call belongs to, given what is known of its context."""
    if record.method in _ADDS:
        refused = record.error is not None and record.error.name in REFUSALS
        return RestoreCall.ADD_DATABASE_REFUSED if refused else RestoreCall.ADD_DATABASE
    match record.method:
        case "restore_open_file":
            if not records.text(record, "file_name") or record.arguments.get("sections", 1) != 1:
                return RestoreCall.ARGUMENT_ERROR
            handed = record.error is None and record.result["handle"] is not None
            return RestoreCall.OPEN_FILE if handed else RestoreCall.OPEN_FILE_LEVEL
        case "restore_write_file":
            right = _is_current(record, context)
            return RestoreCall.WRITE if right else RestoreCall.WRITE_BAD_HANDLE
        case "restore_close_file":
            right = _is_current(record, context)
            return RestoreCall.CLOSE_FILE if right else RestoreCall.CLOSE_BAD_HANDLE
        case "restore_save_environment":
            return RestoreCall.SAVE
        case "restore_complete":
            return restore_complete_call(RestoreComplete(records.number(record, "flags") & _FLAGS))
        case "restore_close":
            normal = records.number(record, "flag") == RestoreClose.NORMAL
            return restore_close_call(RestoreClose.NORMAL if normal else RestoreClose.ABORT)
        case _:
            return RestoreCall.GET_ENVIRONMENT


def _is_current(record: CallRecord, context: RestoreContext) -> bool:
    handle = records.number(record, "handle")
    return context.current is not None and context.current.handle == handle


def narrowed(
    cells: dict[RestoreState, RestoreCell], call: RestoreCall, record: CallRecord
) -> States:
    """The states that a context may be in after a call with this answer."""
    if record.error is None:
        after = {cell.next_state for cell in cells.values() if cell.ok} or set(cells)
    elif record.error.lost:
        return _CLOSED
    else:
        # Refused, or failed on the way: nothing says that it took effect. A close may have.
        after = set(cells) | ({RestoreState.CLOSED} if call in _CLOSES else set())
        if call in _COMPLETES:
            # A Complete may have succeeded, and only its answer is an error.
            after |= {cell.next_state for cell in cells.values()}
        if call in _OPENS:
            after |= {RestoreState.OPENED}
    if RestoreState.COMPLETING in after:
        after |= {RestoreState.COMPLETED, RestoreState.SAVED}
    return frozenset(after)


def _forbidden(
    record: CallRecord, call: RestoreCall, context: RestoreContext
) -> tuple[str, str] | None:
    """Rule and words for a call that the table refuses in every state."""
    states, name = context.states, what(record)
    if states <= _CLOSED:
        return "ESE-RST-SEQ-001", f"{name} names a context that was closed before"
    if call is RestoreCall.ARGUMENT_ERROR:
        if not records.text(record, "file_name"):
            return "ESE-RST-FIL-009", f"{name} gets an empty name: the end of a list, not a file"
        sections = record.arguments.get("sections")
        return "ESE-RST-ARG-005", f"{name} asks for {sections} sections"
    if call is RestoreCall.ADD_DATABASE_REFUSED:
        return None
    if call in (RestoreCall.WRITE_BAD_HANDLE, RestoreCall.CLOSE_BAD_HANDLE):
        return _bad_handle(record, context)
    if states <= {RestoreState.FILE_OPEN}:
        if call in _OPENS:
            return "ESE-RST-SEQ-005", f"{name} comes while another file is open"
        return "ESE-RST-SEQ-006", f"{name} comes while a file is open: CloseFile expected before it"
    if states <= {RestoreState.COMPLETED}:
        return "ESE-RST-SEQ-008", f"{name} comes after Complete has succeeded"
    return None


def _bad_handle(record: CallRecord, context: RestoreContext) -> tuple[str, str]:
    last = context.restore.files[-1] if context.restore.files else None
    if last is not None and last.handle is None and records.number(record, "handle") < 0:
        text = f"{what(record)} is called for {records.base_name(last.name)}, which the server "
        return "ESE-RST-FIL-006", f"{text}wants to be written with file I/O"
    return "ESE-RST-ARG-006", f"{what(record)} gets a handle that is not that of the open file"


def _misuse(
    record: CallRecord, call: RestoreCall, context: RestoreContext
) -> tuple[str, str] | None:
    """Rule and words for a call that the server lets pass."""
    if call in _COMPLETES:
        return "ESE-RST-SEQ-003", "Complete comes before the environment was saved"
    if context.states <= {RestoreState.FILE_OPEN}:
        return "ESE-RST-SEQ-006", f"{what(record)} comes while a file is open"
    broke_off = context.restore.error is not None
    if call is RestoreCall.CLOSE_NORMAL and context.changed and not broke_off:
        return "ESE-RST-SEQ-004", "Close comes before the environment was saved"
    return None


def _note_file(record: CallRecord, call: RestoreCall, context: RestoreContext) -> None:
    file = context.current
    if file is None or call in (RestoreCall.WRITE_BAD_HANDLE, RestoreCall.CLOSE_BAD_HANDLE):
        return
    if record.error is not None:
        file.error = file.error or (record.number, record.error)
    elif call is RestoreCall.WRITE:
        data = record.arguments.get("data")
        if isinstance(data, dict):
            file.segments.append(Segment(data["bytes"], data["crc32"]))
    else:
        file.closed_at = record.number
        context.current = None


def _note_complete(record: CallRecord, context: RestoreContext) -> None:
    flags = records.number(record, "flags")
    context.restore.completions.append(
        Completion(
            call=record.number,
            checkpoint_path=records.text(record, "checkpoint_path"),
            log_path=records.text(record, "log_path"),
            target=records.text(record, "target_instance") or None,
            flags=RestoreComplete(flags & _FLAGS),
            error=record.error,
        )
    )
    if record.error is None:
        context.completed_at = record.number


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else ()
