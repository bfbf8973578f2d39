"""The protocol axis of a restore: were the calls legal, complete, in order, with legal arguments?

Single calls are held against the order table as they come (:mod:`.restorefollow`); here are their
arguments, and in :mod:`.restorewhole` what a whole restore must have done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from eseback.constants import ANNOTATIONS, RestoreClose, RestoreComplete
from eseback.restoreorder import RESTORE_STARTS
from eseconform.judge import records
from eseconform.judge.manners import FAILURES_MAX
from eseconform.judge.records import CallRecord, what
from eseconform.judge.replay import PATCH_FILE, generation_of
from eseconform.judge.restorefollow import RestoreFollower, folder_key
from eseconform.judge.restoreledger import Restore, Wanted
from eseconform.judge.restoretalk import Found, RestoreTalk
from eseconform.judge.restorewhole import whole_restores
from eseconform.requirements import requirements
from eseconform.verdicts import Finding, broken

_KNOWN_FLAGS = int(
    RestoreComplete.ATTACH_DBS | RestoreComplete.NOWAIT | RestoreComplete.KEEP_LOG_FILES
)


def judge_restoring(talk: RestoreTalk) -> list[Finding]:
    """Everything to be said about the calls of a restore job, in the order of the transcript."""
    rules = requirements()
    found = [
        *((b.requirement, b.text, b.call) for b in talk.follower.breaches),
        *_arguments(talk),
        *_folders(talk),
        *whole_restores(talk),
        *_patience(talk.follower),
    ]
    findings = [broken(rules[rule], text, call=call, job=talk.job) for rule, text, call in found]
    return sorted(findings, key=lambda f: f.call if f.call is not None else 1 << 62)


# --- arguments ------------------------------------------------------------------------------------


def _arguments(talk: RestoreTalk) -> Iterator[Found]:
    for record in talk.follower.records:
        match record.method:
            case "restore_open" | "restore_reopen":
                yield from _open_arguments(record, talk)
            case "restore_add_database" | "restore_add_database_ns":
                yield from _database_arguments(record, talk)
            case "restore_open_file" if records.text(record, "file_name"):
                yield from _file_arguments(record, talk)
            case "restore_complete":
                yield from _complete_arguments(record, talk)
            case "restore_close":
                flag = record.arguments.get("flag")
                if flag not in tuple(RestoreClose):
                    text = f"RestoreClose gets {flag}, neither NORMAL nor ABORT"
                    yield "ESE-RST-ARG-011", text, record.number


def _open_arguments(record: CallRecord, talk: RestoreTalk) -> Iterator[Found]:
    server, annotation = records.text(record, "server"), record.arguments.get("annotation")
    name, task = what(record), talk.task
    if server.casefold() != task.server.casefold():
        text = f"{name} names {server!r}, the job is about {task.server!r}"
        yield "ESE-RST-ARG-001", text, record.number
    # eseutil reopens without an annotation: the environment knows it.
    if annotation is not None or record.method == "restore_open":
        if annotation not in ANNOTATIONS:
            text = f"{name} names {annotation!r}, which is no documented service"
            yield "ESE-RST-ARG-001", text, record.number
        elif annotation != task.annotation:
            text = f"{name} names {annotation!r}, the job is about {task.annotation!r}"
            yield "ESE-RST-ARG-001", text, record.number
    source = records.text(record, "source_instance")
    if record.method == "restore_open" and source not in task.groups:
        text = f"{name} names {source!r} as its source, which the job is not about"
        yield "ESE-RST-ARG-002", text, record.number


def _restore_of(record: CallRecord, talk: RestoreTalk) -> Restore | None:
    context = talk.follower.contexts.get(records.number(record, "context"))
    return context.restore if context is not None else None


def _database_arguments(record: CallRecord, talk: RestoreTalk) -> Iterator[Found]:
    restore = _restore_of(record, talk)
    wanted = talk.wanted_by(restore) if restore is not None else None
    if wanted is None:
        return
    sources = [str(s) for s in record.arguments.get("source_streams") or ()]
    name, guid = records.text(record, "display_name"), str(record.arguments.get("guid", ""))
    database = wanted.database_of(sources[0]) if sources else None
    if database is None:
        yield from _strange_database(record, talk, wanted, name, sources)
        return
    if name != database.name:
        text = f"AddDatabase calls {database.name!r} {name!r}"
        yield "ESE-RST-ARG-013", text, record.number
    if database.guid and guid.casefold() != database.guid.casefold():
        text = f"AddDatabase gives {database.name} the GUID {guid}, it was {database.guid}"
        yield "ESE-RST-ARG-003", text, record.number
    if sources != list(database.streams):
        text = f"AddDatabase names {len(sources)} source files of {database.name}, not the "
        yield "ESE-RST-ARG-004", f"{text}{len(database.streams)} of the backup", record.number
    if record.method == "restore_add_database_ns":
        there = record.arguments.get("destination_streams") or ()
        endings = [_ending(str(s)) for s in there] == [_ending(s) for s in sources]
        if len(there) != len(sources) or not endings:
            text = f"AddDatabaseNS gives {database.name} destinations that don't match its sources"
            yield "ESE-RST-ARG-014", text, record.number


def _strange_database(
    record: CallRecord, talk: RestoreTalk, wanted: Wanted, name: str, sources: Sequence[str]
) -> Iterator[Found]:
    """A database that the sets of this group don't hold: whose is it?"""
    if name in wanted.all_names and not any(d.name == name for d in wanted.databases):
        text = f"AddDatabase is called for {name}, which the job is not about"
        yield "ESE-RST-FIL-009", text, record.number
        return
    for other in talk.wanted.values():
        if sources and other is not wanted and other.database_of(sources[0]) is not None:
            text = f"{name} of {other.group} is added to the restore of {wanted.group}"
            yield "ESE-RST-PAR-001", text, record.number
            return
    text = f"AddDatabase names source files of {name!r} that are not those of the backup"
    yield "ESE-RST-ARG-004", text, record.number


def _ending(name: str) -> str:
    return name.rpartition(".")[2].casefold()


def _file_arguments(record: CallRecord, talk: RestoreTalk) -> Iterator[Found]:
    restore = _restore_of(record, talk)
    wanted = talk.wanted_by(restore) if restore is not None else None
    if restore is None or wanted is None:
        return
    name = records.text(record, "file_name")
    if name.lower().endswith((".log", PATCH_FILE)):
        folder, _, tail = name.rpartition("\\")
        if restore.folder is not None and folder_key(folder) != folder_key(restore.folder):
            text = f"{what(record)} lies in {folder or 'no folder'}, not in {restore.folder}"
            yield "ESE-RST-ARG-007", text, record.number
        if not wanted.files_named(tail) and not _in_range(tail, wanted):
            text = f"{what(record)} is in none of the sets that the job is about"
            yield "ESE-RST-FIL-009", text, record.number
        return
    before = [d for d in restore.databases if d.call < record.number]
    if not before and not restore.resumed:
        text = f"{what(record)} comes before a database was added"
        yield "ESE-RST-SEQ-002", text, record.number
    elif not restore.resumed and restore.source_of(name) is None:
        text = f"{what(record)} is no place that AddDatabase told"
        yield "ESE-RST-ARG-008", text, record.number


def _in_range(name: str, wanted: Wanted) -> bool:
    """Whether a log belongs to the sets, even if its bytes are lost."""
    return generation_of(name, wanted.base) in wanted.generations


def _complete_arguments(record: CallRecord, talk: RestoreTalk) -> Iterator[Found]:
    flags, task = records.number(record, "flags"), talk.task
    if flags < 0 or flags & ~_KNOWN_FLAGS:
        yield "ESE-RST-ARG-010", f"Complete gets the flags {flags:#x}", record.number
    paths = [records.text(record, name) for name in ("checkpoint_path", "log_path")]
    # The folders of a group that doesn't run name it as the one that is played forward from.
    by_paths = all(talk.is_production(path) for path in paths) and task.play_forward
    for path in paths:
        if talk.is_production(path) and not by_paths:
            text = f"Complete is to recover in {path}, where a storage group works"
            yield "ESE-RST-ARG-009", text, record.number
            break
    target = records.text(record, "target_instance") or None
    if target is not None and not task.play_forward:
        text = f"Complete names {target!r} to play forward, which nobody asked for"
        yield "ESE-RST-ARG-012", text, record.number
    elif target is None and task.play_forward and not by_paths:
        text = "Complete names no target to play forward, which the job asks for"
        yield "ESE-RST-ARG-012", text, record.number
    elif target is not None and target not in (*task.groups, task.target):
        text = f"Complete names {target!r} to play forward, which the job is not about"
        yield "ESE-RST-ARG-012", text, record.number
    mounts = bool(flags & RestoreComplete.ATTACH_DBS)
    if mounts != task.mount:
        how = "has the databases mounted" if mounts else "does not have the databases mounted"
        text = f"Complete {how}, against the job"
        yield "ESE-RST-ARG-015", text, record.number


# --- folders --------------------------------------------------------------------------------------


def _folders(talk: RestoreTalk) -> Iterator[Found]:
    """Where restores work: not where a group works, and not two at one place."""
    restores = talk.follower.restores
    for index, restore in enumerate(restores):
        if restore.folder is None:
            continue
        if talk.is_production(restore.folder):
            text = f"the restore of {restore.group} works in {restore.folder}, a storage group's"
            yield "ESE-RST-FLD-002", f"{text} own folder", restore.begun_at
        key = folder_key(restore.folder)
        if restore.resumed or restore.chosen:
            continue
        if key in talk.used_folders:
            text = f"{restore.folder} is the folder of an earlier restore"
            yield "ESE-RST-FLD-003", text, restore.begun_at
        for other in restores[:index]:
            if other.folder is None or folder_key(other.folder) != key:
                continue
            ended = other.closes[-1][1] if other.closes else 1 << 62
            lost = talk.follower.lost_at is not None and talk.follower.lost_at < restore.begun_at
            if ended > restore.begun_at and not lost:
                text = f"{restore.folder} serves two restores at the same time"
                yield "ESE-RST-FLD-001", text, restore.begun_at
            elif other.acknowledged or other.group != restore.group:
                text = f"{restore.folder} is the folder of an earlier restore"
                yield "ESE-RST-FLD-003", text, restore.begun_at


# --- patience -------------------------------------------------------------------------------------


def _patience(follower: RestoreFollower) -> Iterator[Found]:
    failures: Counter[str] = Counter()
    allowed = (*RESTORE_STARTS, "restore_load_environment", "restore_close", "restore_close_file")
    for record in follower.records:
        lost = follower.lost_at is not None and record.number > follower.lost_at
        if lost and record.method.startswith("restore_") and record.method not in allowed:
            context = follower.contexts.get(records.number(record, "context"))
            if context is not None and context.lost:
                text = f"{what(record)} is tried on a context whose connection broke"
                yield "ESE-RST-RTY-001", text, record.number
        if record.error is not None:
            failures[record.method] += 1
            if failures[record.method] == FAILURES_MAX + 1:
                text = f"{what(record)} fails again and again: {FAILURES_MAX + 1} times so far"
                yield "ESE-RST-RTY-002", text, record.number
