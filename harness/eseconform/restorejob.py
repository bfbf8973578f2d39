"""Restores as the runner does them: what a job starts from, and what it comes to.

A case may ask for a restore itself; and where a client can restore, every chain that it called good
is restored once more when the jobs of a case are over, to a server of the same name whose disks are
empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING

from attrs import frozen

from eseconform.judge.chains import JobRecord
from eseconform.judge.data import DataResult
from eseconform.judge.records import CallRecord
from eseconform.judge.restored import (
    Circumstances,
    Promise,
    RestoredStore,
    StoreState,
    judge_restored,
)
from eseconform.judge.restorefollow import folder_key, follow_restore
from eseconform.judge.restoreledger import FileWrite, Wanted, wanted_of
from eseconform.judge.restoretalk import RestoreTalk
from eseconform.judge.restoring import judge_restoring
from eseconform.judge.teardown import Leftovers, judge_restore_teardown
from eseconform.restorestage import look_at, production_folders, set_digests, store_states
from eseconform.stage import Stage
from eseconform.task import Claim, Outcome, Task
from eseconform.verdicts import Finding
from esesim.engine.inspect import Rows

if TYPE_CHECKING:
    from eseconform.cases import JobSpec


@frozen
class Start:
    """What a restore starts from, noted before the client is asked.

    Attributes:
        stage: the server that it goes to.
        task: what the client is asked.
        chain: the jobs whose sets are restored, oldest first.
        job: index of the restore in its case.
        wanted: what the sets hold, by storage group.
        stores: the stores of the server.
        sets: digests of the files of the sets.
        now: rows of a database that were committed last.
        used_folders: folders of earlier restores of the case.
    """

    stage: Stage
    task: Task
    chain: Sequence[JobRecord]
    job: int
    wanted: Mapping[str, Wanted]
    stores: Sequence[StoreState]
    sets: Mapping[str, str]
    now: Callable[[str], Rows]
    used_folders: frozenset[str]

    @classmethod
    def of(
        cls,
        stage: Stage,
        task: Task,
        chain: Sequence[JobRecord],
        job: int,
        used_folders: frozenset[str] = frozenset(),
    ) -> Start:
        """Note what there is before the restore."""
        journal = stage.server.journal.copy()
        bases = {group.name: group.spec.base for group in stage.server.groups}
        found = {g: wanted_of(chain, g, bases[g], task.databases) for g in task.groups}
        return cls(
            stage=stage,
            task=task,
            chain=chain,
            job=job,
            wanted={group: wanted for group, wanted in found.items() if wanted is not None},
            stores=store_states(stage),
            sets=set_digests(task.earlier_sets),
            now=journal.rows,
            used_folders=used_folders,
        )

    def end(
        self,
        claim: Claim | None,
        records: Sequence[CallRecord],
        writes: Sequence[FileWrite],
        left: Leftovers,
        expectation: Expected,
    ) -> End:
        """Judge the restore, now that the client is done."""
        follower = follow_restore(records)
        talk = RestoreTalk(
            task=self.task,
            claim=claim,
            follower=follower,
            wanted=self.wanted,
            writes=writes,
            production=production_folders(self.stage),
            used_folders=self.used_folders,
            job=self.job,
        )
        after = store_states(self.stage)
        sets = set_digests(self.task.earlier_sets)
        data = judge_restored(
            talk,
            Circumstances(
                promises={group: self._promise(group) for group in self.wanted},
                restored=self._restored() if talk.claims_success else {},
                before=self.stores,
                after=after,
                targets=frozenset(self._targets()),
                must_succeed=expectation.must_succeed,
                hopeless=expectation.hopeless,
                own=expectation.own,
                sets_changed=[n for n, digest in self.sets.items() if sets.get(n) != digest],
            ),
        )
        error = next((r.error for r in follower.restores if r.error is not None), None)
        note = f"after {error[1].name} at call {error[0]}" if error else ""
        findings = [
            *judge_restoring(talk),
            *judge_restore_teardown(left, follower, self.job, note),
            *data.findings,
        ]
        folders = {folder_key(r.folder) for r in follower.restores if r.folder is not None}
        done = claim is not None and claim.outcome is Outcome.SUCCESS
        files = [file for restore in follower.restores for file in restore.files]
        return End(
            findings=findings,
            data=data,
            folders=frozenset(folders) if done else frozenset(),
            files=len(files),
            bytes=sum(file.written for file in files) + sum(write.size for write in writes),
        )

    def _promise(self, group: str) -> Promise:
        """What the databases of a group have to hold afterwards."""
        if self.task.play_forward:
            return Promise(None, self._rows)
        return Promise(self.wanted[group].gen_high, self._rows)

    def _rows(self, edb: str, generation: int | None) -> Rows:
        if generation is None:
            return self.now(edb)
        return self.chain[-1].committed(edb, generation)

    def _targets(self) -> list[str]:
        """Files that the job is about, as keys."""
        target = self.task.target
        if target is None:
            return [folder_key(s) for wanted in self.wanted.values() for s in wanted.streams]
        spec = self.stage.server.group(target).spec
        return [folder_key(stream) for store in spec.stores for stream in store.streams]

    def _restored(self) -> dict[str, list[RestoredStore]]:
        """The databases afterwards, mounted and read."""
        return {
            group: [
                look_at(
                    self.stage, d.name, d.streams[0], self._destination(d.name, d.streams[0], group)
                )
                for d in wanted.databases
            ]
            for group, wanted in self.wanted.items()
        }

    def _destination(self, name: str, source: str, group: str) -> str:
        """Where the .edb of a database has to be: its own place, or that in the target."""
        if self.task.target is None:
            return source
        stores = self.stage.server.group(self.task.target).spec.stores
        stands_for = f"{group}/{name}".casefold()
        for store in stores:
            if store.recovery_of.casefold() == stands_for:
                return store.edb
        return next((store.edb for store in stores if store.name == name), source)


@frozen
class Expected:
    """What may come of a restore.

    Attributes:
        must_succeed: nothing stands in its way.
        hopeless: nothing but a failure is honest.
        own: it is the client's own, after the jobs of a case.
    """

    must_succeed: bool = True
    hopeless: bool = False
    own: bool = False


@frozen
class End:
    """What a restore came to.

    Attributes:
        findings: of all axes.
        data: what was found out by group; its findings are among the others.
        folders: folders that it used up, as keys.
        files, bytes: how many files the client announced, and bytes it wrote in either way.
    """

    findings: list[Finding]
    data: DataResult
    folders: frozenset[str]
    files: int
    bytes: int


def chains_to_restore(
    chains: Mapping[int, tuple[int, ...]],
    good: Mapping[int, bool],
    restored: Set[tuple[int, ...]],
    fulls: Set[int] = frozenset(),
) -> list[tuple[int, ...]]:
    """The chains of a case that its client's own restore has to show to be good.

    Args:
        chains: by job that made a set, the jobs whose sets are its chain, itself the last.
        good: whether the job called its set good, and it is what the client made it.
        restored: chains that the case has restored itself.
        fulls: the jobs that begin a chain which others continue.

    A chain that another one continues is shown by that one, and of several full backups in a row
    the last stands for all: that the sets of the others restore was seen by the replay.
    """
    whole = [chain for job, chain in chains.items() if all(good[j] for j in chain) and good[job]]
    longest = [
        chain
        for chain in whole
        if not any(other[: len(chain)] == chain for other in whole if len(other) > len(chain))
    ]
    last = max((job for job in fulls if good.get(job)), default=-1)
    return [
        chain
        for chain in longest
        if chain not in restored and (chain[0] not in fulls or chain[0] == last)
    ]


def describe(spec: JobSpec) -> str:
    """What is special about a job, each after a comma."""
    parts = [f"from job {', '.join(str(job + 1) for job in spec.sets)}"] if spec.sets else []
    parts += [f"into {spec.target}"] if spec.target is not None else []
    parts += ["to a server that was installed anew"] if spec.new_server else []
    parts += ["played forward"] if spec.play_forward else []
    parts += ["mounted by the server"] if spec.mount else []
    parts += ["all groups at once"] if spec.parallel else []
    return "".join(f", {part}" for part in parts)
