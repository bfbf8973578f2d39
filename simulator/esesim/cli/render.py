"""An overview as lines for people or as one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from attrs import asdict

from ..engine.event import Event
from ..engine.table import Row
from .overview import GroupOverview, Overview, RestoreOverview, StoreOverview, Tables

_TEXT_MAX: Final = 40
_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")


def to_json(overview: Overview) -> str:
    """Everything, in full; binary columns as hexadecimal text."""
    return json.dumps(asdict(overview, value_serializer=_plain), indent=2, ensure_ascii=False)


def as_text(overview: Overview) -> str:
    """A readable summary; long values of rows are shortened."""
    return "\n".join(_lines(overview))


def _plain(_owner: Any, _field: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return {
            table: [{name: _plain_column(v) for name, v in row.items()} for row in rows]
            for table, rows in value.items()
        }
    return value


def _plain_column(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


def _lines(overview: Overview) -> Iterator[str]:
    if overview.server is not None:
        yield f"{overview.server}: {overview.version}"
    for group in overview.groups:
        yield from _indented(_group_lines(group))
    for store in overview.stores:
        yield from _store_lines(store)
    for restore in overview.restores:
        yield from _restore_lines(restore)
    if overview.events is not None:
        yield "Events:" if overview.events else "No events."
        yield from _indented(_event_line(event) for event in overview.events)


def _group_lines(group: GroupOverview) -> Iterator[str]:
    yield f"{group.name} ({group.base})"
    logs = "no closed logs"
    if group.generations:
        low, high = group.generations[0], group.generations[-1]
        logs = f"closed logs {low:#x} to {high:#x}, {_size(group.log_size)} each"
    yield f"  {group.log_path}: {logs}"
    for store in group.stores:
        yield from _indented(_store_lines(store))


def _store_lines(store: StoreOverview) -> Iterator[str]:
    yield f"{store.name}: {store.state or 'no database yet'}"
    for file in store.files:
        yield f"  {file.path}: {'missing' if file.size is None else _size(file.size)}"
    if store.state is not None:
        yield f"  backups: {_backups(store)}"
    if store.rows is not None:
        yield from _indented(_row_lines(store.rows))


def _restore_lines(restore: RestoreOverview) -> Iterator[str]:
    if restore.problem is not None:
        yield f"Restore in progress in {restore.folder}: {restore.problem}"
        return
    logs = "no logs"
    if restore.logs is not None:
        logs = f"logs {restore.logs[0]:#x} to {restore.logs[1]:#x}"
    yield f"Restore of {restore.group} in progress in {restore.folder}"
    yield f"  {', '.join(restore.databases) or 'no database'}; {logs}"
    yield f"  recovery: {restore.status}" + (f", {restore.error}" if restore.error else "")


def _backups(store: StoreOverview) -> str:
    said = [
        f"{kind} with logs {low:#x} to {high:#x}"
        for kind, (low, high) in (
            ("full", store.full_backup or (0, 0)),
            ("incremental", store.incremental_backup or (0, 0)),
        )
        if high
    ]
    return ", ".join(said) or "none"


def _row_lines(tables: Tables) -> Iterator[str]:
    for table, rows in tables.items():
        yield f"{table}: {len(rows)} rows"
        yield from _indented(_row_line(row) for row in rows)


def _row_line(row: Row) -> str:
    return " ".join(f"{name}={_short(v)}" for name, v in row.items() if v is not None)


def _short(value: object) -> str:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, str) and len(value) > _TEXT_MAX:
        return f"<{len(value)} characters>"
    return repr(value)


def _event_line(event: Event) -> str:
    time = datetime.fromtimestamp(event.time, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{time} {event.group}: {event.source} {event.id}: {event.text}"


def _size(size: int) -> str:
    """A size as people read it, exact where a unit divides it."""
    unit = 0
    value = float(size)
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{value:.0f} {_UNITS[unit]}" if value.is_integer() else f"{value:.1f} {_UNITS[unit]}"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
