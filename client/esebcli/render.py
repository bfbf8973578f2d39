"""Sets, results and reports as text for people and as plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import evolve

from esebcli.findings import Finding
from esebcli.job import JobResult
from esebcli.manifest import Manifest, SavedGroup, State, Truncation, to_plain
from esebcli.names import printable
from esebcli.reports import ChainReport, Report, SetReport
from esebcli.sets import BackupSet

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def size_text(size: int) -> str:
    """A size with a unit: ``4 bytes``, ``1.5 MiB``."""
    value = float(size)
    for unit in _UNITS[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == _UNITS[0] else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_UNITS[-1]}"


# --- backup


def result_lines(result: JobResult) -> Iterable[str]:
    """What a backup came to: a line for each group and one for the whole. Not why it failed."""
    for group in result.manifest.groups:
        yield from group_lines(evolve(group, error=None))
    outcome = "done" if result.ok else "FAILED"
    yield printable(f"{result.manifest.kind.value} backup {outcome}: {result.folder}")


def result_plain(result: JobResult) -> dict[str, Any]:
    """The same for JSON."""
    return {"ok": result.ok, "reasons": list(result.reasons)} | set_plain(
        BackupSet(result.folder, result.manifest)
    )


def group_lines(group: SavedGroup) -> Iterable[str]:
    """A group of a set in a few lines."""
    logs = f", logs {group.logs.low} to {group.logs.high}" if group.logs else ""
    files = f"{len(group.files)} files, {size_text(group.size)}{logs}"
    yield printable(
        f"{group.name}: {group.state.value}, {files}, truncation {group.truncation.value}"
    )
    if group.partial:
        yield printable(f"  {_partial_text(group)}")
    for warning in group.warnings:
        yield printable(f"  warning: {warning}")
    if group.error:
        yield printable(f"  error: {group.error}")


def _partial_text(group: SavedGroup) -> str:
    held = ", ".join(repr(database.display_name) for database in group.databases if database.saved)
    left = ", ".join(
        repr(database.display_name) for database in group.databases if not database.chosen
    )
    return f"partial: made of {held}, without {left}"


# --- show


def set_lines(opened: BackupSet) -> Iterable[str]:
    """A set, file by file."""
    manifest = opened.manifest
    previous = f", continues {manifest.previous}" if manifest.previous else ""
    yield printable(f"{opened.folder}: {manifest.kind.value} backup, {manifest.state.value}")
    yield printable(f"  set {manifest.set_id}{previous}")
    yield printable(f"  {manifest.annotation} on {manifest.server}, by {manifest.program}")
    yield printable(f"  {manifest.started} to {manifest.finished or '(not finished)'}")
    for group in manifest.groups:
        yield from (f"  {line}" for line in group_lines(group))
        for file in group.files:
            place = f"{group.folder}/{file.name}"
            yield printable(f"    {file.size:>12}  {place}  ({file.original_name})")


def set_plain(opened: BackupSet) -> dict[str, Any]:
    """The same for JSON: the manifest, the folder, and the state of the whole."""
    manifest: Manifest = opened.manifest
    return {"folder": str(opened.folder), "state": manifest.state.value, **to_plain(manifest)}


# --- verify


def report_lines(report: Report) -> Iterable[str]:
    """What was found: for each set, for each chain, and on the whole."""
    for of_set in report.sets:
        yield from _set_report_lines(of_set)
    for of_chain in report.chains:
        yield from _chain_lines(of_chain)
        yield from (f"  {_finding_text(finding)}" for finding in of_chain.reach.findings)
    yield "verified: " + ("ok" if report.ok else "NOT OK")


def _set_report_lines(report: SetReport) -> Iterable[str]:
    kind = f" ({report.manifest.kind.value})" if report.manifest else ""
    yield printable(f"{report.folder}{kind}: {'ok' if report.ok else 'NOT OK'}")
    yield from (f"  {_finding_text(finding)}" for finding in report.findings)
    yield from (f"  note: {note}" for note in report.notes)
    for part in report.groups:
        name = part.group.name
        for finding in part.findings:
            yield printable(f"  {name}: ") + _finding_text(finding)
        yield from (printable(f"  {name}: note: {note}") for note in part.notes)
        if part.group.state is State.COMPLETE and part.group.truncation is Truncation.UNKNOWN:
            yield printable(f"  {name}: note: whether its logs were truncated is unknown")


def _chain_lines(report: ChainReport) -> Iterable[str]:
    reach, group = report.reach, report.chain.group
    to = reach.restorable_to
    if to is not None:
        base = f" from {reach.base}" if reach.base else ""
        yield printable(f"{group}: restorable to log generation {to} (0x{to:X}){base}")
    elif reach.claimed:
        yield printable(f"{group}: not restorable as a whole")
    else:
        yield printable(f"{group}: not restorable: {reach.reason}")
    for database in reach.databases:
        yield printable(f"  {database.name}: {database.sentence}")


def _finding_text(finding: Finding) -> str:
    return printable(f"[{finding.layer.value}] {finding}")


def report_plain(report: Report) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "ok": report.ok,
        "sets": [
            {
                "folder": str(of_set.folder),
                "ok": of_set.ok,
                "set_id": str(of_set.manifest.set_id) if of_set.manifest else None,
                "kind": of_set.manifest.kind.value if of_set.manifest else None,
                "findings": _plain_findings(of_set.findings),
                "notes": list(of_set.notes),
                "groups": [
                    {
                        "name": part.group.name,
                        "state": part.group.state.value,
                        "truncation": part.group.truncation.value,
                        "findings": _plain_findings(part.findings),
                        "notes": list(part.notes),
                    }
                    for part in of_set.groups
                ],
            }
            for of_set in report.sets
        ],
        "chains": [
            {
                "server": of_chain.chain.server,
                "annotation": of_chain.chain.annotation,
                "group": of_chain.chain.group,
                "restorable_to": of_chain.reach.restorable_to,
                "base": of_chain.reach.base,
                "reason": of_chain.reach.reason,
                "databases": [
                    {
                        "name": database.name,
                        "guid": str(database.guid),
                        "restorable_to": database.restorable_to,
                        "base": database.base,
                        "stop": database.stop.value,
                        "reason": database.reason,
                        "sentence": database.sentence,
                    }
                    for database in of_chain.reach.databases
                ],
                "findings": _plain_findings(of_chain.reach.findings),
            }
            for of_chain in report.chains
        ],
    }


def _plain_findings(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    return [
        {"layer": finding.layer.value, "file": finding.file, "text": finding.text}
        for finding in findings
    ]
