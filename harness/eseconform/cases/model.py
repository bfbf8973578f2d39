"""Cases as data: what server, what work goes on, which jobs, which faults, what may come of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import evolve, field, frozen

from eseback.errors import ROW_BY_NAME
from eseconform.task import Capability, JobKind
from esesim.faults import FaultAction, FaultRule, When


def is_error(name: str) -> bool:
    """Whether a case's name of an error, ``hrBackupInProgress`` or ``-569``, is one."""
    return name in ROW_BY_NAME or name.removeprefix("-").isdigit()


def names_error(name: str, hresult_name: str, jet: int | None) -> bool:
    """Whether a case's name of an error fits one that was met: by HRESULT, or by JET number."""
    return name in (hresult_name, str(jet))


class Expectation(StrEnum):
    """What a conformant client can make of a job."""

    SUCCESS = "success"
    """Nothing stands in the way: a client that reports a failure has failed."""
    ANY = "any"
    """A client may get over it or give up; the data decide whether it is honest."""
    REFUSED = "refused"
    """The server must refuse it, so nothing but a failure can be honest. A job in which it does
    not refuse shows nothing."""
    HOPELESS = "hopeless"
    """What it starts from can't give what is asked for: a restore of a chain with a hole. Nothing
    but a failure can be honest, whoever notices."""


@frozen
class JobSpec:
    """One job of a case.

    Attributes:
        kind: what is asked for; incremental and differential continue the chain of the sets before.
        groups: names of the storage groups to save; empty for all of the server.
        databases: display names of the only databases to save; empty for all.
        steps_before: steps of the workload in each group before the job starts.
        expect: what may come of it.
        answer: for ``refused``: name of the error that the server must have given.
        asked: what the client is told instead of the kind: a job that nobody can know.
        sets: for a restore: indices of the jobs whose sets are the chain, oldest first; empty for
            the chain that the last job before it belongs to.
        target: for a restore: the storage group to restore into; None: the same.
        play_forward, mount, parallel: see :class:`eseconform.task.Task`.
        new_server: for a restore: it goes to a server of the same name that was installed anew: its
            disks are empty, and its stores have other GUIDs.
    """

    kind: JobKind
    groups: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()
    steps_before: int = 0
    expect: Expectation = Expectation.SUCCESS
    answer: str | None = None
    asked: str | None = None
    sets: tuple[int, ...] = ()
    target: str | None = None
    play_forward: bool = False
    mount: bool = False
    parallel: bool = False
    new_server: bool = False

    @property
    def needs(self) -> frozenset[Capability]:
        """What a client must be able to do for it."""
        kinds = {Capability(self.kind.value)} if self.kind is not JobKind.FULL else set()
        asked = {
            Capability.PARTIAL: bool(self.databases),
            Capability.REDIRECT: self.target is not None,
            Capability.PLAY_FORWARD: self.play_forward,
            Capability.PARALLEL: self.parallel,
        }
        return frozenset(kinds | {capability for capability, wanted in asked.items() if wanted})


class Deed(StrEnum):
    """What somebody else does to the server while a client works, or between two of its jobs."""

    MOUNT = "mount"
    DISMOUNT = "dismount"
    SETUP = "setup"
    """A second client tries to back up the group, and leaves at once."""
    HOLD = "hold"
    """A second client begins a backup of the group and keeps it until it lets go."""
    LET_GO = "let_go"
    """The second client ends the backup that it holds."""
    STOP = "stop"
    """The server asks the running backup to stop."""
    WAIT = "wait"
    """The call takes its time: an hour passes, and the users work ``steps`` steps."""
    MEET = "meet"
    """The call waits until the backups of two storage groups are under way: the client works on
    both at the same time."""
    ANNOUNCE = "announce"
    """The size that the open of a file announces is ``bytes`` more than will come."""
    REMOVE_LOG = "remove_log"
    """Somebody deletes the oldest closed log of the group."""
    CRASH = "crash"
    """The server dies and starts again; what was not on its disks is gone."""
    DESTROY = "destroy"
    """The disks of the group are lost: databases, logs and checkpoint."""
    DESTROY_STORE = "destroy_store"
    """The files of a store are lost; the logs of its group are not."""
    OVERWRITABLE = "overwritable"
    """The administrator allows a restore to overwrite a store, or the whole group."""
    PROTECT = "protect"
    """The administrator forbids it."""
    CLEAR_LOGS = "clear_logs"
    """The administrator removes logs and checkpoint of a group that is at rest."""
    HOLD_RESTORES = "hold_restores"
    """A second client opens ``count`` restores of the group, each with its own folder."""
    LET_GO_RESTORES = "let_go_restores"
    """The second client closes the restores that it holds."""
    LOSE_SAVED = "lose_saved"
    """On the client's disk a file of a set (``set``, ``file``) is gone."""
    DAMAGE_SAVED = "damage_saved"
    """On the client's disk a byte in the middle of a file of a set is flipped."""
    CUT_SAVED = "cut_saved"
    """On the client's disk the last half of a file of a set is gone."""
    SWAP_SAVED = "swap_saved"
    """On the client's disk a file of a set has changed places with the one before it."""


OF_SAVED = (Deed.LOSE_SAVED, Deed.DAMAGE_SAVED, Deed.CUT_SAVED, Deed.SWAP_SAVED)
"""What happens to sets, and not to the server."""


@frozen
class EventSpec:
    """Something that happens on the server, apart from the client's calls.

    Attributes:
        do: what happens.
        group: storage group; None for the first of the server.
        store: the store that it is about; None for all of the group, where that can be.
        job: index of the job in which it happens,
        call: before which call of it; None: before the job begins.
        nth: before the nth such call, counted from 1.
        steps: for ``wait``: steps of the users' work.
        bytes: for ``announce``: how many too many.
        count: for ``hold_restores``: how many.
        set: index of the job whose set on the client's disk it happens to,
        file: and to which file: pattern for the last part of the name that the server gave it. Of
            several that match it is the one in the middle.
        refused: name of the error that the server must answer it with; None when it must succeed.
    """

    do: Deed
    group: str | None = None
    store: str | None = None
    job: int = 0
    call: str | None = None
    nth: int = 1
    steps: int = 0
    bytes: int = 0
    count: int = 1
    set: int = 0
    file: str = ""
    refused: str | None = None

    @property
    def text(self) -> str:
        """The event in words, for reports."""
        what = self.do.value.replace("_", " ") + (f" {self.store}" if self.store else "")
        if self.do in OF_SAVED:
            what += f" {self.file} of job {self.set + 1}"
        elif self.do is Deed.HOLD_RESTORES:
            what += f" {self.count}"
        when = f"before {self.call} {self.nth}" if self.call else "before the job"
        answer = f", refused with {self.refused}" if self.refused else ""
        return f"{what} {when}{answer}"


@frozen
class FaultSpec:
    """One rule of a case's fault plan.

    Attributes:
        action: what happens.
        call: method of BackupApi at which it happens.
        job: index of the job in which the rule is armed.
        group: storage group that the call must be about; None for any.
        file: pattern for the last part of the file name, ``*.edb``; None for any.
        nth: it happens at the nth matching call, counted from 1; 0 for the last one, which the
            harness finds out with a run that nothing disturbs,
        times: and at so many in all; 0 for all after it.
        when: before the call takes effect, or after.
        error: for ``hresult``: name of the error in the table of errors.
    """

    action: FaultAction
    call: str
    job: int = 0
    group: str | None = None
    file: str | None = None
    nth: int = 1
    times: int = 1
    when: When = When.BEFORE
    error: str | None = None

    def rule(self, last: int = 1) -> FaultRule:
        """The rule as the simulator takes it; ``last`` is the number of the last match.

        Raises:
            ValueError: the rule could never do what it says; KeyError: no such error.
        """
        return FaultRule(
            action=self.action,
            call=self.call,
            group=self.group,
            file=self.file,
            nth=self.nth or max(last, 1),
            times=self.times or None,
            when=self.when,
            hresult=None if self.error is None else ROW_BY_NAME[self.error].hresult,
        )

    @property
    def text(self) -> str:
        """The rule in words, for reports."""
        what = self.error or self.action.value.replace("_", " ")
        about = f" of {self.file}" if self.file else ""
        many = (
            "" if self.times == 1 else " and all after it" if not self.times else f" x{self.times}"
        )
        late = ", after its effect" if self.when is When.AFTER else ""
        which = f"match {self.nth}" if self.nth else "the last match"
        return f"{what} at {self.call}{about}, {which}{many}{late}"


@frozen
class Case:
    """A situation that a client is put into.

    Attributes:
        id: name on the command line.
        title: what it is about, in one line.
        family: what kind of case it is, for grouping.
        topology: one of this package's topologies, or one that is packaged with the simulator.
        requirements: ids of the rules that it can decide.
        jobs: what the client is asked to do, one after the other, on one server.
        suites: names of the suites that it belongs to.
        faults: what goes wrong.
        events: what others do to the server meanwhile.
        profile: version of the server, where it is another than the topology's.
        quirks: known faults of real servers that this one has.
        seconds_max: time limit of one job.
    """

    id: str
    title: str
    family: str
    topology: str
    requirements: tuple[str, ...]
    jobs: tuple[JobSpec, ...]
    suites: tuple[str, ...] = ("default",)
    faults: tuple[FaultSpec, ...] = field(default=())
    events: tuple[EventSpec, ...] = field(default=())
    profile: str | None = None
    quirks: tuple[str, ...] = ()
    seconds_max: float = 60.0

    @property
    def needs(self) -> frozenset[Capability]:
        """What a client must be able to do for it, beyond a full backup."""
        return frozenset(need for job in self.jobs for need in job.needs)

    def renamed(self, suffix: str) -> Case:
        """The same case under another id, for one that is run more than once."""
        return evolve(self, id=f"{self.id}-{suffix}")


@frozen
class CaseCatalogue:
    """All cases by id, in order, and the texts of their topologies by name."""

    cases: Mapping[str, Case]
    topologies: Mapping[str, str]

    @property
    def suites(self) -> tuple[str, ...]:
        """Names of all suites."""
        return tuple(sorted({suite for case in self.cases.values() for suite in case.suites}))

    def deciding(self, requirement: str) -> list[Case]:
        """The cases that can decide a requirement."""
        return [case for case in self.cases.values() if requirement in case.requirements]
