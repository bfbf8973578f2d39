"""Follows a client's calls through the order table, and notes every call that the table forbids.

The judge sees what the client saw, not what the server did. After an error it can't know whether
the server's backup still stands: an injected error leaves it, a damaged log ends it. So it keeps
the *set* of states that the backup may be in. A call is wrong only when it is wrong in all of
them, and each answer narrows the set.

What a server does after an error depends on its version: Exchange 2000 has an order table of its
own.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from eseback.constants import BackupType, InstanceEnd
from eseback.errors import ROW_BY_JET, JetErr
from eseback.order import (
    BACKUP_ORDER,
    BackupCall,
    BackupCell,
    BackupState,
    backup_cell,
    instance_end_call,
    setup_call,
)
from eseconform.judge import records
from eseconform.judge.breaches import CallBreach, breach_of
from eseconform.judge.ledger import Attempt, GroupBackup, Segment
from eseconform.judge.records import CallError, CallRecord, Database, Instance

States = frozenset[BackupState]
OrderTable = Mapping[tuple[BackupState, BackupCall], BackupCell]

PREPARED: States = frozenset({BackupState.PREPARED})
ENDED: States = frozenset({BackupState.ENDED})

BACKUP_IN_PROGRESS = ROW_BY_JET[JetErr.BACKUP_IN_PROGRESS].name
_ENDS = (BackupCall.INSTANCE_END_SUCCESS, BackupCall.INSTANCE_END_ERROR, BackupCall.END)
_SETUPS = (BackupCall.SETUP_FULL, BackupCall.SETUP_LOGS_ONLY)
_FAILURES = {
    BackupCall.READ: (BackupCall.READ_DATABASE_FAILED, BackupCall.READ_LOG_FAILED),
    BackupCall.LOG_LIST: (BackupCall.LOG_LIST_FAILED,),
    BackupCall.TRUNCATE_LIST: (BackupCall.LOG_LIST_FAILED,),
    BackupCall.TRUNCATE: (BackupCall.TRUNCATE_FAILED,),
    BackupCall.OPEN_DATABASE: (BackupCall.OPEN_UNKNOWN,),
    BackupCall.OPEN_LOG: (BackupCall.OPEN_UNKNOWN,),
}
"""What a legal call may have run into when it failed."""
_VARIANTS = {
    "backup_get_log_and_patch_files": BackupCall.LOG_LIST,
    "backup_get_truncate_log_files": BackupCall.TRUNCATE_LIST,
    "backup_truncate_logs": BackupCall.TRUNCATE,
    "backup_end": BackupCall.END,
    "backup_get_dependency_info": BackupCall.DEPENDENCY_INFO,
}


@define
class Context:
    """One backup context: what Prepare listed, and the backup that runs in it.

    Attributes:
        handle: the context's number.
        instances: what Prepare returned, by instance id.
        states: every state that its backup may be in.
        backup: the current or last backup, None before the first Setup.
        current: the file that is open, None when none is.
        lost: the connection broke; what the client still tries is not judged.
        refused_at: number of the last Setup, if another's backup was in its way.
        only_truncate_list: GetTruncateLogFiles ended the database phase, not the log list.
        end_failed: the last End for it failed.
    """

    handle: int
    instances: dict[int, Instance]
    states: States = PREPARED
    backup: GroupBackup | None = None
    current: Attempt | None = None
    lost: bool = False
    refused_at: int | None = None
    only_truncate_list: bool = False
    end_failed: bool = False

    def dismounted(self, name: str) -> bool:
        """Whether a file belongs to a database that Prepare listed as not mounted."""
        folded = name.casefold()
        return any(
            folded == stream.casefold()
            for instance in self.instances.values()
            for database in instance.databases
            if not database.mounted
            for stream in database.streams
        )


@define
class Follower:
    """State of the walk through one job's transcript. Feed it records in order.

    Attributes:
        contexts: every context, by number; ended ones stay.
        backups: every backup that Setup started, in order.
        breaches: calls that the table forbids, in order.
        prepares: every Prepare call, whatever came of it.
        lost_at: number of the call in which the connection broke, or None.
        only: display names of the databases that the job is about; empty for all.
        records: every call, in order.
        handles: context of every file handle that the server gave out.
        order: the order table of the server's version.
    """

    contexts: dict[int, Context] = field(factory=dict)
    backups: list[GroupBackup] = field(factory=list)
    breaches: list[CallBreach] = field(factory=list)
    prepares: list[CallRecord] = field(factory=list)
    lost_at: int | None = None
    only: frozenset[str] = frozenset()
    records: list[CallRecord] = field(factory=list)
    handles: dict[int, int] = field(factory=dict)
    order: OrderTable = field(default=BACKUP_ORDER, repr=False)

    def feed(self, record: CallRecord) -> None:
        """Take the next call into account."""
        self.records.append(record)
        if record.method == "backup_prepare":
            self._prepare(record)
        elif record.method.startswith("backup_"):
            self._in_context(record)
        if record.error is not None and record.error.lost:
            self._lose(record)

    def _prepare(self, record: CallRecord) -> None:
        self.prepares.append(record)
        if record.error is None:
            context, instances = records.prepared(record)
            self.contexts[context] = Context(context, {i.id: i for i in instances})

    def _lose(self, record: CallRecord) -> None:
        self.lost_at = record.number if self.lost_at is None else self.lost_at
        for context in self.contexts.values():
            context.states, context.current, context.lost = ENDED, None, True

    def _in_context(self, record: CallRecord) -> None:
        context = self.contexts.get(records.number(record, "context"))
        if context is None:
            text = f"{records.what(record)} names a context that does not exist"
            self.breaches.append(CallBreach(record.number, "ESE-BKP-SEQ-001", text))
            return
        if context.lost:
            return
        variant = classify(record, context)
        cells = {state: backup_cell(state, variant, self.order) for state in context.states}
        if not any(cell.ok for cell in cells.values()):
            self._forbidden(record, variant, context)
        elif variant in _SETUPS:
            self._check_other_contexts(record, context)
        before = context.backup
        context.states = narrowed(cells, variant, record.error, self.order)
        if variant in _SETUPS and record.error is None:
            self._begin(record, context)
        elif before is not None:
            take_note(before, context, variant, record)
        self._note_circumstances(record, variant, context)

    def _note_circumstances(
        self, record: CallRecord, variant: BackupCall, context: Context
    ) -> None:
        """What later breaches are explained with."""
        if variant in _SETUPS:
            in_progress = record.error is not None and record.error.name == BACKUP_IN_PROGRESS
            context.refused_at = record.number if in_progress else None
            context.only_truncate_list = False
        elif record.error is None and variant is BackupCall.TRUNCATE_LIST:
            listed = context.backup is not None and context.backup.logs is not None
            context.only_truncate_list = not listed
        elif variant is BackupCall.LOG_LIST:
            context.only_truncate_list = False
        if variant is BackupCall.END:
            context.end_failed = record.error is not None
        if record.method == "backup_open_file" and record.error is None:
            self.handles[records.opened(record).handle] = context.handle

    def _forbidden(self, record: CallRecord, variant: BackupCall, context: Context) -> None:
        breach = breach_of(record, variant, context, self.handles)
        if breach is not None:
            self.breaches.append(breach)

    def _check_other_contexts(self, record: CallRecord, context: Context) -> None:
        """A group has one backup at a time, in whichever context."""
        instance = context.instances[records.number(record, "instance_id")]
        for other in self.contexts.values():
            runs = other.backup is not None and all(state.running for state in other.states)
            if runs and other.backup is not None and other.backup.group == instance.name:
                text = f"Setup comes while the client's other backup of {instance.name} runs"
                self.breaches.append(CallBreach(record.number, "ESE-BKP-CON-001", text))

    def _begin(self, record: CallRecord, context: Context) -> None:
        instance = context.instances.get(records.number(record, "instance_id"))
        if instance is None:
            return
        context.current = None

        def wanted(database: Database) -> bool:
            return not self.only or database.name in self.only

        context.backup = GroupBackup(
            group=instance.name,
            context=context.handle,
            backup_type=BackupType(records.number(record, "backup_type")),
            started_at=record.number,
            databases={d.name: d.streams for d in instance.databases if d.mounted and wanted(d)},
            others=tuple(
                stream
                for d in instance.databases
                if d.mounted and not wanted(d)
                for stream in d.streams
            ),
        )
        self.backups.append(context.backup)


def classify(record: CallRecord, context: Context) -> BackupCall:
    """Which column of the order table a call belongs to, given what is known of its context."""
    backup = context.backup
    match record.method:
        case "backup_setup":
            return _setup_variant(record, context)
        case "backup_open_file":
            return _open_variant(records.text(record, "file_name"), backup)
        case "backup_read_file":
            return BackupCall.READ if _is_current(record, context) else BackupCall.READ_BAD_HANDLE
        case "backup_close_file":
            return BackupCall.CLOSE if _is_current(record, context) else BackupCall.CLOSE_BAD_HANDLE
        case "backup_instance_end":
            flags = records.number(record, "flags")
            if flags not in tuple(InstanceEnd):
                return BackupCall.CONTROL_ARGUMENT_ERROR
            return instance_end_call(InstanceEnd(flags))
        case method:
            return _VARIANTS[method]


def _setup_variant(record: CallRecord, context: Context) -> BackupCall:
    backup_type = records.number(record, "backup_type")
    known = records.number(record, "instance_id") in context.instances
    if not known or backup_type not in tuple(BackupType):
        return BackupCall.CONTROL_ARGUMENT_ERROR
    return setup_call(BackupType(backup_type))


def _open_variant(name: str, backup: GroupBackup | None) -> BackupCall:
    if not name:
        return BackupCall.ARGUMENT_ERROR
    if backup is not None and backup.has_stream(name):
        return BackupCall.OPEN_DATABASE
    if backup is not None and backup.has_log(name):
        return BackupCall.OPEN_LOG  # also a patch file of Exchange 2000
    unlisted = backup is None or backup.logs is None
    is_log = name.lower().endswith(".log")
    return BackupCall.OPEN_LOG if is_log and unlisted else BackupCall.OPEN_UNKNOWN


def _is_current(record: CallRecord, context: Context) -> bool:
    """Whether the handle is that of the file that is open, or was until the engine closed it."""
    handle = records.number(record, "handle")
    return context.current is not None and context.current.handle == handle


def narrowed(
    cells: dict[BackupState, BackupCell],
    variant: BackupCall,
    error: CallError | None,
    order: OrderTable = BACKUP_ORDER,
) -> States:
    """The states that the backup may be in after a call with this answer."""
    if error is None:
        agreeing = {cell.next_state for cell in cells.values() if cell.ok}
        # A server more lenient than the table: stay where we were.
        return frozenset(agreeing or cells)
    if error.lost:
        return ENDED
    if error.jet == JetErr.NO_BACKUP:
        return PREPARED
    if variant in _SETUPS and error.name == BACKUP_IN_PROGRESS:
        return frozenset(cells)  # this answer says that nothing was begun
    if error.jet == JetErr.BACKUP_ABORT_BY_SERVER and variant not in _ENDS:
        stops = (backup_cell(state, BackupCall.STOP_BY_SERVER, order) for state in cells)
        return frozenset(stop.next_state for stop in stops)
    after: set[BackupState] = set()
    for state, cell in cells.items():
        after.add(cell.next_state)
        if cell.ok:
            after |= after_failure(state, variant, order)
    return frozenset(after)


def after_failure(
    state: BackupState, variant: BackupCall, order: OrderTable = BACKUP_ORDER
) -> States:
    """Where a legal call may have left the backup when it failed.

    Untouched (the error came before the effect), or as what the call may have run into leaves it.
    That the call took effect and only its answer was an error is the caller's to add.
    """
    after = {state}
    for failure in _FAILURES.get(variant, ()):
        cell = backup_cell(state, failure, order)
        if cell.possible and not cell.ok:
            after.add(cell.next_state)
    return frozenset(after)


def take_note(
    backup: GroupBackup, context: Context, variant: BackupCall, record: CallRecord
) -> None:
    """Enter a call into the ledger of its backup."""
    ok = record.error is None
    if record.error is not None and backup.error is None and backup.ended_at is None:
        backup.error = (record.number, record.error)
    match variant:
        case BackupCall.OPEN_DATABASE | BackupCall.OPEN_LOG | BackupCall.OPEN_UNKNOWN if ok:
            section = records.opened(record)
            context.current = Attempt(
                records.text(record, "file_name"), record.number, section.handle, section.size
            )
            backup.attempts.append(context.current)
        case BackupCall.READ if context.current is not None:
            _note_read(context.current, record)
        case BackupCall.CLOSE if ok and context.current is not None:
            context.current.closed_at = record.number
            context.current = None
        case BackupCall.LOG_LIST if ok:
            backup.logs = records.names(record)
        case BackupCall.TRUNCATE:
            backup.truncated_at = backup.truncated_at or record.number
            backup.truncation_acknowledged |= ok
            backup.truncations += ok
        case BackupCall.INSTANCE_END_SUCCESS | BackupCall.INSTANCE_END_ERROR | BackupCall.END:
            _note_end(backup, context, variant, record)


def _note_end(
    backup: GroupBackup, context: Context, variant: BackupCall, record: CallRecord
) -> None:
    if variant is BackupCall.END:
        backup.ended_at = backup.ended_at or record.number
    else:
        backup.ended_at = record.number
        backup.end_flag = records.number(record, "flags")
        still_open = context.current is not None and context.current.error is None
        backup.left_open = context.current if still_open else None
    if record.error is None:
        backup.success_acknowledged |= variant is BackupCall.INSTANCE_END_SUCCESS
        context.current = None


def _note_read(attempt: Attempt, record: CallRecord) -> None:
    if record.error is not None:
        # A server that still answers had not closed the file: then nothing is wrong with asking.
        if attempt.error is not None and attempt.read_after_error is None:
            attempt.read_after_error = record.number
        attempt.error = record.error
        return
    length, digest = records.bytes_read(record)
    if length:
        attempt.segments.append(Segment(length, digest))
    else:
        attempt.saw_end = True
        attempt.reads_at_end += 1
