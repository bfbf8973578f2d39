"""What ``esesim ctl`` shows to people: one line for each thing, from the rows of the server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

Plain = Mapping[str, Any]


def state_lines(found: Plain) -> Iterator[str]:
    """The computer, its storage groups and their stores."""
    used = f"{found['instances']} of {found['instances_max']} instances"
    yield f"{found['computer']} ({found['profile']}): {used}, {found['clients']} clients"
    if len(found["computers"]) > 1:
        yield f"  on this endpoint: {', '.join(found['computers'])}"
    rate = found["rate"]
    yield f"  users: {'as the topology says' if rate is None else f'{rate:g} steps/s'}"
    if found["restores"]:
        yield f"  restores in progress: {found['restores']}"
    if found["fault_rules"]:
        yield f"  faults: {found['fault_rules']} rules"
    if found["recording"]:
        yield "  calls are written down"
    if found["snapshots"]:
        yield f"  snapshots: {', '.join(map(str, found['snapshots']))}"
    for group in found["groups"]:
        yield from _group_lines(group)


def _group_lines(group: Plain) -> Iterator[str]:
    yield f"  {group['group']}{' (recovery)' if group['recovery'] else ''}"
    if group["running"]:
        logs = _span(group["logs"], "no closed logs", "closed logs")
        yield f"    generation {group['generation']}, checkpoint {group['checkpoint']}, {logs}"
    else:
        yield "    not running"
    if group["backup"] is not None:
        is_open = ", a file is open" if group["file_open"] else ""
        yield f"    backup: {group['backup'].replace('_', ' ')}{is_open}"
    for store in group["stores"]:
        words = ["mounted" if store["mounted"] else "dismounted"]
        if store["overwritable"]:
            words.append("can be overwritten")
        yield f"    {store['store']}: {', '.join(words)}"


def ledger_lines(row: Plain) -> Iterator[str]:
    """A store: what it holds, what backups hold of it."""
    rows = ", ".join(f"{count} in {table}" for table, count in row["rows"].items())
    yield f"{row['group']} / {row['store']}: rows {rows}; {row['commits']} commits"
    for key in ("full_backup", "incremental_backup", "copy_backup", "differential_backup"):
        if row[key] is not None:
            yield f"  {key.replace('_', ' ')}: {_span(row[key], '', 'logs')}"
    if row["restorable_to"] is None:
        yield "  no backup brings it back"
    else:
        after = f"{row['commits_after']} commits after that"
        yield f"  restorable to generation {row['restorable_to']}, {after}"


def _span(span: list[int] | None, nothing: str, what: str) -> str:
    return nothing if span is None else f"{what} {span[0]} to {span[1]}"


def event_line(event: Plain) -> str:
    """An event as a log shows it."""
    time = datetime.fromtimestamp(event["time"], UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{time}  {event['id']:>3} {event['source']}  {event['group']}: {event['text']}"


def fault_line(found: Plain) -> str:
    """A rule and its counts."""
    rule = {key: value for key, value in found["rule"].items() if key != "action"}
    words = [found["rule"]["action"], *(f"{key}={value}" for key, value in rule.items())]
    problem = f"; {found['problem']}" if "problem" in found else ""
    return f"{' '.join(words)}: matched {found['matched']}, fired {found['fired']}{problem}"


def call_line(call: Plain) -> str:
    """A call of a transcript."""
    client = f"{call['client']}." if "client" in call else ""
    arguments = ", ".join(f"{name}={_short(value)}" for name, value in call["args"].items())
    if "error" in call:
        outcome = f"{call['error']['name']} {call['error']['detail']}".rstrip()
    else:
        outcome = _short(call["result"])
    return f"{client}{call['n']} {call['call']}({arguments}) -> {outcome}"


def _short(value: object, most: int = 60) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 1]}…"
