"""Verifying backup sets without a server.

Every file is read once: hash and size against the manifest (:mod:`esebcli.reading`), then what the
files say about themselves (:mod:`esebcli.contents`), how they belong together
(:mod:`esebcli.consistency`), and, over all sets given, how far each group can be restored
(:mod:`esebcli.chains`). Nothing is written. Large sets are read by several processes
(:mod:`esebcli.workers`).
"""

from __future__ import annotations

import uuid
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen

from esebcli.chains import reach_of
from esebcli.consistency import check_group
from esebcli.contents import Depth
from esebcli.errors import SetError
from esebcli.findings import Finding, Layer
from esebcli.lineage import chains_of
from esebcli.manifest import FileKind, SavedGroup, State
from esebcli.reading import FileResult, FileTask
from esebcli.reports import ChainReport, GroupReport, Report, SetReport
from esebcli.sets import BackupSet, open_set
from esebcli.workers import read_files


def verify_sets(folders: Sequence[Path], depth: Depth = Depth.PAGES, jobs: int = 1) -> Report:
    """Verify sets, alone and as a chain; their order doesn't matter. Never raises for bad sets.

    With more than one of ``jobs``, large sets are read by several processes. These import the main
    module of the program, which must stand that (``if __name__ == "__main__"``).

    Raises:
        WorkerError: one of these processes could not be started, or died.
    """
    opened = [_open(folder, depth) for folder in folders]
    tasks = [task for one in opened for part in one.parts for task in part.tasks]
    results = dict(zip(tasks, read_files(tasks, jobs), strict=True))
    alone = [_set_report(one, results) for one in opened]
    given = {report.manifest.set_id for report in alone if report.manifest}
    sets = tuple(evolve(report, notes=_links(report, given)) for report in alone)
    return Report(sets, tuple(ChainReport(chain, reach_of(chain)) for chain in chains_of(sets)))


def _links(report: SetReport, given: Container[uuid.UUID]) -> tuple[str, ...]:
    previous = report.manifest.previous if report.manifest else None
    if previous is None or previous in given:
        return ()
    return (f"it continues set {previous}, which was not given",)


@frozen
class _Part:
    """A group's part of a set: the files to read, or why there is no use in reading them."""

    group: SavedGroup
    tasks: tuple[FileTask, ...] = ()
    problem: Finding | None = None


@frozen
class _Opened:
    """A set of which only the manifest has been read; ``backup`` is None if it can't be."""

    folder: Path
    backup: BackupSet | None
    problem: Finding | None = None
    parts: tuple[_Part, ...] = ()


def _open(folder: Path, depth: Depth) -> _Opened:
    try:
        backup = open_set(folder)
    except SetError as error:
        return _Opened(folder, None, Finding(Layer.MANIFEST, str(error)))
    parts = tuple(_part(backup, group, depth) for group in backup.manifest.groups)
    empty = None if parts else Finding(Layer.MANIFEST, "it holds no storage group")
    return _Opened(folder, backup, empty, parts)


def _part(backup: BackupSet, group: SavedGroup, depth: Depth) -> _Part:
    if group.state is not State.COMPLETE:
        reason = group.error or "the backup was never finished"
        text = f"the backup is incomplete and can't be restored ({reason})"
        return _Part(group, problem=Finding(Layer.STATE, text))
    problem = _folder_problem(backup.folder / group.folder)
    if problem:
        return _Part(group, problem=Finding(Layer.FILE, f"folder {group.folder} {problem}"))
    tasks = [FileTask(backup.path_of(group, file), file, depth) for file in group.files]
    return _Part(group, tuple(tasks))


def _set_report(opened: _Opened, results: Mapping[FileTask, FileResult]) -> SetReport:
    findings = (opened.problem,) if opened.problem else ()
    if opened.backup is None:
        return SetReport(opened.folder, None, findings)
    groups = [_group_report(opened.backup, part, results) for part in opened.parts]
    return SetReport(opened.folder, opened.backup.manifest, findings, tuple(groups))


def _group_report(
    opened: BackupSet, part: _Part, results: Mapping[FileTask, FileResult]
) -> GroupReport:
    group = part.group
    if part.problem:
        return GroupReport(group, (part.problem,))
    findings = list(_contradictions(group))
    found = [results[task] for task in part.tasks]
    for result in found:
        findings += result.findings
        findings += result.facts.findings if result.facts else ()
    facts = tuple(result.facts for result in found if result.facts)
    logs, chain_findings = check_group(opened.manifest.kind, facts)
    findings += chain_findings
    if group.logs != logs and not findings:
        findings.append(
            Finding(Layer.MANIFEST, f"the manifest says {group.logs}; the files hold {logs}")
        )
    return GroupReport(group, tuple(findings), tuple(_notes(opened, group)), facts)


def _folder_problem(folder: Path) -> str | None:
    """Why the files of a group can't even be looked for, or None."""
    try:
        if folder.is_symlink():
            return "is a link"
        if not folder.exists():
            return "is missing"
        if not folder.is_dir():
            return "is no folder"
        next(folder.iterdir(), None)
    except OSError as error:
        return f"can't be read: {error.strerror or error}"
    return None


def _contradictions(group: SavedGroup) -> Iterable[Finding]:
    """Where the manifest's lists of databases and of files don't agree."""
    files = {file.original_name for file in group.files}
    saved = [database for database in group.databases if database.saved]
    for database in saved:
        for name in database.original_names:
            if name not in files:
                text = f"database {database.display_name!r} is said to be saved, its {name!r} isn't"
                yield Finding(Layer.MANIFEST, text)
    known = {name for database in saved for name in database.original_names}
    for file in group.files:
        is_image = file.kind in (FileKind.DATABASE, FileKind.STREAMING)
        if is_image and file.original_name not in known:
            yield Finding(
                Layer.MANIFEST, "it is of no database that is said to be saved", file.name
            )


def _notes(opened: BackupSet, group: SavedGroup) -> Iterable[str]:
    yield from group.warnings
    if group.error:
        yield group.error
    known = {file.name for file in group.files}
    for entry in sorted((opened.folder / group.folder).iterdir()):
        if entry.name not in known:
            yield f"{group.folder}/{entry.name} is not part of the set"
