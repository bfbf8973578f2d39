"""Checks of what clients and administrators do to each other: locks, and what frees them."""

from __future__ import annotations

from collections.abc import Callable

from eseback.constants import BackupType, DatabaseFlags, InstanceEnd
from eseback.errors import EseBackupError, JetErr
from eseconform.serverside.bench import Bench, Check
from eseconform.serverside.target import GROUP, MAIN, SECOND, SPARE, Ability
from eseconform.serverside.visitor import Visitor, back_up

SETUP, LOCK, FREE, HANG_UP, LISTED = (
    "ESE-SRV-ORD-003",
    "ESE-SRV-LCK-001",
    "ESE-SRV-LCK-002",
    "ESE-SRV-LCK-003",
    "ESE-SRV-DSC-001",
)


def jet_of(act: Callable[[], object]) -> JetErr | int | None:
    """The JET error of a call, None if it succeeds; 0 for an error without one."""
    try:
        act()
    except EseBackupError as error:
        return 0 if error.jet is None else error.jet
    return None


def _prepare_lists(bench: Bench) -> None:
    instance = Visitor(bench).instance
    flags = {info.display_name: info.flags for info in instance.databases}
    for store in (MAIN, SECOND):
        mounted = flags.get(store, DatabaseFlags.UNMOUNTED) & DatabaseFlags.MOUNTED
        bench.require(LISTED, bool(mounted), f"{store} is mounted, and Prepare does not say so")
    spare = flags.get(SPARE, DatabaseFlags.UNMOUNTED) & DatabaseFlags.MOUNTED
    bench.require(LISTED, not spare, f"{SPARE} is dismounted, and Prepare calls it mounted")
    streams = [name for info in instance.databases for name in info.streams]
    bench.require(
        LISTED, len(set(streams)) == len(streams) > 0, "stores share a file, or have none"
    )


def _two_clients(bench: Bench) -> None:
    first, second = Visitor(bench), Visitor(bench)
    with bench.under(SETUP, "the first client begins"):
        first.setup(BackupType.FULL)
        first.open(first.streams(MAIN)[0])
    for kind in BackupType:
        answer = jet_of(lambda kind=kind: second.setup(kind))  # type: ignore[misc]
        right = answer == JetErr.BACKUP_IN_PROGRESS
        bench.require(SETUP, right, f"Setup({kind.name}) beside a running backup gives {answer}")
    answer = jet_of(second.truncate)
    right = answer == JetErr.NO_BACKUP
    bench.require(SETUP, right, f"TruncateLogs of the client that was refused gives {answer}")
    with bench.under(SETUP, "the backup that ran before the refused Setup goes on"):
        first.read(1 << 16)
        first.close()
        for name in first.log_list():
            first.copy(name)
        first.truncate()
        first.finish(InstanceEnd.SUCCESS)
    first.leave()
    second.leave()


def _mount_lock(bench: Bench) -> None:
    server, visitor = bench.server, Visitor(bench)
    with bench.under(LOCK, "a full backup"):
        for phase, act in (
            ("after Setup", lambda: visitor.setup(BackupType.FULL)),
            ("while a database is open", lambda: visitor.open(visitor.streams(MAIN)[0])),
            ("when the database is closed", visitor.close),
            ("after the log list", visitor.log_list),
            ("after the truncation", visitor.truncate),
        ):
            act()
            for what, attempt in (
                (f"dismounting {SECOND}", lambda: server.dismount(SECOND)),
                (f"mounting {SPARE}", lambda: server.mount(SPARE)),
            ):
                answer = jet_of(attempt)
                locked = answer == JetErr.BACKUP_IN_PROGRESS
                bench.require(LOCK, locked, f"{phase}, {what} gives {answer}, not -505")
                if answer is None:
                    return
        visitor.finish(InstanceEnd.SUCCESS)
    with bench.under(FREE, "mounting after InstanceEnd"):
        server.mount(SPARE)
        server.dismount(SPARE)
    visitor.leave()


def _freed_by_error(bench: Bench) -> None:
    visitor = Visitor(bench)
    visitor.setup(BackupType.FULL)
    log = visitor.log_list()[-1]
    answer = jet_of(lambda: visitor.open(f"{log}.gone"))
    bench.require(FREE, answer is not None, "the open of a log that is not there succeeds")
    with bench.under(FREE, "after an error that ended a backup, before InstanceEnd"):
        bench.server.mount(SPARE)
        bench.server.dismount(SPARE)
        back_up(bench)
    visitor.leave()


def _freed_by_hang_up(bench: Bench) -> None:
    for with_file in (False, True):
        visitor = Visitor(bench)
        visitor.setup(BackupType.FULL)
        if with_file:
            visitor.open(visitor.streams(MAIN)[0])
        bench.server.hang_up(visitor.context)
        with bench.under(HANG_UP, "a backup after a client was lost"):
            back_up(bench)


def _freed_by_end(bench: Bench) -> None:
    visitor = Visitor(bench)
    visitor.setup(BackupType.FULL)
    visitor.open(visitor.streams(MAIN)[0])
    with bench.under(FREE, "End in the middle of a backup, and a backup after it"):
        visitor.leave()
        back_up(bench)


_MOUNT = frozenset({Ability.MOUNT})
SHARING_CHECKS: tuple[Check, ...] = (
    Check(
        "prepare", f"Prepare lists {GROUP} and its stores", "discovery", (LISTED,), _prepare_lists
    ),
    Check("two-clients", "A second Setup while a backup runs", "locking", (SETUP,), _two_clients),
    Check(
        "mount-lock",
        "Mounting and dismounting in every phase of a backup",
        "locking",
        (LOCK, FREE),
        _mount_lock,
        _MOUNT,
    ),
    Check(
        "freed-by-error",
        "An error that ends a backup frees the group at once",
        "locking",
        (FREE,),
        _freed_by_error,
        _MOUNT,
    ),
    Check("freed-by-end", "End in the middle frees the group", "locking", (FREE,), _freed_by_end),
    Check(
        "freed-by-hang-up",
        "A lost client frees the group",
        "locking",
        (HANG_UP,),
        _freed_by_hang_up,
        frozenset({Ability.HANG_UP}),
    ),
)
