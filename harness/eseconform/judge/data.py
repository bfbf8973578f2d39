"""The data axis: is what the client saved restorable, to which generation, with which rows?

It is measured, not believed. The saved files are compared with what the server sent, then restored
and recovered, and the rows are compared with what the server's users had committed when the last
log of the chain was closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import define, frozen

from eseconform.errors import HarnessError
from eseconform.judge.chains import (
    JobRecord,
    assemble,
    breaks_chains,
    is_flawless,
    kept_generations,
    nothing_noted,
    set_files,
)
from eseconform.judge.records import base_name
from eseconform.judge.replay import Chain, Restored, restore
from eseconform.judge.setcheck import described, differences, unlisted
from eseconform.requirements import requirements
from eseconform.verdicts import Axis, Finding, Verdict, broken
from esesim.engine.config import InstanceConfig
from esesim.engine.inspect import Rows
from esesim.engine.log import Clock
from esesim.journal import differences as row_differences

NAMES_SHOWN_MAX = 3


@frozen
class GroupFacts:
    """What the judge is told about a storage group of the server.

    Attributes:
        config: parameters of its engine.
        clock: a clock for the recovery.
        committed: rows of a database (.edb name) committed when a generation was closed.
    """

    config: InstanceConfig
    clock: Clock
    committed: Callable[[str, int], Rows]


@define
class GroupTruth:
    """What was found out about one group in one job.

    Attributes:
        restorable_to: generation that the chain up to this job restores to, with the right rows.
        measured: whether that was tried at all.
        reason: why it does not restore, in words.
        unreadable: the saved bytes can't be read from here, so nothing can be said.
        summary: what was restored and compared, in words; empty when nothing was.
    """

    restorable_to: int | None = None
    measured: bool = False
    reason: str = ""
    unreadable: bool = False
    summary: str = ""


@frozen
class DataResult:
    """The data axis of one job: findings, and the truth by group for the honesty axis."""

    findings: list[Finding]
    truth: dict[str, GroupTruth]


def judge_data(
    chain: Sequence[JobRecord],
    groups: Mapping[str, GroupFacts],
    older: Sequence[JobRecord] = (),
) -> DataResult:
    """Judge the last job of a chain; the jobs before it are the sets that it continues.

    ``older`` are jobs before the chain: what their sets hold is not lost when it is deleted.

    Raises:
        HarnessError: a chain that is byte for byte what the server sent does not restore.
    """
    return _Judge(chain, groups, older).run()


class _Judge:
    def __init__(
        self,
        chain: Sequence[JobRecord],
        groups: Mapping[str, GroupFacts],
        older: Sequence[JobRecord],
    ) -> None:
        self._chain = chain
        self._older = older
        self._record = chain[-1]
        self._talk = chain[-1].talk
        self._groups = groups
        self._findings: list[Finding] = []
        self._flawed: set[str] = set()

    def run(self) -> DataResult:
        talk = self._talk
        truth = {group: GroupTruth() for group in talk.task.groups}
        if talk.claims_success:
            self._nothing_unlisted()
            self._one_place_each()
            self._earlier_sets_unchanged()
            for group in truth:
                self._files(group)
        elif self._record.must_succeed:
            reason = talk.claim.reason if talk.claim is not None else "no claim"
            text = f"the client gave up although nothing stood in its way: {reason or 'no reason'}"
            self._add("ESE-BKP-DATA-005", text)
        for group, outcome in truth.items():
            if talk.claims_success or self._claims_generation(group):
                self._restore(group, outcome, self._chain)
            if not talk.claims_success and outcome.measured and outcome.restorable_to is None:
                self._restore_without_this(group, outcome)
            self._deleted_logs(group, outcome)
        return DataResult(self._findings, truth)

    def _add(self, rule: str, text: str, *, critical: bool = False) -> None:
        finding = broken(requirements()[rule], text, job=self._talk.job, critical=critical)
        self._findings.append(finding)

    def _claims_generation(self, group: str) -> bool:
        claim = self._talk.claim
        return claim is not None and claim.generation_claimed(group) is not None

    # --- the files of this job -------------------------------------------------------------------

    def _nothing_unlisted(self) -> None:
        claim = self._talk.claim
        names = unlisted(claim.files if claim else (), self._talk.follower.backups)
        if names:
            self._add("ESE-BKP-DATA-004", f"the set holds {_some(names)}, which nobody listed")

    def _one_place_each(self) -> None:
        claim = self._talk.claim
        places: dict[Path, str] = {}
        for file in claim.files if claim else ():
            if file.path is None:
                continue
            first = places.setdefault(file.path.resolve(), file.name)
            if first != file.name:
                text = f"{base_name(first)} and {base_name(file.name)} are claimed at one place"
                self._add("ESE-BKP-DATA-007", f"{text}: {file.path.name}")

    def _earlier_sets_unchanged(self) -> None:
        for record in self._chain[:-1]:
            for group in self._talk.task.groups:
                files = set_files(record, group) if record.talk.claims_success else None
                for difference in differences(files) if files is not None else ():
                    text = f"the earlier set of job {record.talk.job + 1} is no longer what it was"
                    self._add("ESE-BKP-DATA-008", f"{text}: {described(difference)}")

    def _files(self, group: str) -> None:
        files = set_files(self._record, group)
        if files is None:
            self._flawed.add(group)
            self._add("ESE-BKP-DATA-004", f"the set holds nothing of {group}: it was not backed up")
            return
        if files.missing:
            self._flawed.add(group)
            self._add("ESE-BKP-DATA-004", f"the set of {group} lacks {_some(files.missing)}")
        if files.doubled:
            text = f"the set of {group} holds {_some(files.doubled)} more than once"
            self._add("ESE-BKP-DATA-004", text)
        for difference in differences(files):
            self._flawed.add(group)
            self._add("ESE-BKP-DATA-003", described(difference))
        for name, file in files.files.items():
            attempt = files.backup.complete_attempt(name)
            if attempt is not None and file.size != attempt.size:
                self._flawed.add(group)
                text = f"{base_name(name)} is saved with {file.size} of {attempt.size} bytes"
                self._add("ESE-BKP-DATA-006", f"{text} that OpenFile announced")

    def _add_if_claimed(self, rule: str, text: str) -> None:
        """A set that its client calls a failure need not restore."""
        if self._talk.claims_success:
            self._add(rule, text)

    # --- the chain -------------------------------------------------------------------------------

    def _restore_without_this(self, group: str, outcome: GroupTruth) -> None:
        """After a failure the chain still restores to where it did before."""
        before = GroupTruth()
        if len(self._chain) > 1:
            self._restore(group, before, self._chain[:-1])
        outcome.restorable_to, outcome.summary = before.restorable_to, before.summary

    def _restore(self, group: str, outcome: GroupTruth, records: Sequence[JobRecord]) -> None:
        sets = [set_files(record, group) for record in records]
        present = [files for files in sets if files is not None]
        if len(present) < len(sets) or not present:
            outcome.measured, outcome.reason = True, f"{group} is missing from the chain"
            return
        if any(files.unreadable for files in present):
            outcome.unreadable = True
            self._findings.append(
                Finding(
                    Axis.DATA,
                    Verdict.INCONCLUSIVE,
                    f"the saved bytes of {group} can't be read from here",
                    job=self._talk.job,
                )
            )
            return
        outcome.measured = True
        facts = self._groups[group]
        chain = assemble(present, facts.config.base)
        if chain is None:
            outcome.reason = f"the server never listed the logs of {group}"
            self._add_if_claimed("ESE-BKP-DATA-001", f"{group} does not restore: {outcome.reason}")
            return
        restored = restore(chain, facts.config, facts.clock)
        # A restore in between has begun the truth anew; what goes for older sets was noted then.
        last = records[-1]
        now = last is self._record or last.committed is nothing_noted
        committed = facts.committed if now else last.committed
        self._compare(group, chain, restored, outcome, committed)

    def _compare(
        self,
        group: str,
        chain: Chain,
        restored: Restored,
        outcome: GroupTruth,
        committed: Callable[[str, int], Rows],
    ) -> None:
        if restored.generation is None:
            outcome.reason = restored.problem
            self._suspect_ourselves(group, restored.problem)
            self._add_if_claimed(
                "ESE-BKP-DATA-001", f"{group} does not restore: {restored.problem}"
            )
            return
        rows = 0
        for database in chain.databases:
            wanted = committed(database.edb, restored.generation)
            rows += sum(map(len, wanted.values()))
            texts = row_differences(wanted, restored.rows[database.edb], NAMES_SHOWN_MAX)
            if texts:
                text = "; ".join(texts)
                outcome.reason = f"{database.name} has other rows than were committed: {text}"
                self._suspect_ourselves(group, outcome.reason)
                self._add_if_claimed("ESE-BKP-DATA-002", f"restored {outcome.reason}")
        if not outcome.reason:
            outcome.restorable_to = restored.generation
            outcome.summary = (
                f"{len(chain.images)} database files and logs {chain.gen_low:X} to "
                f"{chain.gen_high:X} recovered, {rows} rows as committed"
            )

    def _suspect_ourselves(self, group: str, problem: str) -> None:
        """A set without a flaw that does not restore is no fault of the client."""
        flawless = (
            self._talk.claims_success
            and all(is_flawless(record, group) for record in self._chain)
            and not any(breaks_chains(record, group) for record in self._older)
        )
        if flawless and group not in self._flawed:
            raise HarnessError(
                f"the set of {group} is byte for byte what the server sent, and {problem}"
            )

    # --- truncation ------------------------------------------------------------------------------

    def _deleted_logs(self, group: str, outcome: GroupTruth) -> None:
        removed = self._record.deleted.get(group, frozenset())
        asked_for = any(b.truncated_at is not None for b in self._talk.backups_of(group))
        kind = self._talk.task.kind
        if removed and asked_for and not kind.truncates:
            text = f"a job of kind {kind.value} deleted {len(removed)} logs of {group}"
            self._add("ESE-BKP-TRN-006", text, critical=True)
        # What the chain restores past is not lost, whatever else is wrong with the set.
        restorable = outcome.restorable_to or 0
        deleted = {g for g in self._record.deleted.get(group, ()) if g > restorable}
        asked = any(b.truncated_at is not None for b in self._talk.backups_of(group))
        if not deleted or not asked:
            return
        base = self._groups[group].config.base
        kept = kept_generations((*self._older, *self._chain), group, base)
        lost = sorted(deleted - kept)
        if lost:
            generations = ", ".join(f"{g:X}" for g in lost[:NAMES_SHOWN_MAX])
            more = f" and {len(lost) - NAMES_SHOWN_MAX} more" if len(lost) > NAMES_SHOWN_MAX else ""
            text = (
                f"TruncateLogs deleted logs of {group} that no set of the chain holds: "
                f"generation {generations}{more}"
            )
            self._add("ESE-BKP-TRN-004", text, critical=True)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(base_name(name) for name in names[:NAMES_SHOWN_MAX])
    more = len(names) - NAMES_SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown
