"""What is restored from which set, decided before a server is asked for anything.

The sets have been verified; :mod:`esebcli.chains` says how far each database gets and why not
further. Here that becomes a plan, or a refusal: whatever would leave a database short of what the
sets promise is refused with the reason. Damage that stands in nobody's way (the older of two fulls,
a log that another set holds undamaged) is a warning.

The rules of the plan are those of hard recovery (ESE source _log/logutil.cxx): the logs of a group
without a gap, from the first that any image needs; each of them once, whichever sets hold it; the
sets that images are taken from come first, because only with them does a restore begin.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen

from esebcli.chains import Chain, DatabaseReach, Stop, reach_of
from esebcli.context import is_called
from esebcli.errors import RestoreRefused, UserError
from esebcli.findings import summarise
from esebcli.lineage import chains_of
from esebcli.loglists import parse_listed_log
from esebcli.manifest import FileKind, SavedDatabase, SavedFile, SavedGroup
from esebcli.names import is_safe_name, last_component
from esebcli.reports import GroupReport, Report, SetReport
from esebcli.restorechoice import Choice
from esebcli.sets import BackupSet


@frozen
class PlannedDatabase:
    """A database to restore: what the set says of it, and the files of its image.

    ``files`` are in the order of ``saved.original_names``.
    """

    saved: SavedDatabase
    files: tuple[SavedFile, ...]


@frozen
class Stage:
    """What is taken from one set: images, and then ``others``: logs and patch files."""

    opened: BackupSet
    group: SavedGroup
    databases: tuple[PlannedDatabase, ...]
    others: tuple[SavedFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        images = (file for database in self.databases for file in database.files)
        return sum(file.size for file in (*images, *self.others))


@frozen
class GroupPlan:
    """The restore of one storage group.

    Attributes:
        group: its name at backup time.
        stages: the sets in the order in which they are restored, those with images first.
        base_name, low, high: the logs that are restored, both ends included.
        warnings: what the user should know although nothing is refused.
    """

    group: str
    stages: tuple[Stage, ...]
    base_name: str
    low: int
    high: int
    warnings: tuple[str, ...] = ()

    @property
    def databases(self) -> tuple[PlannedDatabase, ...]:
        """All databases, over all sets."""
        return tuple(database for stage in self.stages for database in stage.databases)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(stage.size for stage in self.stages)

    @property
    def log_folder(self) -> str:
        """The folder (Windows path) that the group's own logs were in when they were saved."""
        logs = [file for stage in self.stages for file in stage.others if _generation(file)]
        last = max(logs, key=_generation).original_name
        return last[: -len(last_component(last))].rstrip("\\/")


def plan_restore(
    choice: Choice, report: Report, databases: Sequence[str] = ()
) -> tuple[GroupPlan, ...]:
    """Plan the restore of every chosen group. ``report`` is of the chosen sets, in their order.

    ``databases`` are display names, in any case, or GUIDs; none at all means every database that
    the sets hold.

    Raises:
        UserError: a database is unknown or named twice.
        RestoreRefused: the sets can't be restored as far as they promise; the text says why.
    """
    sets = _labelled(report.sets)
    for of_set in sets:
        if of_set.findings:
            raise RestoreRefused(f"{of_set.folder}: {summarise(of_set.findings)}")
    chains = {chain.group: chain for chain in chains_of(sets)}
    return tuple(
        _Planner(
            name, _limited(chains[name], choice.limits.get(name)), _members(choice, sets, name)
        ).plan(databases)
        for name in choice.groups
    )


def _labelled(sets: Sequence[SetReport]) -> tuple[SetReport, ...]:
    """Give sets whose folders have the same name different ones."""
    count = Counter(report.where for report in sets)
    return tuple(
        evolve(report, label=str(report.folder)) if count[report.where] > 1 else report
        for report in sets
    )


def _limited(chain: Chain, limit: int | None) -> Chain:
    """The chain without what is newer than ``limit``."""
    if limit is None:
        return chain
    databases = []
    for database in chain.databases:
        newer = [image for image in database.images if image.high > limit]
        why = [f"its image in {i.where} needs log {i.high}, which is too new" for i in newer]
        images = tuple(image for image in database.images if image not in newer)
        databases.append(evolve(database, images=images, without=(*database.without, *why)))
    return evolve(
        chain,
        databases=tuple(databases),
        sets=tuple(evolve(s, high=min(s.high, limit)) for s in chain.sets if s.low <= limit),
        logs=tuple(log for log in chain.logs if log.header.generation <= limit),
        missing={g: text for g, text in chain.missing.items() if g <= limit},
    )


@frozen
class _Member:
    """A group's part of a set: the set, what was found, and how the set is called."""

    opened: BackupSet
    part: GroupReport
    label: str

    @property
    def group(self) -> SavedGroup:
        return self.part.group


def _members(choice: Choice, sets: Sequence[SetReport], name: str) -> list[_Member]:
    return [
        _Member(opened, part, of_set.where)
        for opened, of_set in zip(choice.sets, sets, strict=True)
        for part in of_set.groups
        if part.group.name == name
    ]


@frozen
class _Planner:
    name: str
    chain: Chain
    members: Sequence[_Member]

    def plan(self, wanted: Sequence[str]) -> GroupPlan:
        """Choose images and logs."""
        for member in self.members:
            whole = [finding for finding in member.part.findings if finding.file is None]
            if whole:
                self._refuse(f"{member.label}: {summarise(whole)}")
        reach = reach_of(self.chain)
        named = [self._find(reach.databases, name) for name in wanted]
        if len({one.guid for one in named}) != len(named):
            raise UserError("a database is named twice")
        reached = named or list(reach.claimed)
        if not reached:
            self._refuse(reach.reason)
        for one in reached:
            if one.restorable_to is None:
                damaged = any(member.part.findings for member in self.members)
                advice = "; verify says what is damaged" if damaged else ""
                self._refuse(f"{one.name}: {one.sentence}{advice}")
            if one.stop is not Stop.END:
                self._refuse(
                    f"{one.name}: {one.sentence}; add what is missing, or leave out the sets "
                    "that reach further"
                )
        if reach.twins:  # one of them is wrong, and nobody can say which
            self._refuse(summarise(reach.twins))
        return self._planned(reached, tuple(self._left_out(reach.databases, reached)))

    def _planned(self, reached: Sequence[DatabaseReach], warnings: tuple[str, ...]) -> GroupPlan:
        images = {image.where: image for d in self.chain.databases for image in d.images}
        bases: dict[str, list[uuid.UUID]] = {}
        lows = []
        for one in reached:
            assert one.base is not None
            bases.setdefault(one.base, []).append(one.guid)
            lows.append(self._image_low(one))
        low = min(lows)
        high = max(one.restorable_to or 0 for one in reached)
        first = sorted(bases, key=lambda where: images[where].low)
        picked = pick_logs(self._holders(), bases, low, high)
        others = sorted((w for w in picked if w not in bases), key=lambda w: picked[w][0])
        stages = tuple(
            self._stage(where, bases.get(where, []), picked.get(where, []))
            for where in (*first, *others)
        )
        used = {(s.opened.folder, f.name) for s in stages for f in _files_of(s)}
        base_name = next(m.group.logs.base_name for m in self.members if m.group.logs)
        warnings += tuple(self._needless_damage(used))
        return GroupPlan(self.name, stages, base_name, low, high, warnings)

    def _image_low(self, one: DatabaseReach) -> int:
        return next(
            image.low
            for database in self.chain.databases
            if database.guid == one.guid
            for image in database.images
            if image.where == one.base
        )

    def _holders(self) -> dict[str, set[int]]:
        """The undamaged generations of each set."""
        holders: dict[str, set[int]] = {}
        for log in self.chain.logs:
            holders.setdefault(log.where, set()).add(log.header.generation)
        return holders

    def _stage(self, where: str, guids: Sequence[uuid.UUID], picked: Sequence[int]) -> Stage:
        member = next(member for member in self.members if member.label == where)
        files = {file.original_name: file for file in member.group.files}
        databases = tuple(
            PlannedDatabase(saved, tuple(files[name] for name in saved.original_names))
            for saved in member.group.databases
            if saved.guid in guids
        )
        wanted = set(picked)
        logs = [
            file
            for file in member.group.files
            if file.kind is FileKind.LOG and _generation(file) in wanted
        ]
        if len(logs) != len(wanted):
            self._refuse(f"{where} holds a log more than once")
        others = (*sorted(logs, key=_generation), *_patches(member.part, databases))
        for file in others:
            # By this name it goes to the server: it becomes part of a path there.
            name = last_component(file.original_name)
            is_its_own = parse_listed_log(name) == parse_listed_log(file.name)
            if not (is_its_own and is_safe_name(name)):
                self._refuse(f"{where}: {file.name} can't be restored by the name {name!r}")
        return Stage(member.opened, member.group, databases, others)

    def _find(self, reaches: Iterable[DatabaseReach], name: str) -> DatabaseReach:
        known = list(reaches)
        found = [reach for reach in known if is_called(name, reach.name, reach.guid)]
        if not found:
            held = ", ".join(repr(reach.name) for reach in known) or "none"
            raise UserError(
                f"the sets know no database {name!r} of storage group {self.name!r} (they know: "
                f"{held})"
            )
        if len(found) > 1:
            guids = ", ".join(str(reach.guid) for reach in found)
            raise UserError(f"there are several databases {name!r}: name one by its GUID ({guids})")
        return found[0]

    def _left_out(
        self, known: Iterable[DatabaseReach], reached: Sequence[DatabaseReach]
    ) -> Iterator[str]:
        """Databases that the user may expect to be restored, and aren't."""
        claimed = {database.guid for database in self.chain.databases if database.claimed}
        for one in known:
            if one.guid not in claimed and one not in reached:
                yield f"database {one.name!r} is not restored: {one.reason}"

    def _needless_damage(self, used: set[tuple[Path, str]]) -> Iterator[str]:
        for member in self.members:
            needless = [
                finding
                for finding in member.part.findings
                if (member.opened.folder, finding.file) not in used
            ]
            if needless:
                yield f"{member.label} is damaged, but not where it matters: {summarise(needless)}"

    def _refuse(self, reason: str) -> None:
        raise RestoreRefused(
            f"storage group {self.name!r} can't be restored from these sets: {reason}"
        )


def pick_logs(
    holders: Mapping[str, set[int]], bases: Container[str], low: int, high: int
) -> dict[str, list[int]]:
    """From which set each generation is taken: each once, out of as few sets as possible.

    ``holders`` are the generations that each set holds, ``bases`` the sets that images come from:
    what they hold is taken from them, so that what is there after them can be recovered already.
    """
    picked: dict[str, list[int]] = {}
    generation = low
    while generation <= high:
        runs = {where: _run(held, generation, high) for where, held in holders.items()}
        best = max(runs, key=lambda where: (bool(runs[where]) and where in bases, runs[where]))
        assert runs[best], "the chain has no hole"
        picked.setdefault(best, []).extend(range(generation, generation + runs[best]))
        generation += runs[best]
    return picked


def _run(held: set[int], first: int, high: int) -> int:
    """How many generations from ``first`` on are there without a gap."""
    last = first
    while last <= high and last in held:
        last += 1
    return last - first


def _generation(file: SavedFile) -> int:
    named = parse_listed_log(file.name)
    return named[1] if named else 0


def _files_of(stage: Stage) -> Iterator[SavedFile]:
    for database in stage.databases:
        yield from database.files
    yield from stage.others


def _patches(part: GroupReport, databases: Sequence[PlannedDatabase]) -> Iterator[SavedFile]:
    """The patch files (Exchange 2000 RTM and SP1) of these images: the same database signature."""
    own = {file.name for database in databases for file in database.files}
    signatures = [f.header.sign_db for f in part.facts if f.name in own and f.header]
    names = {f.name for f in part.facts if f.patch and f.patch.sign_db in signatures}
    return (file for file in part.group.files if file.name in names)
