"""The reference model: what several clients of several storage groups must be answered.

It knows the order table (:mod:`eseback.order`), who backs up which group, which stores are mounted
and up to which generation each is backed up, and what the clients were told. Of the server it asks
only what no client can know: what lies on its disks (:class:`Facts`).
"""

from __future__ import annotations

from functools import cache
from typing import Final

from attrs import evolve

from eseback.errors import EseBackupError, JetErr
from eseback.order import BackupCall, BackupCell, BackupState, backup_cell
from eseback.structures import OpenedFile
from eseconform.explore.faultmodel import FaultModel, Verdict
from eseconform.explore.steps import SETUPS, Act, Fault, Shape, Step, session_of
from eseconform.explore.world import (
    CLIENTS,
    Answer,
    Call,
    Context,
    Facts,
    Group,
    OpenFile,
    Run,
)


class Model:
    """Predicts the answers of a server of ``shape`` whose sessions have ``faults``."""

    def __init__(self, shape: Shape, faults: tuple[Fault, ...] = ()) -> None:
        self.shape = shape
        self.contexts = [Context(BackupState.ENDED) for _ in range(CLIENTS)]
        self.groups = [Group(set(range(shape.stores))) for _ in range(shape.groups)]
        self.faults = FaultModel(faults)

    # -- predictions

    def predict(self, call: Call, facts: Facts) -> tuple[Answer, BackupCell | None]:
        """What the call is answered, and the cell of the table that happens to its context.

        None for the cell: the order table has nothing to do with it. Counts faults, so it is asked
        once for each call.
        """
        step = call.step
        if step.act in (Act.MOUNT, Act.DISMOUNT):
            return self._stores(step), None
        if step.act is Act.STOP:
            holder = self.holder(step.group)
            if holder is None:
                return Answer(), None
            return Answer(), backup_cell(holder.state, BackupCall.STOP_BY_SERVER)
        context = self.contexts[step.who]
        if step.act is Act.HANG_UP:
            return Answer(), backup_cell(context.state, BackupCall.CONNECTION_LOST)
        if step.act is Act.PREPARE:
            if context.state is not BackupState.ENDED:
                return Answer(), None
            return self._through_faults(step, Answer(), None)
        cell = self._cell(call, context, facts)
        return self._through_faults(step, _answer(cell), cell)

    def _through_faults(
        self, step: Step, answer: Answer, cell: BackupCell | None
    ) -> tuple[Answer, BackupCell | None]:
        """What a call meets on its way to the server and back."""
        verdict, jet = self.faults.judge(session_of(step.who), step.act, not answer.hresult)
        if verdict is Verdict.NONE:
            return answer, cell
        reached = verdict in (Verdict.ERROR_AFTER, Verdict.DROP_AFTER)
        if verdict in (Verdict.DROP_BEFORE, Verdict.DROP_AFTER, Verdict.DROPPED):
            answer = Answer(lost=True)
        else:
            error = EseBackupError.from_jet(jet)
            answer = Answer(error.hresult, error.jet)
        return answer, cell if reached else None

    def _cell(self, call: Call, context: Context, facts: Facts) -> BackupCell:
        """The cell for a call of a client."""
        act, state = call.step.act, context.state
        if act in SETUPS:
            return self._setup(call.step, context)
        if act in (Act.OPEN_EDB, Act.OPEN_STM, Act.OPEN_LOG, Act.OPEN_UNKNOWN):
            return backup_cell(state, self._open(call, context, facts))
        if act in _READS or act in _CLOSES:
            mine = context.file is not None and call.handle == context.file.handle
            good, bad = _READS.get(act) or _CLOSES[act]
            # After a failed open the table's names for both are answered alike.
            return backup_cell(state, good if mine else bad)
        if act in (Act.LOG_LIST, Act.TRUNCATE_LIST) and self._logs_are_gone(context, facts):
            return backup_cell(state, BackupCall.LOG_LIST_FAILED)
        return backup_cell(state, _PLAIN[act])

    def _setup(self, step: Step, context: Context) -> BackupCell:
        group = self.groups[step.group]
        if context.state is BackupState.ENDED or not group.mounted:
            # Without a mounted store there is no instance to name.
            return backup_cell(context.state, BackupCall.CONTROL_ARGUMENT_ERROR)
        logs_only = step.act is Act.SETUP_LOGS
        call = BackupCall.SETUP_LOGS_ONLY if logs_only else BackupCall.SETUP_FULL
        holder = context if context.state.running else self.holder(step.group)
        if holder is not None:
            # The group answers; the caller's own context stays where it is.
            return _staying(backup_cell(holder.state, call), context.state)
        if logs_only and not group.mounted <= group.backed_up_to.keys():
            return backup_cell(context.state, BackupCall.SETUP_REFUSED)
        return backup_cell(context.state, call)

    def _open(self, call: Call, context: Context, facts: Facts) -> BackupCall:
        step, group = call.step, context.group
        of_store = step.act in (Act.OPEN_EDB, Act.OPEN_STM)
        if of_store and group is not None and step.store in self.groups[group].mounted:
            return BackupCall.OPEN_DATABASE
        return BackupCall.OPEN_LOG if facts.exists(call.path) else BackupCall.OPEN_UNKNOWN

    def _logs_are_gone(self, context: Context, facts: Facts) -> bool:
        """Whether logs that a logs-only backup needs were deleted, by a backup that then failed."""
        if context.state is not BackupState.LOGS_UNLISTED or context.group is None:
            return False
        group = self.groups[context.group]
        reach = min(group.backed_up_to[store] for store in group.mounted)
        return facts.oldest(context.group) > reach + 1

    def _stores(self, step: Step) -> Answer:
        """Mounting what is mounted is nothing; otherwise a backup of the group forbids it."""
        is_mounted = step.store in self.groups[step.group].mounted
        if is_mounted == (step.act is Act.MOUNT) or self.holder(step.group) is None:
            return Answer()
        return Answer(_BUSY.hresult, _BUSY.jet)

    def holder(self, group: int) -> Context | None:
        """The context that backs a group up."""
        for context in self.contexts:
            if context.group == group:
                return context
        return None

    # -- what happens

    def settle(
        self,
        call: Call,
        answer: Answer,
        cell: BackupCell | None,
        opened: OpenedFile | None,
        facts: Facts,
    ) -> None:
        """The call was answered as predicted. ``opened``: what an open gave the client, if it did.

        ``facts`` are those after the call.
        """
        step = call.step
        if step.act in (Act.MOUNT, Act.DISMOUNT):
            if not answer.hresult:
                mounted = self.groups[step.group].mounted
                (mounted.add if step.act is Act.MOUNT else mounted.discard)(step.store)
            return
        context = self.contexts[step.who]
        if step.act is Act.STOP:
            holder = self.holder(step.group)
            if holder is not None and cell is not None:
                holder.state = cell.next_state
            return
        if step.act is Act.PREPARE and context.state is BackupState.ENDED and not answer.lost:
            if not answer.hresult:
                self.contexts[step.who] = Context()
            return
        if cell is not None:
            if cell.ok:
                self._act(call, context, opened, facts)
            self._enter(context, cell)
        if answer.lost:
            self._lose(session_of(step.who))

    def bytes_read(self, call: Call) -> int:
        """What a read that succeeds returns: all that was asked for, less only at the end."""
        file = self.contexts[call.step.who].file
        return 0 if file is None else min(call.wanted, file.size - file.position)

    def come_again(self, session: int) -> None:
        """A client whose connection was lost connects anew, without the faults of the old one."""
        self.faults.forget(session)

    def _act(self, call: Call, context: Context, opened: OpenedFile | None, facts: Facts) -> None:
        """What a call that succeeded changes beside the state."""
        act = call.step.act
        run, file = context.run, context.file
        if act in SETUPS:
            context.group = call.step.group
            mounted = frozenset(self.groups[call.step.group].mounted)
            context.run = Run(act is not Act.SETUP_LOGS, mounted)
        elif act in (Act.OPEN_EDB, Act.OPEN_STM, Act.OPEN_LOG, Act.OPEN_UNKNOWN):
            database = act is Act.OPEN_EDB and context.state is BackupState.DATABASES
            store = call.step.store if database else None
            handle, size = (None, 0) if opened is None else (opened.handle, opened.size)
            context.file = OpenFile(handle, size, store)
        elif act in _READS and file is not None:
            file.position = min(file.position + call.wanted, file.size)
        elif run is None or context.group is None:
            return
        elif act in _CLOSES and file is not None:
            if file.store is not None and file.position >= file.size:
                run.copied.add(file.store)
        elif act in (Act.LOG_LIST, Act.TRUNCATE_LIST):
            run.high = facts.generation(context.group) - 1 if run.high is None else run.high
        elif act is Act.TRUNCATE:
            run.truncated = True
        elif act is Act.END_SUCCESS and run.truncated and run.high is not None:
            for store in run.copied if run.full else run.stores:
                self.groups[context.group].backed_up_to[store] = run.high

    def _enter(self, context: Context, cell: BackupCell) -> None:
        context.state = cell.next_state
        if not context.state.running:
            context.group = context.run = None
        if not context.state.file_open:
            context.file = None

    def _lose(self, session: int) -> None:
        """All contexts of a session go with its connection."""
        for who, context in enumerate(self.contexts):
            if session_of(who) == session:
                self._enter(context, backup_cell(context.state, BackupCall.CONNECTION_LOST))

    def key(self) -> object:
        """All that predictions depend on, comparable; handles only as whether they are known."""
        contexts = tuple(
            (
                context.state,
                context.group,
                context.run
                and (
                    context.run.full,
                    frozenset(context.run.copied),
                    context.run.high,
                    context.run.truncated,
                    context.run.stores,
                ),
                context.file
                and (
                    context.file.handle is None,
                    context.file.size,
                    context.file.store,
                    context.file.position,
                ),
            )
            for context in self.contexts
        )
        groups = tuple(
            (frozenset(group.mounted), tuple(sorted(group.backed_up_to.items())))
            for group in self.groups
        )
        return contexts, groups, self.faults.key()


@cache
def _staying(cell: BackupCell, state: BackupState) -> BackupCell:
    """The same answer, to a context that stays in its state."""
    return evolve(cell, next_state=state)


def _answer(cell: BackupCell) -> Answer:
    """What a cell says the client is answered."""
    key = cell.error, cell.api_error
    answer = _ANSWERS.get(key)
    if answer is None:
        jet = None if cell.error is None else int(cell.error)
        answer = _ANSWERS[key] = Answer(cell.hresult, jet)
    return answer


_ANSWERS: Final[dict[tuple[JetErr | None, str | None], Answer]] = {}  # looked up at every step
_BUSY: Final = EseBackupError.from_jet(JetErr.BACKUP_IN_PROGRESS)


_READS: Final = dict.fromkeys(
    (Act.READ, Act.READ_SOME, Act.READ_REST, Act.READ_STRANGE, Act.READ_OTHERS),
    (BackupCall.READ, BackupCall.READ_BAD_HANDLE),
)
_CLOSES: Final = dict.fromkeys(
    (Act.CLOSE, Act.CLOSE_STRANGE, Act.CLOSE_OTHERS),
    (BackupCall.CLOSE, BackupCall.CLOSE_BAD_HANDLE),
)
_PLAIN: Final = {
    Act.SETUP_NO_INSTANCE: BackupCall.CONTROL_ARGUMENT_ERROR,
    Act.SETUP_NO_KIND: BackupCall.CONTROL_ARGUMENT_ERROR,
    Act.OPEN_EMPTY: BackupCall.ARGUMENT_ERROR,
    Act.READ_NOTHING: BackupCall.ARGUMENT_ERROR,
    Act.LOG_LIST: BackupCall.LOG_LIST,
    Act.TRUNCATE_LIST: BackupCall.TRUNCATE_LIST,
    Act.TRUNCATE: BackupCall.TRUNCATE,
    Act.END_SUCCESS: BackupCall.INSTANCE_END_SUCCESS,
    Act.END_ERROR: BackupCall.INSTANCE_END_ERROR,
    Act.END_NO_FLAG: BackupCall.CONTROL_ARGUMENT_ERROR,
    Act.END: BackupCall.END,
    Act.DEPENDENCIES: BackupCall.DEPENDENCY_INFO,
}
