"""Checks of truncation and of chains: which logs go, which must stay, what the headers remember."""

from __future__ import annotations

from eseback.constants import BackupType, InstanceEnd
from eseback.errors import EseBackupError, JetErr
from eseback.formats.dbheader import DatabaseHeader
from eseback.order import BackupCall, BackupState, backup_cell
from eseconform.serverside.bench import Bench, Check
from eseconform.serverside.sharing import jet_of
from eseconform.serverside.target import MAIN, SECOND, SPARE, Ability
from eseconform.serverside.visitor import Taken, Visitor, back_up
from eseconform.verdicts import Axis

NAMED, NEEDED, LEFT_OUT, DISMOUNTED, KEPT = (f"ESE-SRV-TRN-00{n}" for n in range(1, 6))
ENDED, NO_FULL, JOINED, COPY = (f"ESE-SRV-CHN-00{n}" for n in range(1, 5))
WORK = 60
LOGS_ONLY = BackupType.LOGS_ONLY


def _ready(bench: Bench) -> None:
    """Let all stores be mounted, so that truncation is not held back."""
    bench.server.mount(SPARE)


def _all(bench: Bench, **options: object) -> Taken:
    """A full backup of everything."""
    return back_up(bench, stores=(MAIN, SECOND, SPARE), **options)  # type: ignore[arg-type]


def _lag(bench: Bench, rolls: int) -> None:
    """Close logs without any work, so that the checkpoint stays behind."""
    for _ in range(rolls):
        visitor = Visitor(bench)
        visitor.setup(BackupType.FULL)
        visitor.log_list()
        visitor.leave()


def _named(bench: Bench) -> None:
    _ready(bench)
    bench.server.work(WORK)
    _lag(bench, 3)
    first = _all(bench)
    if not first.truncatable:
        bench.inconclusive(Axis.DATA, "there was no log to truncate")
        return
    with bench.under(NAMED, "an incremental after a truncation"):
        after = back_up(bench, LOGS_ONLY, truncate=False)
    last = max(first.truncatable)
    text = f"truncation named logs up to {last:X}, the oldest that is left is"
    bench.require(NAMED, after.low == last + 1, f"{text} {after.low:X}")


def _needed(bench: Bench) -> None:
    _ready(bench)
    bench.server.work(WORK)
    _lag(bench, 3)
    _all(bench)
    with bench.under(NEEDED, "a full backup after a truncation"):
        _all(bench)


def _left_out(bench: Bench) -> None:
    _ready(bench)
    _all(bench)
    bench.server.work(WORK)
    with bench.under(LEFT_OUT, "an incremental after a partial full backup"):
        back_up(bench, BackupType.FULL, stores=(MAIN,))
        back_up(bench, LOGS_ONLY)


def _dismounted(bench: Bench) -> None:
    _ready(bench)
    _all(bench)
    bench.server.work(WORK)
    bench.server.dismount(SECOND)
    with bench.under(DISMOUNTED, f"an incremental after a truncation without {SECOND}"):
        back_up(bench, BackupType.FULL, stores=(MAIN, SPARE))
        bench.server.work(WORK)
        bench.server.mount(SECOND)
        back_up(bench, LOGS_ONLY)


def _kept(bench: Bench) -> None:
    _ready(bench)
    _all(bench)
    bench.server.work(WORK)
    before = back_up(bench, LOGS_ONLY, truncate=False)
    _all(bench, truncate=False)
    with bench.under(KEPT, "an incremental after a copy"):
        after = back_up(bench, LOGS_ONLY, truncate=False)
    text = f"the oldest log was {before.low:X}, after two backups without truncation it is"
    bench.require(KEPT, after.low == before.low, f"{text} {after.low:X}")


def _copy(bench: Bench) -> None:
    _ready(bench)
    marks = []
    _all(bench)
    for truncate in (False, False, False):
        bench.server.work(WORK // 2)
        taken = _all(bench, truncate=truncate)
        headers = [DatabaseHeader.read(taken.images[d.edb].data) for d in taken.databases]
        marks.append([(h.bkinfo_full_prev, h.bkinfo_inc_prev) for h in headers])
    same = all(mark == marks[0] for mark in marks)
    bench.require(COPY, same, "the headers of the databases remember a backup without truncation")


def _ended(bench: Bench) -> None:
    _ready(bench)
    full = _all(bench)
    bench.server.work(2 * WORK)
    broken = _all(bench, end=InstanceEnd.ERROR)
    if not broken.truncatable or max(broken.truncatable) <= full.high:
        bench.inconclusive(Axis.PROTOCOL, "the truncation did not reach behind the backup before")
        return
    visitor = Visitor(bench)
    try:
        visitor.setup(LOGS_ONLY)
        visitor.log_list()
    except EseBackupError as error:
        # Exchange 2000 has another number for it.
        failed = BackupState.LOGS_UNLISTED, BackupCall.LOG_LIST_FAILED
        right = error.jet == backup_cell(*failed, bench.server.order).error
        bench.require(ENDED, right, f"an incremental over a gap is refused with {error}")
    else:
        text = "a backup that truncated and ended with an error counts: the next incremental"
        bench.broke(ENDED, f"{text} is let in, though logs since the last good backup are gone")
    visitor.leave()


def _no_full(bench: Bench) -> None:
    visitor = Visitor(bench)
    answer = jet_of(lambda: visitor.setup(LOGS_ONLY))
    right = answer == JetErr.MISSING_FULL_BACKUP
    bench.require(NO_FULL, right, f"Setup(LOGS_ONLY) before any full backup gives {answer}")
    visitor.leave()


def _no_full_of_one(bench: Bench) -> None:
    back_up(bench)
    bench.server.mount(SPARE)
    visitor = Visitor(bench)
    answer = jet_of(lambda: visitor.setup(LOGS_ONLY))
    right = answer == JetErr.MISSING_FULL_BACKUP
    text = f"Setup(LOGS_ONLY) while {SPARE} has no full backup gives {answer}"
    bench.require(NO_FULL, right, text)
    visitor.leave()
    bench.server.dismount(SPARE)
    with bench.under(NO_FULL, f"the same with {SPARE} dismounted"):
        back_up(bench, LOGS_ONLY)


def _joined(bench: Bench) -> None:
    _ready(bench)
    before = _all(bench)
    for _ in range(3):
        bench.server.work(WORK)
        after = back_up(bench, LOGS_ONLY)
        text = f"one backup ends with generation {before.high:X}, the next begins with"
        bench.require(JOINED, after.low <= before.high + 1, f"{text} {after.low:X}")
        before = after


_MOUNT_WORK = frozenset({Ability.MOUNT, Ability.WORKLOAD})


def _check(key: str, title: str, rule: str, body: object, family: str = "truncation") -> Check:
    return Check(key, title, family, (rule,), body, _MOUNT_WORK)  # type: ignore[arg-type]


TRUNCATION_CHECKS: tuple[Check, ...] = (
    _check("truncates-named", "The logs that are named go, and no others", NAMED, _named),
    _check("truncates-unneeded", "A full backup after a truncation", NEEDED, _needed),
    _check("truncates-left-out", "A full backup of one store of three", LEFT_OUT, _left_out),
    _check("truncates-dismounted", "Truncation with a dismounted store", DISMOUNTED, _dismounted),
    _check("keeps-logs", "Backups without truncation", KEPT, _kept),
    _check("copy-marks", "A copy leaves headers alone", COPY, _copy, "chain"),
    _check("truncated-in-vain", "Truncate, then InstanceEnd(ERROR)", ENDED, _ended, "chain"),
    Check("no-full", "Logs only before any full backup", "chain", (NO_FULL,), _no_full),
    _check("no-full-of-one", "Logs only with a new store", NO_FULL, _no_full_of_one, "chain"),
    _check("joins", "Three incrementals in a row", JOINED, _joined, "chain"),
)
