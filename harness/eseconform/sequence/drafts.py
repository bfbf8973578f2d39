"""Steps in the making: calls are added to them, and runs of logs become one."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from eseconform.judge.records import CallRecord
from eseconform.sequence.model import Step, StepKind, size_text

NAME_CHARACTERS_MAX = 160


@define
class Draft:
    """A step that calls may still be added to."""

    first: int
    last: int
    call: str
    group: str | None
    kind: StepKind = StepKind.CALL
    subject: str = ""
    answer: str = ""
    error: str = ""
    server: str = ""
    fault: str = ""
    calls: int = 1
    reads: int = 0
    writes: int = 0
    size: int = 0
    bytes: int = 0
    to_end: bool = False
    closed: bool = False
    remarkable: bool = False
    generations: list[int] = field(factory=list)

    def add(self, record: CallRecord) -> None:
        """One more call that is part of this step."""
        self.last = max(self.last, record.number)
        self.calls += 1

    @property
    def restores(self) -> bool:
        """Whether it is a step of a restore."""
        return self.call.startswith("Restore")

    @property
    def complete(self) -> bool:
        """Whether nothing of the file is missing, so far as these reads tell."""
        return self.to_end or self.bytes >= self.size > 0

    @property
    def is_flawless_log(self) -> bool:
        """A log that was opened, read to its end (or written) and closed without trouble."""
        moved = self.complete or self.writes > 0
        whole = self.kind is StepKind.FILE and self.closed and moved
        return whole and bool(self.generations) and not self.remarkable

    def words(self) -> str:
        """The answer of a step that reads or writes."""
        if self.writes:
            writes = f"{self.writes} write{'' if self.writes == 1 else 's'}"
            many = f"{len(self.generations)} files, " if self.kind is StepKind.LOGS else ""
            return f"{many}{size_text(self.bytes)} in {writes}"
        if self.restores and self.kind is StepKind.FILE:
            return "closed, nothing written" if self.closed else "opened, nothing written"
        reads = f"{self.reads} read{'' if self.reads == 1 else 's'}"
        what = f"{size_text(self.bytes)} in {reads}"
        if self.kind is StepKind.LOGS:
            return f"{len(self.generations)} files, {what}, each to its end"
        if self.kind is StepKind.FILE and not self.reads:
            return f"{size_text(self.size)}, not read" if self.closed else size_text(self.size)
        end = "to the end" if self.complete else "not to the end"
        whole = "" if self.kind is StepKind.READS or self.bytes == self.size else _of(self.size)
        return f"{what}{whole}, {end}"

    def name(self) -> str:
        """The calls that the step stands for."""
        if self.kind is StepKind.CALL:
            return self.call
        names = [] if self.kind is StepKind.READS else ["OpenFile"]
        names += ["ReadFile"] * bool(self.reads) + ["WriteFile"] * bool(self.writes)
        names += ["CloseFile"] * self.closed
        return ", ".join(f"Restore{name}" if self.restores else name for name in names)

    def step(self) -> Step:
        """The step, finished."""
        return Step(
            first=self.first,
            last=self.last,
            calls=self.calls,
            call=self.name(),
            kind=self.kind,
            group=self.group,
            subject=self.subject[:NAME_CHARACTERS_MAX],
            answer=self.answer if self.kind is StepKind.CALL else self.words(),
            error=self.error,
            server=self.server,
            fault=self.fault,
        )


def _of(size: int) -> str:
    return f" of {size_text(size)}"


def runs_of_logs(drafts: Sequence[Draft]) -> list[Draft]:
    """Consecutive generations that were copied one after the other become one step a group."""
    result: list[Draft] = []
    last: dict[str | None, Draft] = {}
    for draft in drafts:
        before = last.get(draft.group)
        if draft.is_flawless_log and before is not None and _goes_on(before, draft):
            _join(before, draft)
            continue
        result.append(draft)
        last[draft.group] = draft
    return result


def _goes_on(before: Draft, draft: Draft) -> bool:
    run = before.kind is StepKind.LOGS or before.is_flawless_log
    return run and before.generations[-1] + 1 == draft.generations[0]


def _join(before: Draft, draft: Draft) -> None:
    if before.kind is not StepKind.LOGS:
        before.kind, before.answer = StepKind.LOGS, before.subject
    before.generations += draft.generations
    before.subject = f"{before.answer} to {draft.subject}"
    before.last = max(before.last, draft.last)
    before.calls += draft.calls
    before.reads += draft.reads
    before.writes += draft.writes
    before.bytes += draft.bytes
