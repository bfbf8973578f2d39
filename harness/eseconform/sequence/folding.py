"""Folds a transcript into steps."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import define, field, frozen

from eseback.constants import BackupType, InstanceEnd
from eseconform.judge import records
from eseconform.judge.records import CallError, CallRecord
from eseconform.sequence.drafts import NAME_CHARACTERS_MAX, Draft, runs_of_logs
from eseconform.sequence.facts import (
    fault_marks,
    files_of,
    group_logs,
    incident_marks,
    log_generation,
)
from eseconform.sequence.model import (
    GroupLogs,
    Step,
    StepKind,
    capped,
    range_text,
    ranges,
    size_text,
)
from eseconform.sequence.restoring import answer_of, handed_out, subject_of
from esesim.faults import FaultRule

_READ, _OPEN, _CLOSE = "backup_read_file", "backup_open_file", "backup_close_file"
_WRITE, _ANNOUNCE, _SHUT = "restore_write_file", "restore_open_file", "restore_close_file"
_LOG_LIST = "backup_get_log_and_patch_files"
_KINDS = {
    BackupType.FULL: "full",
    BackupType.LOGS_ONLY: "logs only",
    BackupType.FULL_WITH_ALL_LOGS: "full with all logs",
}
_ENDS = {InstanceEnd.ERROR: "error", InstanceEnd.SUCCESS: "success"}


@frozen
class Drawing:
    """What a report needs to draw one job."""

    steps: tuple[Step, ...]
    logs: dict[str, GroupLogs]


def draw(
    calls: Sequence[CallRecord],
    before: Mapping[str, Collection[int]],
    after: Mapping[str, Collection[int]],
    *,
    faults: Iterable[tuple[FaultRule, str]] = (),
    incidents: Iterable[tuple[str | None, int, str]] = (),
    remarkable: Collection[int] = (),
) -> Drawing:
    """A job in short.

    Args:
        calls: its transcript.
        before, after: closed log generations on the server's disks, by group.
        faults: the rules that were armed, each with its text.
        incidents: what others did: see :func:`incident_marks`.
        remarkable: numbers of the calls that a finding is about.
    """
    logs = group_logs(calls, before, after)
    marks = incident_marks(calls, incidents)
    for number, text in fault_marks(calls, faults).items():
        marks[number] = f"{marks[number]}; {text}" if number in marks else text
    return Drawing(steps_of(calls, remarkable=remarkable, marks=marks, logs=logs), logs)


def steps_of(
    calls: Sequence[CallRecord],
    *,
    remarkable: Collection[int] = (),
    marks: Mapping[int, str] | None = None,
    logs: Mapping[str, GroupLogs] | None = None,
) -> tuple[Step, ...]:
    """The steps of a job.

    Args:
        calls: its transcript.
        remarkable: numbers of the calls that a finding is about.
        marks: see :func:`fault_marks`.
        logs: see :func:`group_logs`; tells what truncation deleted.
    """
    folding = _Folding(set(remarkable), marks or {}, logs or {}, files_of(calls))
    for record, file in zip(calls, folding.files, strict=True):
        folding.take(record, file)
    folding.tell_truncation()
    drafts = runs_of_logs(folding.drafts)
    return tuple(capped([draft.step() for draft in drafts], set(remarkable)))


@define
class _Folding:
    remarkable: set[int]
    marks: Mapping[int, str]
    logs: Mapping[str, GroupLogs]
    files: list[str | None]
    drafts: list[Draft] = field(factory=list)
    open: dict[int, Draft] = field(factory=dict)
    listed: set[str] = field(factory=set)
    truncates: dict[str, Draft] = field(factory=dict)

    def take(self, record: CallRecord, file: str | None) -> None:
        """Add a call to the step that it belongs to, or begin one."""
        plain = record.error is None and not self._stands_out(record)
        handle = records.number(record, "handle")
        draft = self.open.get(handle)
        if plain and record.method == _READ:
            self._read(record, draft, file, handle)
        elif plain and record.method == _WRITE and draft is not None:
            draft.add(record)
            draft.writes += 1
            draft.bytes += record.arguments["data"]["bytes"]
        elif plain and record.method in (_CLOSE, _SHUT) and draft is not None:
            draft.add(record)
            draft.closed = True
            del self.open[handle]
        elif record.method in (_OPEN, _ANNOUNCE) and handed_out(record) and file is not None:
            self._opened(record, file)
        else:
            if record.method in (_READ, _CLOSE, _WRITE, _SHUT):
                self.open.pop(handle, None)
            self._alone(record, file)

    def _stands_out(self, record: CallRecord) -> bool:
        return record.number in self.remarkable or record.number in self.marks

    def _begin(self, record: CallRecord, file: str | None) -> Draft:
        draft = Draft(
            first=record.number,
            last=record.number,
            call=record.call.removeprefix("HrESEBackup").removeprefix("HrESE"),
            group=record.group,
            subject=records.base_name(file) if file else "",
            fault=self.marks.get(record.number, ""),
            remarkable=self._stands_out(record),
        )
        self.drafts.append(draft)
        return draft

    def _opened(self, record: CallRecord, file: str) -> None:
        draft = self._begin(record, file)
        draft.kind = StepKind.FILE
        generation = log_generation(file)
        draft.generations = [] if generation is None else [generation]
        if record.method == _ANNOUNCE:
            self.open[record.result["handle"]] = draft
            return
        for section in record.result:
            draft.size += section["size"]
            self.open[section["handle"]] = draft

    def _read(self, record: CallRecord, draft: Draft | None, file: str | None, handle: int) -> None:
        if draft is None:
            draft = self._begin(record, file)
            draft.kind = StepKind.READS
            self.open[handle] = draft
        else:
            draft.add(record)
        length, _ = records.bytes_read(record)
        draft.reads += 1
        draft.bytes += length
        draft.to_end = length == 0

    def _alone(self, record: CallRecord, file: str | None) -> None:
        draft = self._begin(record, file)
        if record.error is not None:
            draft.error = error_text(record.error)
        elif record.method == _READ:
            length = records.bytes_read(record)[0]
            draft.answer = size_text(length) if length else "0 bytes: the end"
        if record.method.startswith("restore_"):
            draft.subject = draft.subject or subject_of(record)
            draft.answer = draft.answer or answer_of(record)
        self._describe(draft, record)

    def _describe(self, draft: Draft, record: CallRecord) -> None:
        """Words for the calls that are about no file."""
        ok, group = record.error is None, record.group or ""
        match record.method:
            case "backup_prepare":
                draft.subject = records.text(record, "annotation")
                if ok:
                    found = len(records.prepared(record)[1])
                    draft.answer = f"{found} storage group{'' if found == 1 else 's'}"
            case "backup_setup":
                kind = records.number(record, "backup_type")
                draft.subject = _KINDS.get(BackupType(kind), "") if kind in _KINDS else f"? {kind}"
                self.listed.discard(group)
            case "backup_instance_end":
                flag = records.number(record, "flags")
                draft.subject = _ENDS[InstanceEnd(flag)] if flag in _ENDS else f"? {flag}"
            case "backup_get_log_and_patch_files" | "backup_get_truncate_log_files" if ok:
                draft.answer = _list_text(records.names(record))
                if record.method == _LOG_LIST and group not in self.listed:
                    self.listed.add(group)
                    draft.server = self._roll(record, group)
            case "backup_truncate_logs" if group in self.logs:
                before = self.truncates.get(group)
                if before is None or before.error:
                    self.truncates[group] = draft

    def tell_truncation(self) -> None:
        """What was deleted is known of the whole job; it goes to the call that may have done it:
        the first truncation of the group that succeeded, else the last that failed."""
        for group, draft in self.truncates.items():
            gone = self.logs[group].deleted
            nothing = "" if draft.error else "no generation was deleted"
            draft.server = f"deleted generations {range_text(gone)}" if gone else nothing

    def _roll(self, record: CallRecord, group: str) -> str:
        """The first list closes the current generation, so the highest one listed is new."""
        found = [g for n in records.names(record) if (g := log_generation(n)) is not None]
        before = self.logs[group].before if group in self.logs else ()
        if not found or any(low <= max(found) <= high for low, high in before):
            return ""
        return f"log rolled: generation {max(found)} closed, {max(found) + 1} current"


def error_text(error: CallError) -> str:
    """An error in one line: name, number, JET error, detail."""
    jet = f", JET {error.jet}" if error.jet is not None else ""
    detail = f": {error.detail}" if error.detail else ""
    return f"{error.name} (0x{error.hresult:08X}{jet}){detail}"


def _list_text(names: Sequence[str]) -> str:
    if not names:
        return "no files"
    found = [log_generation(name) for name in names]
    generations = ranges(g for g in found if g is not None)
    others = [records.base_name(n) for n, g in zip(names, found, strict=True) if g is None]
    parts = [f"generations {range_text(generations)}"] if generations else []
    parts += [name[:NAME_CHARACTERS_MAX] for name in others[:3]]
    more = ["..."] if len(others) > len(parts) else []
    return f"{len(names)} file{'' if len(names) == 1 else 's'}: {', '.join(parts + more)}"
