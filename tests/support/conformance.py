"""Running cases of the harness in tests: settings, small clients, single jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE
from eseconform.cases import Case, catalogue, topology_of
from eseconform.events import EventStream, Listener
from eseconform.judge.chains import JobRecord
from eseconform.judge.data import GroupFacts
from eseconform.judge.protocol import Conversation, follow
from eseconform.runner import Settings
from eseconform.stage import Connection, Stage
from eseconform.sut import Sut
from eseconform.task import Claim, JobKind, Task
from eseconform.zoo.reference import ReferenceClient
from esesim.faults import FaultPlan

Client = Callable[[BackupApi, Task], object]


def reference(api: BackupApi, task: Task) -> Claim:
    """The zoo's client without a bug, as a factory."""
    return ReferenceClient(api, task).run()


def settings(folder: Path, client: Client = reference, *listeners: Listener) -> Settings:
    """Settings for a client, with the packaged cases."""
    return Settings(
        sut=Sut("python:tests:client", client),
        cases=catalogue(),
        seed=1,
        folder=folder,
        events=EventStream(None, listeners),
    )


def case(name: str, **changes: Any) -> Case:
    """A packaged case, changed where a test needs it."""
    return evolve(catalogue().cases[name], **changes)


@frozen
class Job:
    """A finished job with what a data judge needs. ``record.talk`` has task, claim and calls."""

    record: JobRecord
    facts: dict[str, GroupFacts]

    @property
    def group(self) -> str:
        """The only group."""
        return self.record.talk.task.groups[0]

    @property
    def claim(self) -> Claim:
        """What the client claimed."""
        assert self.record.talk.claim is not None
        return self.record.talk.claim

    def claiming(self, claim: Claim) -> JobRecord:
        """The same job with another claim."""
        return evolve(self.record, talk=evolve(self.record.talk, claim=claim))

    def saved(self, ending: str) -> Path:
        """Where the bytes of the first file with that ending are."""
        path = next(f.path for f in self.claim.files if f.name.endswith(ending))
        assert path is not None
        return path


def run_full(folder: Path, *, steps: int = 0) -> Job:
    """A full backup of the quiet store by the reference client, recorded but not judged."""
    with Stage(topology_of(case("sanity"), catalogue()), seed=1) as stage:
        stage.work(steps)
        facts = stage.facts()
        set_folder = folder / "set"
        set_folder.mkdir()
        task = Task(JobKind.FULL, stage.name, INFORMATION_STORE, stage.groups, set_folder)
        before = stage.closed_logs()
        connection = Connection.open(stage, FaultPlan([]), folder / "transcript.jsonl")
        claim = reference(connection.gate, task)
        talk = Conversation(task, claim, follow(connection.records()))
        connection.close()
        deleted = {group: before[group] - logs for group, logs in stage.closed_logs().items()}
        return Job(JobRecord(talk, deleted), facts)
