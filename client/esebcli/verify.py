"""Verifying backup sets without a server.

Every byte is read once: hash and size against the manifest, then what the files say about
themselves (:mod:`esebcli.contents`), how they belong together (:mod:`esebcli.consistency`), and,
over all sets given, how far each group can be restored (:mod:`esebcli.chains`). Nothing is
written.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from attrs import evolve

from esebcli.chains import reach_of
from esebcli.consistency import check_group
from esebcli.contents import Depth, FileFacts, check_for
from esebcli.copying import BUFFER_SIZE
from esebcli.errors import SetError
from esebcli.findings import Finding, Layer
from esebcli.lineage import chains_of
from esebcli.manifest import FileKind, SavedFile, SavedGroup, State
from esebcli.reports import ChainReport, GroupReport, Report, SetReport
from esebcli.sets import BackupSet, open_set


def verify_sets(folders: Sequence[Path], depth: Depth = Depth.PAGES) -> Report:
    """Verify sets, alone and as a chain; their order doesn't matter. Never raises for bad sets."""
    alone = [verify_set(folder, depth) for folder in folders]
    given = {report.manifest.set_id for report in alone if report.manifest}
    sets = tuple(evolve(report, notes=_links(report, given)) for report in alone)
    return Report(sets, tuple(ChainReport(chain, reach_of(chain)) for chain in chains_of(sets)))


def _links(report: SetReport, given: Container[uuid.UUID]) -> tuple[str, ...]:
    previous = report.manifest.previous if report.manifest else None
    if previous is None or previous in given:
        return ()
    return (f"it continues set {previous}, which was not given",)


def verify_set(folder: Path, depth: Depth = Depth.PAGES) -> SetReport:
    """Verify one set. Never raises for a bad set."""
    try:
        opened = open_set(folder)
    except SetError as error:
        return SetReport(folder, None, (Finding(Layer.MANIFEST, str(error)),))
    groups = tuple(_verify_group(opened, group, depth) for group in opened.manifest.groups)
    empty = () if groups else (Finding(Layer.MANIFEST, "it holds no storage group"),)
    return SetReport(folder, opened.manifest, empty, groups)


def _verify_group(opened: BackupSet, group: SavedGroup, depth: Depth) -> GroupReport:
    if group.state is not State.COMPLETE:
        reason = group.error or "the backup was never finished"
        text = f"the backup is incomplete and can't be restored ({reason})"
        return GroupReport(group, (Finding(Layer.STATE, text),))
    problem = _folder_problem(opened.folder / group.folder)
    if problem:
        return GroupReport(group, (Finding(Layer.FILE, f"folder {group.folder} {problem}"),))
    findings = list(_contradictions(group))
    facts: list[FileFacts] = []
    for file in group.files:
        file_facts = _verify_file(opened, group, file, depth, findings)
        if file_facts is not None:
            facts.append(file_facts)
            findings += file_facts.findings
    logs, chain_findings = check_group(opened.manifest.kind, facts)
    findings += chain_findings
    if group.logs != logs and not findings:
        findings.append(
            Finding(Layer.MANIFEST, f"the manifest says {group.logs}; the files hold {logs}")
        )
    return GroupReport(group, tuple(findings), tuple(_notes(opened, group)), tuple(facts))


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


def _verify_file(
    opened: BackupSet, group: SavedGroup, file: SavedFile, depth: Depth, findings: list[Finding]
) -> FileFacts | None:
    """Read a file; None if its contents can't be looked at."""
    check = check_for(file.kind, file.name, file.size, depth)
    digest = hashlib.sha256()
    size = 0
    buffer = memoryview(bytearray(BUFFER_SIZE))
    try:
        with opened.open_file(group, file) as source:
            while count := source.readinto(buffer):
                size += count
                digest.update(buffer[:count])
                if size <= file.size:
                    check.feed(buffer[:count])
    except FileNotFoundError:
        findings.append(Finding(Layer.FILE, "it is missing", file.name))
        return None
    except OSError as error:
        text = f"it can't be read: {error.strerror or error}"
        findings.append(Finding(Layer.FILE, text, file.name))
        return None
    if size != file.size:
        text = f"it has {size} bytes, the manifest says {file.size}"
        findings.append(Finding(Layer.FILE, text, file.name))
        return None
    if digest.hexdigest() != file.sha256:
        text = "its contents were changed or damaged (SHA-256 differs)"
        findings.append(Finding(Layer.FILE, text, file.name))
    return check.finish()


def _notes(opened: BackupSet, group: SavedGroup) -> Iterable[str]:
    yield from group.warnings
    if group.error:
        yield group.error
    known = {file.name for file in group.files}
    for entry in sorted((opened.folder / group.folder).iterdir()):
        if entry.name not in known:
            yield f"{group.folder}/{entry.name} is not part of the set"
