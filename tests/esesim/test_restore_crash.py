"""The server loses power at any point of backup, truncation, restore and recovery.

Whatever happens: what was acknowledged is there; the sets that a client has and the logs that the
server still has bring back all of it; a restore that was broken off is taken up again from its
restore.env, or started over, and then gives the rows that it should. All through the public calls.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eseback.api import BackupApi
from eseback.constants import (
    INFORMATION_STORE,
    BackupType,
    InstanceEnd,
    RecoverStatus,
    RestoreClose,
)
from eseback.errors import EseBackupError, JetErr
from eseback.structures import RestoreEnvironment
from esesim.engine.inspect import check_database, database_rows
from esesim.journal import Rows
from esesim.volume import MemoryVolume, PowerLoss
from tests.esesim.support.restores import (
    ATTACH,
    KEEP,
    NOWAIT,
    assert_rows,
    backed_up,
    complete,
    send_logs,
    send_set,
)
from tests.esesim.support.servers import SERVER, prepare, read_file
from tests.support.examples import examples

pytestmark = [pytest.mark.fuzz, pytest.mark.uncovered]

G1 = "G1"
FOLDER = "D:\\restore"
NEVER = 10**9
ARMED_MAX = 3
"""Tries of one thing that lose power; the next one is left alone."""
EXPECTED_REFUSALS = {JetErr.MISSING_FULL_BACKUP, JetErr.MISSING_FILE_TO_BACKUP}


def has_succeeded(environment: RestoreEnvironment) -> bool:
    """Whether only the answer of an earlier Complete was lost."""
    ended = environment.status_last_recover is RecoverStatus.ENDED
    return ended and not environment.hr_last_recover


class Saga:
    """One server through backups, disasters and restores, losing power again and again.

    ``chain`` is what the client holds: a full set and what follows it. ``whole``: with the logs on
    the server it brings back everything.
    """

    def __init__(self, seed: int, writes_max: int, profile: str, marks: Counter[str]) -> None:
        scene = backed_up(messages=6, profile=profile)
        self.rng = random.Random(seed)
        self.writes_max = writes_max
        self.marks = marks
        self.server = scene.server()
        assert isinstance(self.server.volume, MemoryVolume)
        self.volume: MemoryVolume = self.server.volume
        self.group = self.server.group(G1)
        self.stores = {store.name: store for store in self.group.spec.stores}
        self.databases = scene.databases[G1]
        self.chain: list[Mapping[str, bytes]] = []
        for name in self.stores:
            self.server.set_overwritable(G1, name, True)
        self.full()  # what the journal knows begins with this server

    def session(self) -> BackupApi:
        """A client's connection."""
        return self.server.session()

    # -- power

    def survive(self, name: str, act: Callable[[], object], *, armed: bool = True) -> bool:
        """Do something that may lose power on the way; whether it came to its end."""
        self.volume.fail_after_writes(self.rng.randrange(1, self.writes_max) if armed else NEVER)
        try:
            act()
        except PowerLoss:
            self.marks[f"crash in {name}"] += 1
            self.server.crash(self.rng.randrange(2**32))
            self.check_mounted()
            return False
        finally:
            self.volume.fail_after_writes(NEVER)
        return True

    def again_and_again(self, name: str, act: Callable[[], object]) -> None:
        """The same until it comes to its end."""
        tries = 0
        while not self.survive(name, act, armed=tries < ARMED_MAX):
            tries += 1

    def check_mounted(self) -> None:
        """What is mounted has what was acknowledged, and nothing else."""
        instance = self.group.instance
        for database in () if instance is None else instance.databases.values():
            assert_rows(self.server.journal.rows(database.edb), database_rows(database))
            assert list(check_database(database)) == []

    def mount_all(self) -> None:
        for name in self.stores:
            self.server.mount(G1, name)

    # -- backup

    def back_up(self, kind: BackupType) -> None:
        """A backup; from the moment in which all is read, the client has a set."""
        api = self.session()
        prepared = prepare(api)
        context = prepared.context
        files: dict[str, bytes] = {}
        api.backup_setup(context, prepared.instances[G1], kind)
        for stream in prepared.streams[G1] if kind is BackupType.FULL else ():
            files[stream] = read_file(api, context, stream)
            self.server.run_workload(G1, 2)
        for log in api.backup_get_log_and_patch_files(context):
            files[log] = read_file(api, context, log)
        self.chain = [files] if kind is BackupType.FULL else [*self.chain, files]
        api.backup_get_truncate_log_files(context)
        api.backup_truncate_logs(context)
        api.backup_instance_end(context, InstanceEnd.SUCCESS)
        api.backup_end(context)

    def incremental(self) -> None:
        try:
            self.back_up(BackupType.LOGS_ONLY)
        except EseBackupError as error:
            # The headers don't know of a set whose end was never acknowledged.
            assert error.jet in EXPECTED_REFUSALS, error
            self.marks["incremental refused"] += 1

    def full(self) -> None:
        self.back_up(BackupType.FULL)

    # -- restore

    def lose_a_store(self, *, alone: bool) -> None:
        """A store's files are gone; play-forward brings all of it back."""
        name = self.rng.choice(sorted(self.stores))
        for other in sorted(self.stores):
            if other == name or alone:
                self.server.dismount(G1, other)
        expected = {name: self.server.journal.rows(self.stores[name].edb)}
        self.server.destroy_store(G1, name)
        target, folder = (None, self.group.spec.log_path) if alone else (G1, None)
        self.bring_back("play-forward", expected, target, folder)

    def lose_everything(self) -> None:
        """A disaster: what the sets hold comes back."""
        last = max(
            int(name[-9:-4], 16) for files in self.chain for name in files if name.endswith(".log")
        )
        expected = {
            name: self.server.journal.rows(store.edb, last) for name, store in self.stores.items()
        }
        self.server.destroy_group(G1)
        self.bring_back("restore", expected, None, None)

    def bring_back(
        self, name: str, expected: Mapping[str, Rows], target: str | None, folder: str | None
    ) -> None:
        tries = 0
        done = False
        while not done:
            done = self.survive(
                name,
                lambda: self.restore(list(expected), target, folder),
                armed=tries < ARMED_MAX,
            )
            tries += 1
            # Complete may have mounted the stores, and only its answer was lost.
            done = done or set(expected) <= set(self.group.mounted)
        for store in expected:
            self.server.mount(G1, store)
            assert_rows(expected[store], self.server.journal.rows(self.stores[store].edb))
        self.mount_all()
        self.check_mounted()
        # What was restored needs a full backup, before anything else can be lost.
        self.again_and_again("full backup", self.full)

    def restore(self, names: list[str], target: str | None, folder: str | None) -> None:
        """A try: from restore.env if there is one, else from the beginning."""
        api = self.session()
        for name in names:
            self.server.dismount(G1, name)
        try:
            context = api.restore_reopen(SERVER, None, FOLDER)
            self.marks["taken up again"] += 1
        except EseBackupError as error:
            assert error.jet == JetErr.FILE_NOT_FOUND, error
            context = api.restore_open(SERVER, INFORMATION_STORE, G1, FOLDER)
            self.marks["begun"] += 1
            chosen = [info for info in self.databases if info.display_name in names]
            send_set(self.server, api, context, chosen, self.chain[0])
            api.restore_save_environment(context)
        if not has_succeeded(api.restore_get_environment(context)):
            for files in self.chain[1:]:
                send_logs(self.server, api, context, files)
        flags = ATTACH | self.rng.choice((NOWAIT, KEEP, NOWAIT | KEEP, ATTACH))
        complete(api, context, flags, target, folder)
        api.restore_close(context, RestoreClose.NORMAL)
        if self.server.files.exists(f"{FOLDER}\\restore.env"):  # logs were to be kept
            self.volume.delete("D/restore/restore.env")

    # -- the story

    def live(self) -> None:
        """A few chapters."""
        chapters: list[tuple[str, Callable[[], object]]] = [
            ("full backup", self.full),
            ("incremental backup", self.incremental),
            ("work", lambda: self.server.run_workload(G1, 30)),
        ]
        for _ in range(3):
            name, act = self.rng.choice(chapters)
            self.survive(name, act)
            self.mount_all()
        disaster = self.rng.choice(
            (
                self.lose_everything,
                lambda: self.lose_a_store(alone=False),
                lambda: self.lose_a_store(alone=True),
            )
        )
        disaster()
        self.server.run_workload(G1, 10)
        self.server.terminate(G1)  # ends what is open
        self.mount_all()
        self.check_mounted()


VERSIONS = ("exchange-2003-sp1", "exchange-2000-rtm", "exchange-2007")
SITUATIONS = (
    "crash in full backup",
    "crash in incremental backup",
    "crash in restore",
    "crash in play-forward",
    "taken up again",
)


def run_sagas(saga: type[Saga], number: settings) -> Counter[str]:
    """So many sagas; what arose in them."""
    marks: Counter[str] = Counter()

    @number
    @given(st.integers(0, 2**32), st.sampled_from((40, 200, 700)), st.sampled_from(VERSIONS))
    def law(seed: int, writes_max: int, profile: str) -> None:
        saga(seed, writes_max, profile, marks).live()

    law()
    print("situations:", dict(sorted(marks.items())))
    return marks


def test_nothing_acknowledged_is_lost_and_every_restore_comes_to_its_end() -> None:
    marks = run_sagas(Saga, examples(200))
    for situation in SITUATIONS:
        assert marks[situation], f"{situation!r} never arose, so nothing was shown about it"
