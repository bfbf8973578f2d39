"""The protocol axis: were the calls of a job legal, complete, in order, with legal arguments?

Two kinds of rules. A single call is held against the order table as it comes (:mod:`.follow`).
What a whole backup must have done is checked here: at TruncateLogs, at InstanceEnd(SUCCESS), and
when the client claims success.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import frozen

from eseback.constants import ANNOTATIONS, BackupType, InstanceEnd
from eseback.order import BACKUP_ORDER, BACKUP_ORDER_2000
from eseconform.judge import records
from eseconform.judge.follow import Follower, OrderTable
from eseconform.judge.ledger import GroupBackup
from eseconform.judge.manners import judge_manners
from eseconform.judge.records import base_name
from eseconform.judge.replay import PATCH_FILE
from eseconform.requirements import Requirement, requirements
from eseconform.task import Claim, Outcome, Task
from eseconform.verdicts import Axis, Finding, Verdict, broken
from esesim.topology import PROFILES
from esesim.transcript import CallRecord

LISTED_IN_TEXT = 3


@frozen
class Conversation:
    """One job's transcript, followed to its end.

    Attributes:
        task: what the client was asked.
        claim: what it answered; None when it crashed.
        follower: what its calls came to.
        job: index of the job in its case.
    """

    task: Task
    claim: Claim | None
    follower: Follower
    job: int = 0

    @property
    def claims_success(self) -> bool:
        """Whether the client says that all is saved."""
        return self.claim is not None and self.claim.outcome is Outcome.SUCCESS

    def backups_of(self, group: str) -> list[GroupBackup]:
        """Every backup of a storage group, in order."""
        return [b for b in self.follower.backups if b.group == group]


def order_of(profile: str) -> OrderTable:
    """The order table of a version of the server, by the name of its profile."""
    return BACKUP_ORDER_2000 if PROFILES[profile].any_failure_cancels else BACKUP_ORDER


def follow(
    transcript: Iterable[CallRecord],
    databases: Iterable[str] = (),
    order: OrderTable = BACKUP_ORDER,
) -> Follower:
    """Walk through a transcript of a server with this order table; the job is about these
    databases only, or about all.
    """
    follower = Follower(only=frozenset(databases), order=order)
    for record in transcript:
        follower.feed(record)
    return follower


def judge_protocol(talk: Conversation) -> list[Finding]:
    """Everything to be said about a job's calls, in the order of the transcript."""
    judge = _Judge(talk, requirements())
    findings = [
        *judge.single_calls(),
        *judge.arguments(),
        *(f for backup in talk.follower.backups for f in judge.backup(backup)),
        *judge.success(),
        *judge_manners(talk.follower, talk.task, talk.job),
    ]
    return sorted(findings, key=lambda f: f.call if f.call is not None else 1 << 62)


@frozen
class _Judge:
    talk: Conversation
    rules: Mapping[str, Requirement]

    def _broken(self, rule: str, text: str, call: int | None = None) -> Finding:
        return broken(self.rules[rule], text, call=call, job=self.talk.job)

    def single_calls(self) -> Iterator[Finding]:
        """Calls that the order table forbids."""
        for breach in self.talk.follower.breaches:
            yield self._broken(breach.requirement, breach.text, breach.call)

    def arguments(self) -> Iterator[Finding]:
        """Annotation and backup type."""
        task = self.talk.task
        for prepare in self.talk.follower.prepares:
            annotation = records.text(prepare, "annotation")
            if annotation not in ANNOTATIONS:
                text = f"Prepare names {annotation!r}, which is no documented service"
                yield self._broken("ESE-BKP-ARG-001", text, prepare.number)
            elif annotation != task.annotation:
                text = f"Prepare names {annotation!r}, the job is about {task.annotation!r}"
                yield self._broken("ESE-BKP-ARG-001", text, prepare.number)
        for backup in self.talk.follower.backups:
            yield from self._backup_type(backup)

    def _backup_type(self, backup: GroupBackup) -> Iterator[Finding]:
        full = self.talk.task.kind.has_databases
        if full and backup.backup_type is BackupType.FULL_WITH_ALL_LOGS:
            yield Finding(
                Axis.PROTOCOL,
                Verdict.INFO,
                "a full backup with type 3 (with all logs), whose meaning is not documented",
                "ESE-BKP-ARG-003",
                backup.started_at,
                self.talk.job,
            )
        elif full != backup.is_full:
            kind, name = self.talk.task.kind.value, backup.backup_type.name
            text = f"Setup starts a backup of type {name} in a job of kind {kind}"
            yield self._broken("ESE-BKP-ARG-003", text, backup.started_at)

    # --- a whole backup --------------------------------------------------------------------------

    def backup(self, backup: GroupBackup) -> Iterator[Finding]:
        """What a backup must have done before it truncates, and before it ends as a success."""
        if backup.truncated_at is not None and not self.talk.task.kind.truncates:
            kind = self.talk.task.kind.value
            text = f"TruncateLogs for {backup.group} in a job of kind {kind}, which must not"
            yield self._broken("ESE-BKP-TRN-005", text, backup.truncated_at)
        if backup.truncated_at is not None:
            yield from self._before_truncation(backup, backup.truncated_at)
        if backup.end_flag == InstanceEnd.SUCCESS:
            yield from self._before_success(backup, backup.ended_at)

    def _before_truncation(self, backup: GroupBackup, at: int) -> Iterator[Finding]:
        unread = [log for log in backup.logs or () if not backup.complete_before(log, at)]
        if unread:
            text = (
                f"TruncateLogs for {backup.group} although {_some(unread)} of its "
                f"{len(backup.logs or ())} listed logs had not been read to the end"
            )
            yield self._broken("ESE-BKP-TRN-001", text, at)
        missing = [
            stream
            for streams in backup.databases.values()
            for stream in streams
            if backup.is_full and not backup.complete_before(stream, at)
        ]
        if missing:
            text = f"TruncateLogs for {backup.group} although not all of {_some(missing)} was read"
            yield self._broken("ESE-BKP-TRN-002", text, at)

    def _before_success(self, backup: GroupBackup, at: int | None) -> Iterator[Finding]:
        if backup.logs is None:
            text = f"{backup.group} is ended with SUCCESS, but its logs were never listed"
            if not any(b.requirement == "ESE-BKP-LOG-001" for b in self.talk.follower.breaches):
                yield self._broken("ESE-BKP-LOG-001", text, at)
        for log in backup.logs or ():
            if not backup.attempts_at(log):
                patch = log.lower().endswith(PATCH_FILE)
                text = f"{base_name(log)} of {backup.group} was listed, but never opened"
                yield self._broken("ESE-BKP-LOG-003" if patch else "ESE-BKP-LOG-002", text, at)
            elif not backup.complete_attempt(log):
                yield self._unfinished(backup, log, at)
        unread = [
            stream
            for streams in backup.databases.values()
            for stream in streams
            if backup.is_full and not backup.complete_attempt(stream)
        ]
        if unread:
            text = f"{backup.group} is ended with SUCCESS without all of {_some(unread)}"
            yield self._broken("ESE-BKP-END-007", text, at)
        if backup.left_open is not None:
            name = base_name(backup.left_open.name)
            text = f"{backup.group} is ended with SUCCESS while {name} is still open"
            yield self._broken("ESE-BKP-READ-004", text, at)

    def _unfinished(self, backup: GroupBackup, name: str, at: int | None) -> Finding:
        last = backup.attempts_at(name)[-1]
        rule = "ESE-BKP-READ-003" if last.error is not None else "ESE-BKP-READ-002"
        text = f"{base_name(name)} of {backup.group} was not read to its end ({last.shortfall})"
        return self._broken(rule, text, last.closed_at or at)

    # --- what a success must have done -----------------------------------------------------------

    def success(self) -> Iterator[Finding]:
        """What must have happened when the client claims success."""
        if not self.talk.claims_success:
            return
        for group in self.talk.task.groups:
            backups = self.talk.backups_of(group)
            if not backups:
                text = f"success is claimed, but no backup of {group} was started"
                yield self._broken("ESE-BKP-END-001", text)
                continue
            yield from self._databases(backups[-1])
            yield from self._ending(backups[-1])

    def _databases(self, backup: GroupBackup) -> Iterator[Finding]:
        if not self.talk.task.kind.has_databases:
            return
        for database, streams in backup.databases.items():
            for stream in streams:
                if not backup.attempts_at(stream):
                    text = f"{base_name(stream)} of {database} was never opened"
                    yield self._broken("ESE-BKP-READ-001", text, backup.ended_at)
                elif not backup.complete_attempt(stream):
                    yield self._unfinished(backup, stream, backup.ended_at)

    def _ending(self, backup: GroupBackup) -> Iterator[Finding]:
        if backup.truncated_at is None and self.talk.task.kind.truncates:
            text = f"success is claimed, but the logs of {backup.group} were not truncated"
            yield self._broken("ESE-BKP-TRN-003", text, backup.ended_at)
        if backup.end_flag != InstanceEnd.SUCCESS and self.talk.follower.lost_at is None:
            how = "with ERROR" if backup.end_flag is not None else "at all"
            denial = "was ended" if backup.end_flag is not None else "was not ended"
            text = f"success is claimed, but the backup of {backup.group} {denial} {how}"
            yield self._broken("ESE-BKP-END-001", text, backup.ended_at)


def _some(names: list[str]) -> str:
    """A few names for a sentence."""
    shown = ", ".join(base_name(name) for name in names[:LISTED_IN_TEXT])
    more = len(names) - LISTED_IN_TEXT
    return f"{shown} and {more} more" if more > 0 else shown
