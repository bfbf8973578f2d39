"""What a number of verified sets hold of each storage group: the input of :mod:`esebcli.chains`."""

from __future__ import annotations

import uuid
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final

from attrs import define, field

from esebcli.chains import Chain, ChainDatabase, ChainImage, ChainLog, ChainSet
from esebcli.consistency import backup_ends
from esebcli.findings import Layer
from esebcli.loglists import parse_listed_log
from esebcli.manifest import FileKind, SavedDatabase, State
from esebcli.reports import GroupReport, SetReport

_Part = tuple[SetReport, GroupReport]

# A log that is missing beside the images may be in another set, so it only limits how far they
# can be brought.
_NOT_OF_AN_IMAGE: Final = Layer.RANGE


def chains_of(sets: Sequence[SetReport]) -> Iterator[Chain]:
    """The chains of all groups, in the order in which the groups first appear."""
    given = {report.manifest.set_id for report in sets if report.manifest}
    members: dict[tuple[str, str, str], list[_Part]] = {}
    for report in sets:
        if report.manifest is not None:
            origin = (report.manifest.server.casefold(), report.manifest.annotation)
            for part in report.groups:
                members.setdefault((*origin, part.group.name), []).append((report, part))
    for parts in members.values():
        manifest = parts[0][0].manifest
        assert manifest is not None, "only sets with a manifest have groups"
        complete = [(report, part) for report, part in parts if part.group.state is State.COMPLETE]
        logs, missing = _logs(complete)
        yield Chain(
            server=manifest.server,
            annotation=manifest.annotation,
            group=parts[0][1].group.name,
            databases=tuple(_databases(parts)),
            sets=tuple(_sets(complete, given)),
            logs=logs,
            missing=missing,
        )


def _sets(parts: Iterable[_Part], given: Container[uuid.UUID]) -> Iterator[ChainSet]:
    for report, part in parts:
        manifest, logs = report.manifest, part.group.logs
        assert manifest is not None and logs is not None, "the set is complete"
        streams = [facts.log.sign_log for facts in part.facts if facts.log]
        yield ChainSet(
            report.where,
            manifest.kind,
            logs.low,
            logs.high,
            streams[0] if streams else None,
            None if manifest.previous in given else manifest.previous,
        )


def _logs(parts: Iterable[_Part]) -> tuple[tuple[ChainLog, ...], dict[int, str]]:
    """The logs that are undamaged, and what is wrong with the others by generation."""
    logs: list[ChainLog] = []
    missing: dict[int, str] = {}
    for report, part in parts:
        damaged = {
            f.file for f in part.findings if f.file is not None and f.layer is not Layer.CHAIN
        }
        headers = {facts.name: facts.log for facts in part.facts if facts.log is not None}
        for file in part.group.files:
            header = headers.get(file.name)
            if header is not None and file.name not in damaged:
                logs.append(ChainLog(header, file.sha256, report.where))
            elif named := parse_listed_log(file.name):
                missing[named[1]] = f"log {named[1]} in {report.where} is damaged or missing"
    return tuple(logs), missing


@define
class _Collected:
    """One database, as far as the sets have been looked at."""

    name: str
    images: list[ChainImage] = field(factory=list)
    without: list[str] = field(factory=list)
    claimed: bool = False


def _databases(parts: Iterable[_Part]) -> Iterator[ChainDatabase]:
    """The databases that the sets mention, in the order in which they first appear."""
    found: dict[uuid.UUID, _Collected] = {}
    for report, part in parts:
        for database in part.group.databases:
            collected = found.setdefault(database.guid, _Collected(database.display_name))
            reason = _why_not_saved(report, part, database)
            if reason is None:
                collected.claimed = True
                image = _image(report, part, database)
                if image is not None:
                    collected.images.append(image)
                    continue
                reason = f"its image in {report.where} is damaged or incomplete"
            collected.without.append(reason)
    for guid, one in found.items():
        yield ChainDatabase(one.name, guid, tuple(one.images), tuple(one.without), one.claimed)


def _why_not_saved(report: SetReport, part: GroupReport, database: SavedDatabase) -> str | None:
    """Why a set does not even claim to hold a database, or None if it does."""
    if not database.chosen:
        return f"{report.where} is partial and was made without it"
    if not database.mounted:
        return f"it was not mounted when {report.where} was made"
    if part.group.state is not State.COMPLETE:
        return f"the backup in {report.where} is incomplete"
    return None


def _image(report: SetReport, part: GroupReport, database: SavedDatabase) -> ChainImage | None:
    """The image of a database in a set, if all its files are there and undamaged."""
    assert report.manifest is not None
    if not report.manifest.kind.has_databases:
        return None
    own = {f.name for f in part.group.files if f.original_name in database.original_names}
    for facts in part.facts:
        if facts.name in own and facts.kind is FileKind.DATABASE and facts.header:
            sign_db = facts.header.sign_db
            own |= {f.name for f in part.facts if f.patch and f.patch.sign_db == sign_db}
            needed = [end.page.bkinfo for end in backup_ends(facts, part.facts)]
            if not needed or _damaged(part, own):
                return None
            return ChainImage(
                report.where,
                min(info.gen_low for info in needed),
                max(info.gen_high for info in needed),
                facts.header.sign_log,
            )
    return None


def _damaged(part: GroupReport, names: Container[str]) -> bool:
    """Whether something is wrong with one of these files, or with no file in particular."""
    return any(
        finding.layer is not _NOT_OF_AN_IMAGE and (finding.file is None or finding.file in names)
        for finding in part.findings
    )
