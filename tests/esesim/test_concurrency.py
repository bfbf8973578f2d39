"""Several clients, groups and threads: what runs side by side gives what it gives one by one."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, TypeVar

import pytest

from eseback.api import BackupApi
from eseback.constants import BackupType, InstanceEnd
from eseback.errors import EseBackupError
from eseback.jeterr import JetErr
from esesim.layer import ApiLayer
from esesim.server import SimulatedServer
from esesim.windows_path import to_volume_path
from tests.esesim.support.profiles import group_topology, recovered_rows
from tests.esesim.support.servers import Prepared, back_up, prepare, read_file, volume_bytes

pytestmark = pytest.mark.uncovered

R = TypeVar("R")
FULL, LOGS = BackupType.FULL, BackupType.LOGS_ONLY
GROUPS = ("G1", "G2", "G3")


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def run_together(*jobs: Callable[[], object]) -> None:
    """Each job in a thread of its own, all from one line; the first error is raised here."""
    start = threading.Barrier(len(jobs))
    errors: list[BaseException] = []

    def run(job: Callable[[], object]) -> None:
        start.wait()
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "stuck"
    if errors:
        raise errors[0]


# -- parallel is serial


def life_of_a_group(
    server: SimulatedServer, api: BackupApi, group: str
) -> tuple[dict[str, bytes], ...]:
    """Two backups with work in between, stores that come and go, a refusal and a failure."""
    sets = [back_up(api, group)]
    server.run_workload(group, 30)
    server.mount(group, f"{group}S2")
    with pytest.raises(EseBackupError):
        back_up(api, group, LOGS)
    sets.append(back_up(api, group))
    server.damage_page(f"{server.group(group).spec.stores[1].edb}")
    with pytest.raises(EseBackupError):
        back_up(api, group)
    server.damage_page(f"{server.group(group).spec.stores[1].edb}")
    server.terminate(group)
    server.mount(group, f"{group}S1")
    sets.append(back_up(api, group, LOGS, size=65528))
    return tuple(sets)


def outcome(
    server: SimulatedServer, sets: Mapping[str, Sequence[dict[str, bytes]]]
) -> dict[str, Any]:
    directories = [to_volume_path(group.spec.log_path) for group in server.groups]
    return {
        "sets": sets,
        "files": volume_bytes(server, *directories),
        "events": server.events,
        "state": server.state(),
    }


def new_server(seed: int = 7) -> SimulatedServer:
    return SimulatedServer(
        group_topology(
            2,
            groups=len(GROUPS),
            steps_per_call=1,
            dismounted=[f"{group}S2" for group in GROUPS],
            truncate_with_dismounted=True,
            seed=seed,
        )
    )


@cache
def one_by_one(seed: int = 7) -> dict[str, Any]:
    with new_server(seed) as server:
        sets = {group: life_of_a_group(server, server.session(), group) for group in GROUPS}
        return outcome(server, sets)


@pytest.mark.parametrize("sessions", [1, 4])
def test_groups_in_parallel_give_the_same_as_one_by_one(
    sessions: int, eager_switching: None
) -> None:
    expected = one_by_one()
    with new_server() as server:
        apis = [server.session() for _ in range(sessions)]
        sets: dict[str, tuple[dict[str, bytes], ...]] = {}

        def job(number: int, group: str) -> None:
            sets[group] = life_of_a_group(server, apis[number % sessions], group)

        run_together(*(partial(job, number, group) for number, group in enumerate(GROUPS)))
        found = outcome(server, {group: sets[group] for group in GROUPS})
    for key, value in expected.items():
        assert found[key] == value, key


def test_the_seed_decides_everything() -> None:
    first = one_by_one()
    assert one_by_one.__wrapped__() == first
    with new_server(seed=8) as server:
        for group in GROUPS:
            assert back_up(server.session(), group) != first["sets"][group][0]


# -- mount and dismount at every point


class Interferer(ApiLayer):
    """An administrator who tries to mount and dismount before and after every call."""

    def __init__(self, server: SimulatedServer, api: BackupApi | None = None) -> None:
        super().__init__(server.session() if api is None else api)
        self._server = server
        self._group = server.groups[0]
        self.refused: Counter[str] = Counter()

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        self._try(f"before {method}")
        result = function(**arguments)
        self._try(f"after {method}")
        return result

    def _try(self, moment: str) -> None:
        runs = self._group.backup_owner is not None
        mounted = self._group.mounted
        for act, store in ((self._server.mount, "G1S2"), (self._server.dismount, "G1S1")):
            if not runs:
                continue
            with pytest.raises(EseBackupError) as caught:
                act("G1", store)
            assert caught.value.jet == JetErr.BACKUP_IN_PROGRESS
            assert self._group.mounted == mounted
            self.refused[moment] += 1
        if not runs:
            # Free: both work, and are taken back.
            self._server.mount("G1", "G1S2")
            self._server.dismount("G1", "G1S2")


@pytest.mark.parametrize("kind", [FULL, LOGS, BackupType.FULL_WITH_ALL_LOGS])
def test_mount_and_dismount_at_every_point_of_a_backup(kind: BackupType) -> None:
    with SimulatedServer(group_topology(2, dismounted=("G1S2",))) as server:
        back_up(server.session(), "G1")
        interferer = Interferer(server)
        files = back_up(interferer, "G1", kind)
        assert interferer.refused.keys() >= {
            "after backup_setup",
            "before backup_open_file",
            "after backup_read_file",
            "before backup_close_file",
            "after backup_get_log_and_patch_files",
            "before backup_truncate_logs",
            "after backup_truncate_logs",
            "before backup_instance_end",
        }
        assert not interferer.refused.keys() & {
            "before backup_setup",
            "after backup_instance_end",
            "before backup_end",
        }
        if kind is not LOGS:
            ((found, expected),) = recovered_rows(server, [files], stores=["G1S1"]).values()
            assert found == expected


def test_refused_attempts_change_no_byte() -> None:
    """From Setup on; what works before it is work of its own."""

    def run(*, interfere: bool) -> dict[str, bytes]:
        with SimulatedServer(group_topology(2, dismounted=("G1S2",), steps_per_call=2)) as server:
            api: BackupApi = server.session()
            prepared = prepare(api)
            api.backup_setup(prepared.context, prepared.instances["G1"], FULL)
            if interfere:
                api = Interferer(server, api)
            names = prepared.streams["G1"]
            files = {name: read_file(api, prepared.context, name) for name in names}
            for name in api.backup_get_log_and_patch_files(prepared.context):
                files[name] = read_file(api, prepared.context, name)
            return files

    assert run(interfere=True) == run(interfere=False)


# -- several clients on one group


def test_clients_race_for_a_group(eager_switching: None) -> None:
    with SimulatedServer(group_topology(1, steps_per_call=1)) as server:
        server.run_workload("G1", 50)
        done: list[dict[str, bytes]] = []
        refused: list[EseBackupError] = []

        def client() -> None:
            api = server.session()
            for _ in range(4):
                try:
                    done.append(back_up(api, "G1", truncate=False))
                except EseBackupError as error:
                    refused.append(error)

        run_together(*[client] * 4)
        assert len(done) + len(refused) == 16
        assert len(done) >= 2
        assert refused, "nobody met another: nothing was shown"
        assert {(error.call, error.jet) for error in refused} == {
            ("backup_setup", JetErr.BACKUP_IN_PROGRESS)
        }
        ids = [event.id for event in server.events]
        assert ids.count(213) == ids.count(210) == len(done)
        for files in done:
            ((found, expected),) = recovered_rows(server, [files]).values()
            assert found == expected


def test_a_second_client_in_every_phase_of_the_first() -> None:
    """What a stranger to a backup may call at all is refused, and the backup does not notice."""

    def stranger(server: SimulatedServer, prepared: Prepared, handle: int) -> None:
        api = server.session()
        context = prepare(api).context
        calls: list[tuple[Callable[[], object], int]] = [
            (lambda: api.backup_setup(context, prepared.instances["G1"], FULL), -505),
            (lambda: api.backup_setup(context, prepared.instances["G1"], LOGS), -505),
            (lambda: api.backup_open_file(context, prepared.streams["G1"][0]), -520),
            (lambda: api.backup_read_file(context, handle, bytearray(65536)), -520),
            (lambda: api.backup_close_file(context, handle), -520),
            (lambda: api.backup_get_log_and_patch_files(context), -520),
            (lambda: api.backup_get_truncate_log_files(context), -520),
            (lambda: api.backup_truncate_logs(context), -520),
            (lambda: api.backup_instance_end(context, InstanceEnd.SUCCESS), -520),
            (lambda: api.backup_instance_end(context, InstanceEnd.ERROR), -520),
        ]
        for call, error in calls:
            with pytest.raises(EseBackupError) as caught:
                call()
            assert caught.value.jet == error
        api.backup_end(context)

    with SimulatedServer(group_topology(1)) as server:
        api = server.session()
        prepared = prepare(api)
        context = prepared.context
        api.backup_setup(context, prepared.instances["G1"], FULL)
        stranger(server, prepared, 1)
        files = {}
        for name in prepared.streams["G1"]:
            (opened,) = api.backup_open_file(context, name)
            data = bytearray(opened.size)
            half = opened.size // 2
            got = api.backup_read_file(context, opened.handle, memoryview(data)[:half])
            stranger(server, prepared, opened.handle)
            got += api.backup_read_file(context, opened.handle, memoryview(data)[half:])
            assert got == opened.size
            api.backup_close_file(context, opened.handle)
            files[name] = bytes(data)
        for name in api.backup_get_log_and_patch_files(context):
            stranger(server, prepared, 1)
            files[name] = read_file(api, context, name)
        api.backup_truncate_logs(context)
        stranger(server, prepared, 1)
        api.backup_instance_end(context, InstanceEnd.SUCCESS)
        ((found, expected),) = recovered_rows(server, [files]).values()
        assert found == expected


def test_administrators_and_clients_race(eager_switching: None) -> None:
    """A store comes and goes as it may; whatever backup completes is whole."""
    with SimulatedServer(group_topology(2, steps_per_call=1, dismounted=("G1S2",))) as server:
        done: list[dict[str, bytes]] = []
        moved: Counter[bool] = Counter()
        over = threading.Event()

        def client() -> None:
            api = server.session()
            try:
                while len(done) < 5:
                    try:
                        done.append(back_up(api, "G1", truncate=False))
                    except EseBackupError as error:
                        # Dismounted between Prepare and Setup: a client has to look again.
                        assert (error.call, error.jet) == ("backup_open_file", -1203)
                        api.connection_lost()
            finally:
                over.set()

        def administrator() -> None:
            while not over.is_set() or not moved[True]:
                for act in (server.mount, server.dismount):
                    try:
                        act("G1", "G1S2")
                        moved[True] += 1
                    except EseBackupError as error:
                        assert error.jet == JetErr.BACKUP_IN_PROGRESS
                        moved[False] += 1

        run_together(client, administrator)
        assert moved[False], "no attempt met a backup: nothing was shown"
        for files in done:
            stores = [s.name for s in server.groups[0].spec.stores if s.edb in files]
            for found, expected in recovered_rows(server, [files], stores=stores).values():
                assert found == expected
