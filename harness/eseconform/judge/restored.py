"""The data and honesty axes of a restore: is what came back what it should be, and what is claimed?

It is measured: the databases were mounted, their rows read and held against what the server's users
had committed. What the client was not asked to touch is held against what it was before.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from eseconform.judge.data import NAMES_SHOWN_MAX, DataResult, GroupTruth
from eseconform.judge.records import base_name
from eseconform.judge.replay import PATCH_FILE
from eseconform.judge.restorefollow import folder_key
from eseconform.judge.restoreledger import Restore, RestoredFile, Wanted
from eseconform.judge.restoretalk import RestoreTalk
from eseconform.requirements import requirements
from eseconform.verdicts import broken
from esesim.engine.inspect import Rows
from esesim.journal import differences as row_differences

COMPARE_BYTES = 1 << 20
NO_ROWS: Rows = {}


@frozen
class StoreState:
    """A store of the server before or after a job.

    Attributes:
        group, store: its names.
        streams: Windows paths of its files.
        mounted: whether it is mounted.
        digest: of its files; empty when there are none. Only told while it is not mounted.
    """

    group: str
    store: str
    streams: tuple[str, ...]
    mounted: bool
    digest: str


@frozen
class RestoredStore:
    """A database after a restore that is claimed to have succeeded.

    Attributes:
        name: display name at backup time.
        edb: name of the .edb at backup time.
        problem: why it can't be mounted or read, in words; empty when it can.
        rows: what it holds.
    """

    name: str
    edb: str
    problem: str = ""
    rows: Rows = NO_ROWS


@frozen
class Promise:
    """What the databases of a storage group should hold afterwards.

    Attributes:
        generation: the last generation of the chain; None when played forward.
        rows: rows of a database by the name of its .edb: at a generation, or (None) now.
    """

    generation: int | None
    rows: Callable[[str, int | None], Rows]


@frozen
class Circumstances:
    """What the judge is told about a restore beside its calls.

    Attributes:
        promises: by storage group.
        restored: the databases afterwards, by storage group; none where a failure is claimed.
        before, after: the stores of the server.
        targets: streams (as :func:`folder_key` gives them) that the job is about.
        must_succeed: nothing stands in the client's way.
        hopeless: nothing but a failure is honest.
        own: the client restores what it saved, after the jobs of a case.
        sets_changed: files of the sets that are no longer what they were.
    """

    promises: Mapping[str, Promise]
    restored: Mapping[str, Sequence[RestoredStore]]
    before: Sequence[StoreState]
    after: Sequence[StoreState]
    targets: frozenset[str]
    must_succeed: bool = True
    hopeless: bool = False
    own: bool = False
    sets_changed: Sequence[str] = ()


def judge_restored(talk: RestoreTalk, facts: Circumstances) -> DataResult:
    """Judge what a restore left on the server, and what the client says about it."""
    truth = {group: GroupTruth() for group in talk.task.groups}
    found = [*_outcome(talk, facts), *_bytes(talk), *_others(talk, facts)]
    if talk.claims_success:
        for group, outcome in truth.items():
            found += _measure(group, outcome, talk, facts)
    found += _honesty(talk, facts, truth)
    rules = requirements()
    return DataResult(
        [broken(rules[r], text, call=c, job=talk.job, critical=x) for r, text, c, x in found],
        truth,
    )


_Found = tuple[str, str, int | None, bool]
"""Rule, words, number of the call, whether it is critical."""


def _outcome(talk: RestoreTalk, facts: Circumstances) -> Iterator[_Found]:
    if talk.claims_success or not facts.must_succeed:
        return
    reason = (talk.claim.reason if talk.claim is not None else "") or "no reason"
    if facts.own:
        text = f"a set that was called good is not restored by its own client: {reason}"
        yield "ESE-RST-DATA-008", text, None, False
    else:
        text = f"the client gave up although nothing stood in its way: {reason}"
        yield "ESE-RST-DATA-003", text, None, False


# --- rows -----------------------------------------------------------------------------------------


def _measure(
    group: str, outcome: GroupTruth, talk: RestoreTalk, facts: Circumstances
) -> Iterator[_Found]:
    promise, wanted = facts.promises.get(group), talk.wanted.get(group)
    outcome.measured = True
    if promise is None or wanted is None:
        outcome.reason = f"the sets hold nothing of {group}"
        return
    rows = 0
    found = {store.edb: store for store in facts.restored.get(group, ())}
    for database in wanted.databases:
        store = found.get(database.streams[0])
        if store is None:
            problem = f"{database.name} was not restored"
        elif store.problem:
            problem = f"{database.name} {store.problem}"
        else:
            right = promise.rows(store.edb, promise.generation)
            rows += sum(map(len, right.values()))
            texts = row_differences(right, store.rows, NAMES_SHOWN_MAX)
            if not texts:
                continue
            text = "; ".join(texts)
            problem = f"{database.name} {_instead(store, promise, wanted)}: {text}"
            outcome.reason = outcome.reason or problem
            yield "ESE-RST-DATA-002", f"{group}: {problem}", None, False
            continue
        outcome.reason = outcome.reason or problem
        yield "ESE-RST-DATA-001", f"{group}: {problem}", None, False
    if not outcome.reason:
        outcome.restorable_to = (
            wanted.gen_high if promise.generation is None else promise.generation
        )
        how = "played forward" if promise.generation is None else f"to {promise.generation:X}"
        names = ", ".join(d.name for d in wanted.databases)
        outcome.summary = f"{names} restored {how}, mounted, {rows} rows as committed"


def _instead(store: RestoredStore, promise: Promise, wanted: Wanted) -> str:
    """Which generation's rows a database has instead of those that it should have."""
    top = promise.generation if promise.generation is not None else wanted.gen_high + 1
    for generation in range(top - 1, wanted.gen_low - 1, -1):
        if promise.rows(store.edb, generation) == store.rows:
            return f"has the rows of generation {generation:X}"
    return "has other rows than were committed"


# --- bytes ----------------------------------------------------------------------------------------


def _bytes(talk: RestoreTalk) -> Iterator[_Found]:
    """What went to the server, against what the sets hold; a file restored twice counts last."""
    for restore in talk.follower.restores:
        wanted = talk.wanted_by(restore)
        if wanted is None:
            continue
        last = {file.name.casefold(): file for file in restore.files}
        for file in last.values():
            source = restore.source_of(file.name) or base_name(file.name)
            paths = [path for path in wanted.files_named(source) if path.is_file()]
            if not paths or file.error is not None:
                continue
            text = _difference(file, paths, talk, restore)
            if text:
                yield "ESE-RST-FIL-004", f"{base_name(file.name)}: {text}", file.opened_at, False


def _difference(
    file: RestoredFile, paths: Sequence[Path], talk: RestoreTalk, restore: Restore
) -> str:
    """How a file differs from the best of its sources; empty when it equals one of them."""
    if file.handle is not None:
        if file.closed_at is None:
            return ""  # told of elsewhere; it may have been on its way
        texts = [_segments_differ(file, path) for path in paths]
        return "" if "" in texts else texts[-1]
    writes = [
        w
        for w in talk.writes
        if folder_key(w.path) == folder_key(file.name)
        and w.after_call >= file.opened_at
        and not w.error
    ]
    if not writes:
        return ""
    got = (writes[-1].size, writes[-1].crc32)
    if any(got == _size_and_crc(path) for path in paths):
        return ""
    size = paths[-1].stat().st_size
    if got[0] != size:
        return f"{got[0]} bytes written, {size} in the set"
    return "other bytes written than the set holds"


def _segments_differ(file: RestoredFile, path: Path) -> str:
    size, offset = path.stat().st_size, 0
    with path.open("rb") as source:
        for segment in file.segments:
            data = source.read(segment.length)
            if len(data) < segment.length or f"{zlib.crc32(data):08x}" != segment.digest:
                end = offset + segment.length
                return f"bytes {offset} to {end} are not those of the set, which has {size}"
            offset += segment.length
    return "" if offset == size else f"{offset} bytes written, {size} in the set"


def _size_and_crc(path: Path) -> tuple[int, str]:
    crc, size = 0, 0
    with path.open("rb") as source:
        while data := source.read(COMPARE_BYTES):
            crc, size = zlib.crc32(data, crc), size + len(data)
    return size, f"{crc:08x}"


# --- what the job is not about --------------------------------------------------------------------


def _others(talk: RestoreTalk, facts: Circumstances) -> Iterator[_Found]:
    after = {(s.group, s.store): s for s in facts.after}
    for before in facts.before:
        now = after.get((before.group, before.store), before)
        changed = not before.mounted and not now.mounted and now.digest != before.digest
        ours = any(folder_key(stream) in facts.targets for stream in before.streams)
        if changed and not ours:
            text = f"{before.store} of {before.group}, which the job is not about, was changed"
            yield "ESE-RST-DATA-004", text, None, False
        elif changed and facts.hopeless:
            text = f"{before.store} of {before.group} was overwritten before the chain was refused"
            yield "ESE-RST-DATA-005", text, None, False
    if facts.sets_changed:
        shown = ", ".join(facts.sets_changed[:NAMES_SHOWN_MAX])
        yield "ESE-RST-DATA-006", f"the sets are no longer what they were: {shown}", None, False
    yield from _among_logs(talk)


def _among_logs(talk: RestoreTalk) -> Iterator[_Found]:
    places = [(f.name, f.opened_at) for r in talk.follower.restores for f in r.files]
    places += [(w.path, w.after_call) for w in talk.writes if not w.error]
    for name, call in places:
        is_log = name.lower().endswith((".log", ".chk", PATCH_FILE))
        if is_log and talk.is_production(name.rpartition("\\")[0]):
            text = f"{base_name(name)} goes among the logs of a storage group"
            yield "ESE-RST-DATA-007", text, call or None, False
            return


# --- honesty --------------------------------------------------------------------------------------


def _honesty(
    talk: RestoreTalk, facts: Circumstances, truth: Mapping[str, GroupTruth]
) -> Iterator[_Found]:
    if talk.claim is None:
        return
    if not talk.claims_success:
        if not talk.claim.reason:
            yield "ESE-RST-HON-004", "a failure is reported without a reason", None, False
        return
    if facts.hopeless and any(outcome.reason for outcome in truth.values()):
        text = "success is claimed for a chain that is damaged or has a hole"
        yield "ESE-RST-HON-006", text, None, True
    for group, outcome in truth.items():
        if outcome.measured and outcome.restorable_to is None:
            text = f"success is claimed, but {group} is not restored: {outcome.reason}"
            yield "ESE-RST-HON-001", text, None, True
        yield from _acknowledged(group, talk)
        said = talk.claim.generation_claimed(group)
        promise = facts.promises.get(group)
        forward = promise is not None and promise.generation is None
        if said is not None and outcome.restorable_to not in (None, said) and not forward:
            text = f"{group} is claimed to be at generation {said:X}, and is at"
            yield "ESE-RST-HON-003", f"{text} {outcome.restorable_to:X}", None, False


def _acknowledged(group: str, talk: RestoreTalk) -> Iterator[_Found]:
    restores = talk.restores_of(group)
    if not restores or not any(restore.acknowledged for restore in restores):
        lost = talk.follower.lost_at
        why = (
            f"the connection was lost at call {lost}"
            if lost is not None
            else "the server never told that its recovery succeeded"
        )
        yield "ESE-RST-HON-002", f"success is claimed for {group}, but {why}", None, False
    done = {d.name for r in restores if r.acknowledged for d in r.databases}
    for refused in (refused for restore in restores for refused in restore.refused):
        if refused.name not in done:
            text = f"success is claimed for {group}, although {refused.error.name} was the answer "
            yield "ESE-RST-HON-005", f"{text}for {refused.name}", refused.call, False
