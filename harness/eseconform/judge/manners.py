"""Rules about how a client goes about its work: arguments, reading, clean-up, patience.

None of them needs the order table; each looks at the calls of one job, or at one of its backups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from eseconform.judge import records
from eseconform.judge.follow import Follower
from eseconform.judge.ledger import Attempt, GroupBackup
from eseconform.judge.records import CallRecord, base_name, what
from eseconform.requirements import requirements
from eseconform.task import Task
from eseconform.verdicts import Finding, broken

READS_AT_END_MAX = 3
"""Reads that bring nothing, of one file: some clients ask once more to be sure."""
FAILURES_MAX = 50
"""Calls of one kind that may fail in one job before it looks like hammering."""
_AFTER_LOSS = ("backup_close_file", "backup_instance_end", "backup_end")
"""What a client may still try on a connection that broke: it can't know how dead it is."""


def judge_manners(follower: Follower, task: Task, job: int) -> list[Finding]:
    """Everything that these rules say about a job."""
    found = [
        *_discovery(follower, task),
        *_arguments(follower, task),
        *_files(follower),
        *_patience(follower),
        *(f for backup in follower.backups for f in _backup(backup, follower)),
    ]
    rules = requirements()
    return [broken(rules[rule], text, call=call, job=job) for rule, text, call in found]


Found = tuple[str, str, int | None]


def _discovery(follower: Follower, task: Task) -> Iterator[Found]:
    """Names of computers that nobody told the client."""
    known = {task.server.casefold()}
    for record in follower.records:
        if record.method == "get_nodes":
            name = records.text(record, "computer")
            if name and name.casefold() not in known:
                yield "ESE-BKP-DISC-001", f"GetNodes asks {name!r}, which is no node", record.number
            if record.error is None:
                known |= set(_names(record.result))
        elif record.method == "get_registered":
            name = records.text(record, "server")
            if name.casefold() not in known:
                text = f"GetRegistered asks {name!r}, which is no node"
                yield "ESE-BKP-DISC-002", text, record.number


def _names(node: dict[str, object]) -> Iterator[str]:
    yield str(node["name"]).casefold()
    children = node["children"]
    for child in children if isinstance(children, list) else ():
        yield from _names(child)


def _arguments(follower: Follower, task: Task) -> Iterator[Found]:
    for record in follower.prepares:
        server = records.text(record, "server")
        if server.casefold() != task.server.casefold():
            text = f"Prepare names {server!r}, the job is about {task.server!r}"
            yield "ESE-BKP-ARG-010", text, record.number
    for record in follower.records:
        if record.method == "backup_read_file" and records.number(record, "buffer") == 0:
            yield "ESE-BKP-ARG-007", "ReadFile gets a buffer of 0 bytes", record.number
        elif record.method == "backup_open_file":
            yield from _open_arguments(record, follower)


def _open_arguments(record: CallRecord, follower: Follower) -> Iterator[Found]:
    sections, hint = record.arguments.get("sections", 1), record.arguments.get("read_hint", 1)
    if sections != 1:
        yield "ESE-BKP-ARG-012", f"{what(record)} asks for {sections} sections", record.number
    if not isinstance(hint, int) or hint <= 0:
        yield "ESE-BKP-ARG-013", f"{what(record)} gives {hint} as its read size", record.number
    name = records.text(record, "file_name")
    context = follower.contexts.get(records.number(record, "context"))
    if context is None or context.backup is None:
        return
    listed = {*_streams(context.backup), *context.backup.others, *(context.backup.logs or ())}
    alike = next((each for each in listed if each.casefold() == name.casefold()), name)
    if alike != name:
        text = f"OpenFile spells {alike!r} as {name!r}"
        yield "ESE-BKP-ARG-011", text, record.number


def _streams(backup: GroupBackup) -> Iterator[str]:
    for streams in backup.databases.values():
        yield from streams


def _files(follower: Follower) -> Iterator[Found]:
    for backup in follower.backups:
        for name in backup.others:
            for attempt in backup.attempts_at(name):
                text = f"{base_name(name)} is read, which the job is not about"
                yield "ESE-BKP-PART-001", text, attempt.opened_at
        for attempt in backup.attempts:
            yield from _reading(attempt)
        yield from _copied_twice(backup)
        yield from _interleaved(backup)


def _reading(attempt: Attempt) -> Iterator[Found]:
    name = base_name(attempt.name)
    if attempt.read_after_error is not None:
        text = f"{name} is read on after a failed read, without being opened again"
        yield "ESE-BKP-READ-006", text, attempt.read_after_error
    if attempt.reads_at_end > READS_AT_END_MAX:
        text = f"{name} is asked {attempt.reads_at_end} times for more after its end"
        yield "ESE-BKP-READ-008", text, attempt.closed_at


def _copied_twice(backup: GroupBackup) -> Iterator[Found]:
    done: set[str] = set()
    for attempt in backup.attempts:
        key = attempt.name.casefold()
        if key in done and backup.error is None:
            text = f"{base_name(attempt.name)} is opened again although it was read to its end"
            yield "ESE-BKP-READ-007", text, attempt.opened_at
        if attempt.complete and attempt.closed_at is not None:
            done.add(key)


def _interleaved(backup: GroupBackup) -> Iterator[Found]:
    """One database after the other: its files are read without those of another in between."""
    owner = {s.casefold(): name for name, streams in backup.databases.items() for s in streams}
    left: set[str] = set()
    current: str | None = None
    for attempt in backup.attempts:
        database = owner.get(attempt.name.casefold())
        if database is None or database == current:
            continue
        if database in left and backup.error is None:
            text = (
                f"{base_name(attempt.name)} of {database} is read after files of another database"
            )
            yield "ESE-BKP-READ-005", text, attempt.opened_at
        if current is not None:
            left.add(current)
        current = database


def _backup(backup: GroupBackup, follower: Follower) -> Iterator[Found]:
    if backup.truncated_at is not None:
        for attempt in backup.attempts:
            if attempt.opened_at > backup.truncated_at:
                text = f"{base_name(attempt.name)} is opened after TruncateLogs"
                yield "ESE-BKP-TRN-007", text, attempt.opened_at
    if backup.truncations > 1:
        text = f"TruncateLogs succeeds {backup.truncations} times for {backup.group}"
        yield "ESE-BKP-TRN-008", text, backup.truncated_at
    forgotten = backup.end_flag is None and backup.ended_at is not None
    # After an error the server may have ended the backup; then there is nothing left to end.
    if forgotten and follower.lost_at is None and backup.error is None:
        text = f"End comes without an InstanceEnd for {backup.group}: the server counts an ERROR"
        yield "ESE-BKP-END-006", text, backup.ended_at


def _patience(follower: Follower) -> Iterator[Found]:
    failures: Counter[str] = Counter()
    for record in follower.records:
        lost = follower.lost_at is not None and record.number > follower.lost_at
        if (
            lost
            and record.method.startswith("backup_")
            and record.method
            not in (
                *_AFTER_LOSS,
                "backup_prepare",
            )
        ):
            text = f"{what(record)} is tried on a context whose connection broke"
            yield "ESE-BKP-RTY-001", text, record.number
        if record.error is not None:
            failures[record.method] += 1
            if failures[record.method] == FAILURES_MAX + 1:
                text = f"{what(record)} fails again and again: {FAILURES_MAX + 1} times so far"
                yield "ESE-BKP-RTY-002", text, record.number
