"""The backup overview's arithmetic: sixteen instances, four of them for storage groups that run, so
twelve restores at the same time, and not a thirteenth.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attrs import evolve

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE
from eseback.errors import EseBackupError, JetErr
from eseconform.cases import catalogue, topology_of
from eseconform.restorestage import look_at
from eseconform.stage import Stage
from eseconform.task import JobKind, Outcome, Task
from eseconform.zoo.restoring import Plan, RestoringClient
from tests.support.conformance import case

STAYS = "Store 1"
"""Ending of the name of the store of each group that stays mounted."""


class OneByOneAtOnce(RestoringClient):
    """Restores every database that is not mounted, each in a restore of its own, all at once."""

    def __init__(self, api: BackupApi, task: Task) -> None:
        super().__init__(api, task)
        self.single: list[Plan] = []
        self.thirteenth: EseBackupError | None = None

    def restore_all(self, plans: Sequence[Plan]) -> None:
        self.single = [
            evolve(plan, databases=(database,), there={})
            for plan in plans
            for database in plan.databases
            if not database.name.endswith(STAYS)
        ]
        for plan in self.single:
            self.begin(plan)
        try:
            self.begin(evolve(self.single[0], there={}))
        except EseBackupError as error:
            self.thirteenth = error
        with ThreadPoolExecutor(len(self.single)) as pool:
            jobs = [pool.submit(self.carry_on, plan) for plan in self.single]
        for job in jobs:
            job.result()


def test_twelve_restores_finish_and_the_thirteenth_is_refused(tmp_path: Path) -> None:
    with Stage(topology_of(case("restore-sixteen"), catalogue()), seed=1) as stage:
        task = Task(JobKind.FULL, stage.name, INFORMATION_STORE, stage.groups, tmp_path)
        stage.work(3)
        full = RestoringClient(stage.server.session(), task)
        assert full.run().outcome is Outcome.SUCCESS
        right = stage.server.journal.copy().rows
        for group in stage.server.groups:
            for store in group.spec.stores[1:]:
                stage.server.dismount(group.name, store.name)
                stage.server.destroy_store(group.name, store.name)
                stage.server.set_overwritable(group.name, store.name, True)

        work = tmp_path / "work"
        work.mkdir()
        task = evolve(task, kind=JobKind.RESTORE, set_folder=work, earlier_sets=(tmp_path,))
        client = OneByOneAtOnce(stage.server.session(), task)
        claim = client.run()

        assert claim.outcome is Outcome.SUCCESS, claim.reason
        assert len(client.single) == 12
        assert client.thirteenth is not None
        assert client.thirteenth.jet == JetErr.TOO_MANY_INSTANCES
        assert len({plan.folder.casefold() for plan in client.single}) == 12
        assert stage.server.restores == ()
        for plan in client.single:
            (database,) = plan.databases
            edb = database.streams[0]
            found = look_at(stage, database.name, edb, edb)
            assert found.problem == ""
            assert found.rows == right(edb, plan.generations[-1])


@pytest.mark.parametrize("name", ["restore-thirteenth", "restore-twelfth"])
def test_the_cases_about_it_hold_instances_of_a_second_client(name: str) -> None:
    events = [event for event in case(name).events if event.count > 1]
    assert [event.count for event in events] == [12 if name == "restore-thirteenth" else 11]
