"""Backups of the scripted server in one line, and reading what they left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from attrs import evolve

from esebcli.job import BackupJob, BackupRequest, JobResult
from esebcli.manifest import MANIFEST_NAME, Kind, Manifest, SavedGroup, decode, encode
from esebcli.reports import Report
from esebcli.verify import verify_sets
from tests.esebcli.support_fake import SERVER, FakeServer


def back_up(
    server: FakeServer,
    folder: Path,
    kind: Kind = Kind.FULL,
    groups: tuple[str, ...] | None = None,
    *,
    previous: Path | None = None,
    parallel: int = 1,
) -> JobResult:
    """Run a job on the scripted server."""
    names = groups or tuple(group.name for group in server.groups)
    request = BackupRequest(SERVER, names, kind, folder, previous=previous, parallel=parallel)
    return BackupJob(lambda: server.api, request).run()


def manifest_of(folder: Path) -> Manifest:
    """The manifest as it stands on disk."""
    return decode((folder / MANIFEST_NAME).read_bytes())


def rewrite_manifest(folder: Path, change: Callable[[Manifest], Manifest]) -> None:
    """Change a manifest and give it a good digest again."""
    path = folder / MANIFEST_NAME
    path.write_bytes(encode(change(decode(path.read_bytes()))))


def rehash(folder: Path) -> None:
    """Make sizes and hashes in the manifest those of the files: damage then shows deeper down."""

    def of_group(group: SavedGroup) -> SavedGroup:
        files = []
        for file in group.files:
            data = (folder / group.folder / file.name).read_bytes()
            files.append(evolve(file, size=len(data), sha256=hashlib.sha256(data).hexdigest()))
        return evolve(group, files=tuple(files))

    rewrite_manifest(
        folder, lambda m: evolve(m, groups=tuple(of_group(group) for group in m.groups))
    )


def edit_raw(folder: Path, change: Callable[[dict[str, object]], None]) -> None:
    """Edit the JSON of a manifest without mending its digest."""
    path = folder / MANIFEST_NAME
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def names_in(folder: Path) -> list[str]:
    """Names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Turn one bit of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


def texts(*folders: Path) -> list[str]:
    """Everything that verify finds, as `group: [layer] file: text`."""
    return findings_of(verify_sets(folders))


def findings_of(report: Report) -> list[str]:
    """The same for a report."""
    found = []
    for of_set in report.sets:
        found += [f"[{f.layer.value}] {f}" for f in of_set.findings]
        for part in of_set.groups:
            found += [f"{part.group.name}: [{f.layer.value}] {f}" for f in part.findings]
    for of_chain in report.chains:
        found += [f"chain: [{f.layer.value}] {f}" for f in of_chain.reach.findings]
    return found
