"""What a whole restore must have done: at Complete, at Close, and when success is claimed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eseback.constants import RestoreClose
from eseconform.judge.records import base_name
from eseconform.judge.replay import generation_of
from eseconform.judge.restorefollow import folder_key
from eseconform.judge.restoreledger import (
    AddedDatabase,
    Completion,
    Restore,
    RestoredFile,
    Wanted,
)
from eseconform.judge.restoretalk import Found, RestoreTalk

LISTED_IN_TEXT = 3


def whole_restores(talk: RestoreTalk) -> Iterator[Found]:
    """Everything that is wrong with the restores of a job as wholes."""
    for restore in talk.follower.restores:
        wanted = talk.wanted_by(restore)
        yield from _closing(restore, talk)
        yield from _announcements(restore)
        yield from _file_io(restore, talk)
        if wanted is not None:
            yield from _full_first(restore, wanted, talk)
            yield from _at_complete(restore, wanted, talk)
    yield from _unannounced(talk)
    yield from _in_use(talk)
    if talk.claims_success:
        for group, wanted in talk.wanted.items():
            yield from _success(group, wanted, talk)
        yield from _together(talk)


# --- order of the sets ----------------------------------------------------------------------------


def _full_first(restore: Restore, wanted: Wanted, talk: RestoreTalk) -> Iterator[Found]:
    logs = [file for file in restore.files if file.is_log]
    if restore.resumed or not logs:
        return
    if not restore.databases:
        others = [r for r in talk.restores_of(restore.group) if r.databases]
        name = base_name(logs[0].name)
        if others:
            text = f"{name} goes into a folder of its own, not into that of its full set"
            yield "ESE-RST-FLD-004", text, logs[0].opened_at
        else:
            text = f"{name} is announced in a restore that has no database"
            yield "ESE-RST-SEQ-007", text, logs[0].opened_at
        return
    first = min(database.call for database in restore.databases)
    if logs[0].opened_at < first:
        text = f"{base_name(logs[0].name)} is announced in a restore that has no database yet"
        yield "ESE-RST-SEQ-007", text, logs[0].opened_at
    images = [file.opened_at for file in restore.files if not file.is_log]
    later = [f.opened_at for f in logs if _generation(f, wanted) > wanted.full_high]
    if images and later and min(later) < min(images):
        closed = [call for _, call in restore.closes if min(later) < call < min(images)]
        if closed:
            text = "an incremental set is restored before the full set that it continues"
            yield "ESE-RST-SEQ-007", text, min(later)


def _generation(file: RestoredFile, wanted: Wanted) -> int:
    return generation_of(file.name, wanted.base) or 0


# --- at Complete ----------------------------------------------------------------------------------


def _at_complete(restore: Restore, wanted: Wanted, talk: RestoreTalk) -> Iterator[Found]:
    """Complete says that the files are there: all of them."""
    for completion in restore.completions:
        after = [f for f in restore.files if f.opened_at > completion.call]
        if after and completion.error is None:
            text = f"Complete comes before {_some(after)} was restored"
            yield "ESE-RST-SEQ-010", text, completion.call
        if not restore.resumed:
            yield from _files_at(restore, wanted, completion, after)
        for file in restore.files:
            if file.opened_at < completion.call and not _is_there(file, talk, completion.call):
                text = f"Complete comes before {base_name(file.name)} was written and closed"
                yield "ESE-RST-FIL-011", text, completion.call
        broken_off = [f for f in restore.files if _failed_for_good(f, restore, completion.call)]
        for file in broken_off:
            assert file.error is not None
            name = file.error[1].name
            text = f"Complete comes although writing {base_name(file.name)} failed with {name}"
            yield "ESE-RST-FIL-010", text, completion.call


def _files_at(
    restore: Restore, wanted: Wanted, completion: Completion, after: Sequence[RestoredFile]
) -> Iterator[Found]:
    before = [f for f in restore.files if f.opened_at < completion.call]
    announced = {f.name.casefold() for f in before}
    later = {f.name.casefold() for f in after}
    for database in restore.databases:
        missing = [
            source
            for source, there in zip(database.sources, database.destinations, strict=False)
            if there.casefold() not in announced | later
        ]
        missing += _forgotten_sources(database, wanted)
        if missing:
            text = f"{_names(missing)} of {database.name} was never announced with OpenFile"
            yield "ESE-RST-FIL-001", text, completion.call
    have = {generation_of(f.name, wanted.base) for f in (*before, *after)}
    lacking = [g for g in wanted.generations if g not in have]
    if lacking:
        shown = ", ".join(f"{g:X}" for g in lacking[:LISTED_IN_TEXT])
        more = f" and {len(lacking) - LISTED_IN_TEXT} more" * (len(lacking) > LISTED_IN_TEXT)
        text = f"logs of the sets were never announced with OpenFile: generation {shown}{more}"
        yield "ESE-RST-FIL-002", text, completion.call
    names = {base_name(f.name).casefold() for f in (*before, *after)}
    patches = [p for p in _own_patches(restore, wanted) if base_name(p).casefold() not in names]
    if patches:
        text = f"{_names(patches)} was never announced with OpenFile"
        yield "ESE-RST-FIL-003", text, completion.call


def _is_there(file: RestoredFile, talk: RestoreTalk, before: int) -> bool:
    """Whether a file was written before a call; one that failed is told of elsewhere."""
    if file.error is not None:
        return True
    if file.handle is not None:
        return file.closed_at is not None and file.closed_at < before
    return any(
        folder_key(write.path) == folder_key(file.name)
        and file.opened_at <= write.after_call < before
        and not write.error
        for write in talk.writes
    )


def _forgotten_sources(database: AddedDatabase, wanted: Wanted) -> list[str]:
    """Streams of the backup that AddDatabase was not even told of."""
    known = wanted.database_of(database.sources[0]) if database.sources else None
    told = {source.casefold() for source in database.sources}
    return [s for s in known.streams if s.casefold() not in told] if known is not None else []


def _own_patches(restore: Restore, wanted: Wanted) -> list[str]:
    """Patch files of the databases of this restore."""
    stems = {s.rpartition(".")[0].casefold() for d in restore.databases for s in d.sources[:1]}
    stems = {base_name(stem) for stem in stems}
    return [p for p in wanted.patches if base_name(p).rpartition(".")[0].casefold() in stems]


def _failed_for_good(file: RestoredFile, restore: Restore, before: int) -> bool:
    """A write or close of the file failed, and the file was not restored again."""
    again = [
        other
        for other in restore.files
        if other is not file
        and file.opened_at < other.opened_at < before
        and other.name.casefold() == file.name.casefold()
    ]
    return file.error is not None and file.error[0] < before and not again


# --- files ----------------------------------------------------------------------------------------


def _announcements(restore: Restore) -> Iterator[Found]:
    """Once each, unless something went wrong."""
    seen: dict[str, RestoredFile] = {}
    for file in restore.files:
        first = seen.setdefault(file.name.casefold(), file)
        if first is not file and first.error is None and restore.error is None:
            text = f"{base_name(file.name)} is announced a second time"
            yield "ESE-RST-FIL-005", text, file.opened_at


def _file_io(restore: Restore, talk: RestoreTalk) -> Iterator[Found]:
    for file in restore.files:
        writes = [
            w
            for w in talk.writes
            if folder_key(w.path) == folder_key(file.name) and w.after_call >= file.opened_at
        ]
        name = base_name(file.name)
        if file.handle is not None and writes:
            text = f"{name} is written with file I/O although the server gave a handle for it"
            yield "ESE-RST-FIL-007", text, file.opened_at


def _unannounced(talk: RestoreTalk) -> Iterator[Found]:
    announced: dict[str, int] = {}
    for restore in talk.follower.restores:
        for file in restore.files:
            announced.setdefault(folder_key(file.name), file.opened_at)
    resumed = any(restore.resumed for restore in talk.follower.restores)
    for write in talk.writes:
        at = announced.get(folder_key(write.path), 1 << 62)
        if at > write.after_call and not (resumed and at == 1 << 62):
            when = "before it was announced" if at < 1 << 62 else "and never announced"
            text = f"{base_name(write.path)} is written {when} with OpenFile"
            yield "ESE-RST-FIL-008", text, write.after_call or None


def _in_use(talk: RestoreTalk) -> Iterator[Found]:
    for write in talk.writes:
        if write.in_use:
            text = f"{base_name(write.path)} is written while its database is mounted"
            yield "ESE-RST-USE-001", text, write.after_call or None
    for restore in talk.follower.restores:
        for refused in restore.refused:
            files = {folder_key(s) for s in refused.sources}
            added = any(d.name == refused.name for d in restore.databases)
            tried = [w.after_call for w in talk.writes if folder_key(w.path) in files]
            tried += [f.opened_at for f in restore.files if folder_key(f.name) in files]
            if not added and any(call >= refused.call for call in tried):
                text = f"files of {refused.name} are restored although {refused.error.name} was "
                yield "ESE-RST-USE-002", f"{text}the answer to AddDatabase", refused.call


# --- the end --------------------------------------------------------------------------------------


def _closing(restore: Restore, talk: RestoreTalk) -> Iterator[Found]:
    if not restore.closes:
        return
    flag, call = restore.closes[-1]
    if restore.acknowledged and flag == RestoreClose.ABORT:
        yield "ESE-RST-END-005", f"the restore of {restore.group} succeeded and is aborted", call
    gave_up = restore.error is not None and not talk.claims_success
    if gave_up and not restore.acknowledged and flag == RestoreClose.NORMAL:
        text = f"the restore of {restore.group} has failed and is closed as if it had not"
        yield "ESE-RST-END-004", text, call


def _success(group: str, wanted: Wanted, talk: RestoreTalk) -> Iterator[Found]:
    """What must have happened when the client claims success."""
    restores = talk.restores_of(group)
    done = {d.name for r in restores for d in r.databases if _completed(r)}
    resumed = any(r.resumed and _completed(r) for r in restores)
    missing = [d.name for d in wanted.databases if d.name not in done]
    if missing and not resumed:
        text = f"success is claimed, but no Complete was called for {', '.join(missing)}"
        yield "ESE-RST-CMP-001", f"{text} of {group}", None
    for restore in restores:
        for completion in restore.completions:
            unseen = completion.error is None and completion.seen_ended is None
            if unseen and not completion.waited:
                text = "success is claimed without a look at how the recovery ended, which"
                yield "ESE-RST-CMP-002", f"{text} Complete did not wait for", completion.call


def _completed(restore: Restore) -> bool:
    return any(completion.error is None for completion in restore.completions)


def _together(talk: RestoreTalk) -> Iterator[Found]:
    """A job that asks for all groups at once."""
    if not talk.task.parallel or len(talk.follower.restores) < 2:
        return
    begun = max(r.begun_at for r in talk.follower.restores)
    ended = min(r.closes[-1][1] if r.closes else 1 << 62 for r in talk.follower.restores)
    if ended < begun:
        text = "the storage groups are restored one after the other, not at the same time"
        yield "ESE-RST-PAR-002", text, begun


def _some(files: Sequence[RestoredFile]) -> str:
    return _names([file.name for file in files])


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(base_name(name) for name in names[:LISTED_IN_TEXT])
    more = len(names) - LISTED_IN_TEXT
    return f"{shown} and {more} more" if more > 0 else shown
