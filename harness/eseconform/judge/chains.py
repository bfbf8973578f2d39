"""Chains of backup sets: which saved files belong together, and what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

from eseconform.judge.ledger import GroupBackup
from eseconform.judge.protocol import Conversation
from eseconform.judge.replay import PATCH_FILE, Chain, SavedDatabase, generation_of
from eseconform.judge.setcheck import SetFiles, differences, sort_out
from esesim.engine.inspect import Rows


def nothing_noted(edb: str, generation: int | None) -> Rows:
    """Nobody noted what was committed."""
    raise LookupError(f"nobody noted what {edb} held")


@frozen
class JobRecord:
    """One job, with what it left on the server's log disks.

    Attributes:
        talk: task, claim and calls.
        deleted: closed generations that were there before the job and not after it, by group.
        must_succeed: nothing stood in the client's way.
        committed: rows of a database (.edb name) that were committed when a generation was closed,
            as they were known after the job.
    """

    talk: Conversation
    deleted: Mapping[str, frozenset[int]] = field(factory=dict)
    must_succeed: bool = True
    committed: Callable[[str, int | None], Rows] = nothing_noted


def kept_generations(records: Sequence[JobRecord], group: str, base: str) -> frozenset[int]:
    """Log generations that the sets of these jobs hold, or that a full set makes unnecessary."""
    kept: set[int] = set()
    for record in records:
        files = set_files(record, group)
        if files is None:
            continue
        bad = {difference.name for difference in differences(files)}
        good = {name for name in files.files if name not in bad}
        kept |= _generations(good, base)
        listed = _generations(files.backup.logs or (), base)
        images = {s for streams in files.backup.databases.values() for s in streams}
        if files.backup.is_full and listed and images <= good:
            kept |= set(range(min(listed)))
    return frozenset(kept)


def _generations(names: Iterable[str], base: str) -> set[int]:
    return {g for name in names if (g := generation_of(name, base)) is not None}


def set_files(record: JobRecord, group: str) -> SetFiles | None:
    """What a job's claim holds of a group; None when the group was not backed up."""
    backups = record.talk.backups_of(group)
    if not backups or record.talk.claim is None:
        return None
    return sort_out(record.talk.claim.files, backups[-1])


def breaks_chains(record: JobRecord, group: str) -> bool:
    """Whether a job truncated that must not: the server takes it for a link of the chain."""
    kind = record.talk.task.kind
    truncated = any(b.truncated_at is not None for b in record.talk.backups_of(group))
    return truncated and not kind.truncates


def is_flawless(record: JobRecord, group: str) -> bool:
    """Whether the server called the backup a success, the set holds all that it sent, and no call
    was out of order.
    """
    files = set_files(record, group)
    return (
        files is not None
        and record.talk.claims_success
        and not record.talk.follower.breaches
        and files.backup.is_full == record.talk.task.kind.has_databases
        and files.backup.success_acknowledged
        and not files.missing
        and all(_read_entirely(files.backup, name) for name in files.files)
        and next(differences(files), None) is None
    )


def _read_entirely(backup: GroupBackup, name: str) -> bool:
    attempt = backup.complete_attempt(name)
    return attempt is not None and attempt.error is None and attempt.received == attempt.size


def assemble(sets: Sequence[SetFiles], base: str) -> Chain | None:
    """One chain of what several sets hold of a group; None when no log was ever listed."""
    listed = _generations((n for files in sets for n in files.backup.logs or ()), base)
    if not listed:
        return None
    full = sets[0]
    databases = tuple(
        SavedDatabase(name, streams) for name, streams in full.backup.databases.items()
    )
    streams = {s for database in databases for s in database.streams}
    return Chain(
        databases=databases,
        images={n: f.path for n, f in full.files.items() if n in streams and f.path is not None},
        logs=dict(_logs(sets, base)),
        gen_low=min(listed),
        gen_high=max(listed),
    )


def _logs(sets: Sequence[SetFiles], base: str) -> Iterator[tuple[str, Path]]:
    for files in sets:
        for name, file in files.files.items():
            wanted = generation_of(name, base) is not None or name.lower().endswith(PATCH_FILE)
            if wanted and file.path is not None:
                yield name, file.path
