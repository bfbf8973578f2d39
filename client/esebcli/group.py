"""The backup of one storage group, from Prepare to End.

The order of calls is the documented one: Setup; for each database, each stream OpenFile, ReadFile
until 0 bytes, CloseFile; GetLogAndPatchFiles; each log the same way; TruncateLogs; InstanceEnd; End
(SDK pages aa563203, aa563417, ms878545, aa563301, aa580248).

Everything turns on one moment, the *seal*: the manifest on disk says that the group is complete.
Before it, an error ends the backup without truncation and leaves an incomplete group. Only after
it is the server asked to delete logs; from then on the set may hold their only copy, so whatever
happens, it stays complete. The seal itself already says "truncation unknown": a client that dies
while the server deletes must not leave a claim behind that nothing was deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, evolve, field

from eseback.constants import InstanceEnd
from eseback.errors import EseBackupError, JetErr
from esebcli.context import Context
from esebcli.errors import EsebcliError
from esebcli.hints import explain
from esebcli.manifest import SavedGroup, State, Truncation
from esebcli.progress import Phase, Progress
from esebcli.saving import INTERRUPTED, GroupSaver

EXPECTED_ERRORS: Final = (EseBackupError, EsebcliError, OSError)
"""What may go wrong without being a fault of this program."""


@define
class GroupBackup:
    """One job on one group; ``run`` may be called once.

    Attributes:
        saver: writes the files; its ``group`` is what is known so far.
        open_context: calls Prepare, or hands over a context that was made before.
        predecessor: the group in the set that this one continues, or None.
    """

    saver: GroupSaver
    open_context: Callable[[], Context]
    predecessor: SavedGroup | None = None
    _context: Context | None = field(init=False, default=None)
    _is_set_up: bool = field(init=False, default=False)

    def run(self) -> SavedGroup:
        """Do the backup. Errors of the server and of this machine end up in the returned group."""
        try:
            context = self._save_and_seal()
        except EXPECTED_ERRORS as error:
            return self._abandon(explain(error))
        except BaseException as error:
            is_bug = not isinstance(error, KeyboardInterrupt)
            self._abandon(f"the program failed: {error!r}" if is_bug else INTERRUPTED)
            raise
        return self._truncate_and_end(context)

    def _save_and_seal(self) -> Context:
        saver, kind = self.saver, self.saver.kind
        saver.refuse_if_cancelled()
        context = self._context = self.open_context()
        instance = context.instance(saver.group.name)
        saver.choose(instance)
        context.api.backup_setup(context.handle, instance.instance_id, kind.backup_type)
        self._is_set_up = True
        if kind.has_databases:
            saver.save_databases(context)
        saver.save_logs(context)
        logs = saver.check(self.predecessor)
        deletable = saver.ask_deletable(context, logs) if kind.truncates else ()
        saver.refuse_if_cancelled()
        self._record(
            evolve(
                saver.group,
                state=State.COMPLETE,
                truncation=Truncation.UNKNOWN if kind.truncates else Truncation.NOT_ASKED,
                logs=logs,
                deletable_logs=deletable,
            )
        )
        return context

    def _abandon(self, reason: str) -> SavedGroup:
        """Before the seal: release the server, then record why."""
        reasons = [reason]
        context = self._context
        if context is not None:
            api, handle = context.api, context.handle
            # Without a Setup that succeeded there is no backup of ours to end: InstanceEnd would
            # only be refused (-520), and End ends whatever there may be (SDK page aa580248).
            if self._is_set_up:
                # An error on a log has ended the backup already: -520 is then the right answer.
                reasons += _attempt(
                    lambda: api.backup_instance_end(handle, InstanceEnd.ERROR),
                    expected=JetErr.NO_BACKUP,
                )
            reasons += _attempt(lambda: api.backup_end(handle))
        group = evolve(
            self.saver.group,
            state=State.INCOMPLETE,
            truncation=Truncation.NOT_ASKED,
            logs=None,
            deletable_logs=(),
            error="; then ".join(reasons),
        )
        return self._record_or_say(group, Phase.FAILED)

    def _truncate_and_end(self, context: Context) -> SavedGroup:
        """After the seal: whatever happens, the group stays complete."""
        api, handle = context.api, context.handle
        truncates = self.saver.kind.truncates
        failures: list[str] = []
        try:
            if truncates:
                failures += _attempt(lambda: api.backup_truncate_logs(handle))
            # ASSUMED(success-after-failed-truncation): the set is sealed, so InstanceEnd gets
            # SUCCESS even if truncation failed, as a working client (Bacula) does: where the server
            # did truncate and only its answer was lost, its headers must say that it was saved.
            failures += _attempt(lambda: api.backup_instance_end(handle, InstanceEnd.SUCCESS))
        finally:
            failures += _attempt(lambda: api.backup_end(handle))
        group = self.saver.group
        if failures:
            text = "all files are saved, but the server did not confirm the end of the backup: "
            text += "; then ".join(failures)
            if truncates:
                text += "; keep this set, it may hold the only copy of deleted logs"
            return self._record_or_say(evolve(group, error=text), Phase.FAILED)
        if truncates:
            group = evolve(group, truncation=Truncation.DONE)
        return self._record_or_say(group, Phase.DONE)

    def _record(self, group: SavedGroup) -> None:
        self.saver.writer.update(group)
        self.saver.group = group

    def _record_or_say(self, group: SavedGroup, phase: Phase) -> SavedGroup:
        """Record; where the disk refuses, what it said before stands and the error says so."""
        before = self.saver.group
        try:
            if group != before:
                self._record(group)
        except OSError as error:
            known = f"{group.error}; then " if group.error else ""
            text = f"{known}the manifest could not be updated: {explain(error)}"
            group = evolve(group, truncation=before.truncation, error=text)
            phase = Phase.FAILED
        self.saver.group = group
        self.saver.on_progress(Progress(group.name, phase, saved=group.size))
        return group


def _attempt(call: Callable[[], None], expected: JetErr | None = None) -> list[str]:
    """Make a call of the clean-up; what it says if it fails, unless that is expected."""
    try:
        call()
    except EseBackupError as error:
        return [] if expected is not None and error.is_jet(expected) else [explain(error)]
    except OSError as error:
        return [explain(error)]
    return []
