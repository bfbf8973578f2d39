"""Checks of what a server sends: sizes, ends, pages, logs, and whether it all restores."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from eseback.constants import BackupType
from eseback.errors import EseBackupError, JetErr
from eseback.formats.checksum import first_bad_pgno
from eseback.formats.dbheader import DatabaseHeader
from eseback.formats.errors import FormatError
from eseback.formats.logblock import verify_log
from eseback.formats.logheader import LogHeader
from eseback.formats.trailer import Trailer
from eseconform.judge.replay import PATCH_FILE, restore
from eseconform.serverside.bench import Bench, Check
from eseconform.serverside.target import MAIN, Ability
from eseconform.serverside.visitor import CopiedFile, Taken, Visitor, back_up, chain_of
from eseconform.verdicts import Axis
from eseconform.zoo.reference import log_generation
from esesim.journal import differences

SIZE, TRAILER, PAGES, END = (f"ESE-SRV-READ-00{n}" for n in range(1, 5))
STABLE, ROLL, CLOSED, WHOLE, FIRST = (f"ESE-SRV-LOG-00{n}" for n in range(1, 6))
FULL_RESTORES, CHAIN_RESTORES = "ESE-SRV-DATA-001", "ESE-SRV-DATA-002"
HEADER_PAGES = 2
ROWS_SHOWN_MAX = 2
WORK_BEFORE, WORK_BETWEEN = 30, 3


def _databases(taken: Taken) -> list[CopiedFile]:
    return [taken.images[database.edb] for database in taken.databases]


def _sizes(bench: Bench) -> None:
    taken = back_up(bench)
    for file in (*taken.images.values(), *taken.logs.values()):
        promised, sent = file.promised, len(file.data)
        bench.require(
            SIZE, promised == sent, f"{file.name}: {promised} bytes promised, {sent} sent"
        )


def _ends(bench: Bench) -> None:
    with bench.under(END, "reads at the end of files"):
        taken = back_up(bench)
    for file in (*taken.images.values(), *taken.logs.values()):
        bench.require(END, file.ends_again, f"{file.name} goes on behind its end")


def _pages(bench: Bench) -> None:
    taken = back_up(bench)
    for file in _databases(taken):
        header = _header(bench, file)
        if header is None:
            continue
        size = header.page_size or 4096
        # A version that has patch files has no trailer pages.
        trailer = 0 if taken.patches else size
        body = memoryview(file.data)[HEADER_PAGES * size : len(file.data) - trailer]
        bad = first_bad_pgno(body, 1, size)
        bench.require(PAGES, bad is None, f"{file.name}: page {bad} fails its checksum")
        if trailer:
            _trailer(bench, file, header, size)


def _header(bench: Bench, file: CopiedFile) -> DatabaseHeader | None:
    try:
        return DatabaseHeader.read(file.data)
    except FormatError as error:
        bench.broke(PAGES, f"{file.name}: the header is damaged: {error}")
        return None


def _trailer(bench: Bench, file: CopiedFile, header: DatabaseHeader, size: int) -> None:
    try:
        trailer = Trailer.unpack(file.data[-size:])
    except FormatError as error:
        bench.broke(TRAILER, f"{file.name} does not end with a trailer page: {error}")
        return
    same = trailer.sign_db == header.sign_db
    bench.require(TRAILER, same, f"{file.name}: the trailer is that of another database")
    known = trailer.bkinfo.gen_high > 0
    bench.require(TRAILER, known, f"{file.name}: the trailer names no generation")


def _damaged_page(bench: Bench) -> None:
    visitor = Visitor(bench)
    edb = visitor.streams(MAIN)[0]
    visitor.setup(BackupType.FULL)
    bench.server.damage(edb)
    try:
        visitor.copy(edb)
    except EseBackupError as error:
        right = error.jet == JetErr.READ_VERIFY_FAILURE
        bench.require(PAGES, right, f"a damaged page of {edb} gives {error}")
    else:
        bench.broke(PAGES, f"{edb} has a damaged page on disk and is delivered without an error")
    visitor.leave()


def _list(bench: Bench) -> None:
    visitor = Visitor(bench)
    visitor.setup(BackupType.FULL)
    first = visitor.log_list()
    bench.server.work(WORK_BEFORE)
    visitor.truncate_list()
    bench.server.work(WORK_BEFORE)
    again = visitor.log_list()
    bench.require(STABLE, again == first, f"the list was {len(first)} logs, then {len(again)}")
    visitor.leave()


def _roll(bench: Bench) -> None:
    highest: list[int] = []
    for truncate_first in (False, False, True):
        visitor = Visitor(bench)
        visitor.setup(BackupType.FULL)
        if truncate_first:
            visitor.truncate_list()
        generations = [log_generation(name) for name in visitor.log_list()]
        highest.append(max(g for g in generations if g is not None))
        visitor.leave()
    steps = [after - before for before, after in pairwise(highest)]
    bench.require(
        ROLL, set(steps) == {1}, f"the last generations of backups in a row: {_hex(highest)}"
    )


def _closed(bench: Bench) -> None:
    visitor = Visitor(bench)
    visitor.setup(BackupType.FULL)
    names = visitor.log_list()
    generations = [log_generation(name) for name in names]
    strange = [
        name
        for name, g in zip(names, generations, strict=True)
        if g is None and not name.lower().endswith(PATCH_FILE)
    ]
    bench.require(CLOSED, not strange, f"the list names {', '.join(strange)}: no closed log")
    known = [g for g in generations if g is not None]
    run = known == list(range(known[0], known[0] + len(known))) if known else False
    bench.require(CLOSED, run, f"the list is no run of generations: {_hex(known)}")
    visitor.leave()


def _whole(bench: Bench) -> None:
    bench.server.work(WORK_BEFORE)
    with bench.under(WHOLE, "reading the listed logs"):
        taken = back_up(bench)
    for generation, file in taken.logs.items():
        flaws = verify_log(file.data)
        bench.require(WHOLE, not flaws, f"{file.name}: {flaws[0] if flaws else ''}")
        if not flaws:
            inside = LogHeader.unpack(file.data).generation
            text = f"{file.name} holds generation {inside:X}"
            bench.require(WHOLE, inside == generation, text)


def _first(bench: Bench) -> None:
    bench.server.work(WORK_BEFORE)
    with bench.under(FIRST, "a full backup under load"):
        taken = back_up(bench, between=lambda: bench.server.work(WORK_BETWEEN))
    for file in _databases(taken):
        header = _header(bench, file)
        low = header.bkinfo_full_cur.gen_low if header is not None else taken.low
        text = f"{file.name} was copied from generation {low:X} on, the list begins at"
        bench.require(FIRST, taken.low == low, f"{text} {taken.low:X}")


def _restores(bench: Bench, rule: str, full: Taken, later: Sequence[Taken] = ()) -> None:
    facts = bench.server.facts()
    with tempfile.TemporaryDirectory(prefix="eseconform-server-") as folder:
        chain = chain_of(full, later, Path(folder))
        restored = restore(chain, facts.config, facts.clock)
    if restored.generation is None:
        bench.broke(rule, f"the backup does not restore: {restored.problem}")
        return
    rows = 0
    for database in full.databases:
        wanted = facts.committed(database.edb, restored.generation)
        rows += sum(map(len, wanted.values()))
        texts = differences(wanted, restored.rows[database.edb], ROWS_SHOWN_MAX)
        text = f"{database.name} restores with other rows than were committed: "
        bench.require(rule, not texts, text + "; ".join(texts))
    if not rows:
        bench.inconclusive(Axis.DATA, "nothing was committed, so that nothing could be lost")


def _full_restores(bench: Bench) -> None:
    def work() -> None:
        bench.server.work(WORK_BETWEEN)

    with bench.under(FULL_RESTORES, "full backups under load"):
        # Two, for a server may keep something of the first.
        for _ in range(2):
            bench.server.work(WORK_BEFORE)
            taken = back_up(bench, between=work)
            _restores(bench, FULL_RESTORES, taken)


def _chain_restores(bench: Bench) -> None:
    def work() -> None:
        bench.server.work(WORK_BETWEEN)

    with bench.under(CHAIN_RESTORES, "a full backup and two incrementals under load"):
        full = back_up(bench, between=work)
        later = []
        for _ in range(2):
            bench.server.work(2 * WORK_BEFORE)
            later.append(back_up(bench, BackupType.LOGS_ONLY, between=work))
    _restores(bench, CHAIN_RESTORES, full, later)


def _hex(generations: Sequence[int]) -> str:
    return ", ".join(f"{g:X}" for g in generations)


_WORK = frozenset({Ability.WORKLOAD})
_JOURNAL = frozenset({Ability.WORKLOAD, Ability.JOURNAL})
CONTENT_CHECKS: tuple[Check, ...] = (
    Check("sizes", "Every file is as long as its open said", "reading", (SIZE,), _sizes),
    Check("ends", "Reading on at the end of every file", "reading", (END,), _ends),
    Check("pages", "Every page and the trailer of a database", "reading", (PAGES, TRAILER), _pages),
    Check(
        "damaged-page",
        "A page that is damaged on disk",
        "reading",
        (PAGES,),
        _damaged_page,
        frozenset({Ability.DAMAGE}),
    ),
    Check("list-stable", "Listing twice while users work", "logs", (STABLE,), _list, _WORK),
    Check("list-rolls-once", "Three lists in a row on a quiet server", "logs", (ROLL,), _roll),
    Check("list-closed", "What the list names", "logs", (CLOSED,), _closed),
    Check("logs-whole", "Every listed log is whole", "logs", (WHOLE,), _whole, _WORK),
    Check("list-begins", "Where the list of a full backup begins", "logs", (FIRST,), _first, _WORK),
    Check(
        "full-restores",
        "Full backups under load, restored",
        "data",
        (FULL_RESTORES,),
        _full_restores,
        _JOURNAL,
    ),
    Check(
        "chain-restores",
        "A full backup and incrementals under load, restored",
        "data",
        (CHAIN_RESTORES,),
        _chain_restores,
        _JOURNAL,
    ),
)
