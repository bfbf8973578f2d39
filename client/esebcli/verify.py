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

from attrs import evolve, frozen

from esebcli.chains import Chain, ChainBase, ChainLog, Reach, reach_of
from esebcli.consistency import check_group
from esebcli.contents import Depth, FileFacts, check_for
from esebcli.copying import BUFFER_SIZE
from esebcli.errors import SetError
from esebcli.findings import Finding, Layer
from esebcli.loglists import parse_listed_log
from esebcli.manifest import FileKind, Manifest, SavedFile, SavedGroup, State
from esebcli.sets import BackupSet, open_set


@frozen
class GroupReport:
    """What was found in a group's part of a set.

    ``notes`` are no damage: what the user should know all the same.
    """

    group: SavedGroup
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    facts: tuple[FileFacts, ...] = ()


@frozen
class SetReport:
    """What was found in a set. ``manifest`` is None if it couldn't be read."""

    folder: Path
    manifest: Manifest | None
    findings: tuple[Finding, ...] = ()
    groups: tuple[GroupReport, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the set is complete and undamaged."""
        return not self.findings and not any(report.findings for report in self.groups)


@frozen
class ChainReport:
    """How far one group can be restored from all the sets together."""

    chain: Chain
    reach: Reach


@frozen
class Report:
    """The outcome of :func:`verify_sets`."""

    sets: tuple[SetReport, ...]
    chains: tuple[ChainReport, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged, incomplete or missing."""
        chains_ok = not any(report.reach.findings for report in self.chains)
        return chains_ok and all(report.ok for report in self.sets)

    def restorable_to(self, group: str) -> int | None:
        """The generation that a group can be restored to; for reports about one server."""
        for report in self.chains:
            if report.chain.group == group:
                return report.reach.restorable_to
        return None


def verify_sets(folders: Sequence[Path], depth: Depth = Depth.PAGES) -> Report:
    """Verify sets, alone and as a chain; their order doesn't matter. Never raises for bad sets."""
    alone = [verify_set(folder, depth) for folder in folders]
    given = {report.manifest.set_id for report in alone if report.manifest}
    sets = tuple(evolve(report, notes=_links(report, given)) for report in alone)
    return Report(sets, tuple(ChainReport(chain, reach_of(chain)) for chain in _chains(sets)))


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
    return SetReport(folder, opened.manifest, (), groups)


def _verify_group(opened: BackupSet, group: SavedGroup, depth: Depth) -> GroupReport:
    if group.state is not State.COMPLETE:
        reason = group.error or "the backup was never finished"
        text = f"the backup is incomplete and can't be restored ({reason})"
        return GroupReport(group, (Finding(Layer.STATE, text),))
    if (opened.folder / group.folder).is_symlink():
        return GroupReport(group, (Finding(Layer.FILE, f"folder {group.folder} is a link"),))
    findings: list[Finding] = []
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


def _chains(sets: Sequence[SetReport]) -> Iterable[Chain]:
    """The chains of all groups, in the order in which the groups first appear."""
    members: dict[tuple[str, str, str], list[tuple[SetReport, GroupReport]]] = {}
    for report in sets:
        if report.manifest is not None:
            origin = (report.manifest.server.casefold(), report.manifest.annotation)
            for group in report.groups:
                members.setdefault((*origin, group.group.name), []).append((report, group))
    for parts in members.values():
        yield _chain(parts)


def _chain(parts: Sequence[tuple[SetReport, GroupReport]]) -> Chain:
    bases: list[ChainBase] = []
    logs: list[ChainLog] = []
    missing: dict[int, str] = {}
    promised = 0
    for report, part in parts:
        where = report.folder.name or str(report.folder)
        base = _base(report, part, where)
        if base is not None:
            bases.append(base)
        if part.group.state is not State.COMPLETE or part.group.logs is None:
            continue
        promised = max(promised, part.group.logs.high)
        damaged = {
            f.file for f in part.findings if f.file is not None and f.layer is not Layer.CHAIN
        }
        headers = {facts.name: facts.log for facts in part.facts if facts.log is not None}
        for file in part.group.files:
            header = headers.get(file.name)
            if header is not None and file.name not in damaged:
                logs.append(ChainLog(header, file.sha256, where))
            elif named := parse_listed_log(file.name):
                missing[named[1]] = f"log {named[1]} in {where} is damaged or missing"
    manifest = parts[0][0].manifest
    assert manifest is not None
    return Chain(
        server=manifest.server,
        annotation=manifest.annotation,
        group=parts[0][1].group.name,
        bases=tuple(bases),
        logs=tuple(logs),
        missing=missing,
        promised=promised,
    )


def _base(report: SetReport, part: GroupReport, where: str) -> ChainBase | None:
    """The images of a set, if all of them are there and undamaged."""
    assert report.manifest is not None
    if not report.manifest.kind.has_databases or part.group.state is not State.COMPLETE:
        return None
    log_names = {file.name for file in part.group.files if file.kind is FileKind.LOG}
    # What is wrong with a log only limits how far the images can be brought, and a log that is
    # missing here may be in another set.
    if any(f.file not in log_names and f.layer is not Layer.RANGE for f in part.findings):
        return None
    needed = [facts.trailer.bkinfo for facts in part.facts if facts.trailer is not None]
    if not needed:
        return None
    return ChainBase(
        where, min(info.gen_low for info in needed), max(info.gen_high for info in needed)
    )
