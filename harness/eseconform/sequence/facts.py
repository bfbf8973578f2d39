"""What a transcript tells besides its calls: where faults fired, and what became of the logs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from eseback.errors import ROW_BY_HRESULT
from eseback.formats.names import parse_log_name
from eseconform.judge import records
from eseconform.judge.records import CallError, CallRecord
from eseconform.sequence.model import GroupLogs, ranges
from esesim.faults import FaultRule, When


def log_generation(name: str) -> int | None:
    """The generation of a closed log, from its name or path; None for any other file."""
    file = records.base_name(name)
    try:
        return parse_log_name(file, file[:3])
    except ValueError:  # its first letters are no base name
        return None


def fault_marks(
    calls: Sequence[CallRecord], faults: Iterable[tuple[FaultRule, str]]
) -> dict[int, str]:
    """By call number, the texts of the faults that fired there.

    The plan itself only counts; going through its rules again tells at which calls they fired.
    """
    marks: dict[int, list[str]] = {}
    files = files_of(calls)
    for rule, text in faults:
        matched = 0
        for record, file in zip(calls, files, strict=True):
            happened = rule.when is When.BEFORE or record.error is None or _injected(record.error)
            if not (happened and rule.matches(record.method, record.group, file)):
                continue
            matched += 1
            if rule.hits(matched):
                marks.setdefault(record.number, []).append(text)
            if record.error is not None and record.error.lost:
                break  # nothing reaches the plan after a dropped connection
    return {number: "; ".join(texts) for number, texts in marks.items()}


def incident_marks(
    calls: Sequence[CallRecord], incidents: Iterable[tuple[str | None, int, str]]
) -> dict[int, str]:
    """By call number, what others did to the server right before that call.

    An incident is a method, which of its calls (from 1), and a text; without a method it happened
    before the job, and is told at the first call.
    """
    marks: dict[int, list[str]] = {}
    for method, nth, text in incidents:
        numbers = [record.number for record in calls if method in (None, record.method)]
        place = 1 if method is None else nth
        if place <= len(numbers):
            marks.setdefault(numbers[place - 1], []).append(text)
    return {number: "; ".join(texts) for number, texts in marks.items()}


def answers(calls: Iterable[CallRecord]) -> Iterator[tuple[str, int | None]]:
    """Every error that a client was told, by HRESULT's name and JET number: by the call that
    failed, or in the environment of a restore whose recovery it did not wait for.
    """
    for record in calls:
        if record.error is not None:
            yield record.error.name, record.error.jet
        elif record.method in ("restore_get_environment", "restore_load_environment"):
            result = record.result["hr_last_recover"]
            row = ROW_BY_HRESULT.get(result) if result else None
            if row is not None:
                yield row.name, row.jet


def _injected(error: CallError) -> bool:
    return error.detail.startswith("injected fault")


def files_of(calls: Sequence[CallRecord]) -> list[str | None]:
    """The file that each call is about, as far as its handle or name tells."""
    by_handle: dict[int, str] = {}
    result: list[str | None] = []
    for record in calls:
        name: str | None = records.text(record, "file_name") or None
        ok = record.error is None and name is not None
        if record.method == "backup_open_file" and ok and name is not None:
            by_handle.update((section["handle"], name) for section in record.result)
        elif record.method == "restore_open_file" and ok and name is not None:
            by_handle[record.result["handle"]] = name
        elif name is None:
            name = by_handle.get(records.number(record, "handle"))
        result.append(name)
    return result


def group_logs(
    calls: Sequence[CallRecord],
    before: Mapping[str, Collection[int]],
    after: Mapping[str, Collection[int]],
) -> dict[str, GroupLogs]:
    """What became of the logs of every group that the job backed up."""
    listed: dict[str, set[int]] = {}
    saved: dict[str, set[int]] = {}
    missing: dict[tuple[str, int], int] = {}
    for record, file in zip(calls, files_of(calls), strict=True):
        if record.group is None or record.error is not None:
            continue
        generation = None if file is None else log_generation(file)
        if record.method == "backup_setup":
            listed.setdefault(record.group, set())
            saved.setdefault(record.group, set())
        elif record.method == "backup_get_log_and_patch_files":
            found = (log_generation(name) for name in records.names(record))
            listed.setdefault(record.group, set()).update(g for g in found if g is not None)
        elif generation is None:
            continue
        elif record.method == "backup_open_file":
            missing[record.group, generation] = sum(s["size"] for s in record.result)
        elif record.method == "backup_read_file":
            left = missing.get((record.group, generation), 0) - records.bytes_read(record)[0]
            missing[record.group, generation] = left
            if left <= 0:
                saved.setdefault(record.group, set()).add(generation)
    result = {}
    for group, names in listed.items():
        then, now = set(before.get(group, ())), set(after.get(group, ()))
        result[group] = GroupLogs(
            before=ranges(then),
            listed=ranges(names),
            saved=ranges(saved.get(group, ())),
            deleted=ranges((then | names) - now),
            after=ranges(now),
        )
    return result
