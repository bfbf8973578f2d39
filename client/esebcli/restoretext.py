"""What a restore came to, as text for people and as plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from esebcli.names import printable
from esebcli.render import size_text
from esebcli.restore import RestoreResult
from esebcli.restoredata import RestoredGroup


def restore_lines(result: RestoreResult) -> Iterable[str]:
    """A few lines for each group and one for the whole. Not why it failed."""
    for group in result.groups:
        yield from _group_lines(group)
    outcome = "done" if result.ok else "FAILED"
    yield printable(f"restore {outcome}: {result.server}")


def _group_lines(group: RestoredGroup) -> Iterable[str]:
    files = f"{group.files} files, {size_text(group.size)}"
    logs = f"logs {group.low} to {group.high}"
    yield printable(f"{group.name}: {group.outcome.value}, {files}, {logs}, {group.seconds:.1f} s")
    for database in group.databases:
        yield printable(f"  {database.name}: {', '.join(database.destinations)}")
    for warning in group.warnings:
        yield printable(f"  warning: {warning}")


def restore_plain(result: RestoreResult) -> dict[str, Any]:
    """The same for JSON.

    ``ok``, ``reasons`` (why not, a line for each failure), ``server``, and for each of ``groups``:
    ``name``; ``outcome``: "recovered", "unfinished" (overwritten at least in part, not recovered)
    or "untouched"; ``error`` or null; ``databases`` with ``name``, ``guid``, ``sources`` and
    ``destinations`` (files at backup time and now); ``logs`` with ``low`` and ``high``, the
    generations that the sets hold; ``log_path`` on the server or null; ``sets``, the folders that
    something was taken from; ``files`` and ``bytes`` that were restored; ``seconds``; ``warnings``.
    """
    return {
        "ok": result.ok,
        "reasons": list(result.reasons),
        "server": result.server,
        "groups": [_group_plain(group) for group in result.groups],
    }


def _group_plain(group: RestoredGroup) -> dict[str, Any]:
    return {
        "name": group.name,
        "outcome": group.outcome.value,
        "error": group.error,
        "databases": [
            {
                "name": database.name,
                "guid": str(database.guid),
                "sources": list(database.sources),
                "destinations": list(database.destinations),
            }
            for database in group.databases
        ],
        "logs": {"low": group.low, "high": group.high},
        "log_path": group.log_path,
        "sets": list(group.sets),
        "files": group.files,
        "bytes": group.size,
        "seconds": round(group.seconds, 3),
        "warnings": list(group.warnings),
    }
