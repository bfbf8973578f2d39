"""How far the databases of a chain of sets can be restored, and why not further.

A restore takes the image of a database out of one full or copy backup and replays logs onto it,
without a gap, from the first that the image needs to the last that is there. It doesn't matter
which set a log comes from. Sets may overlap (the checkpoint lags behind, so an incremental often
starts with logs that the set before it holds too); a log that two sets hold has to be the same
file. Databases of a group share its logs but not their images: a partial backup holds some of them,
and damage to one of them is none of the others' business.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from attrs import field, frozen

from eseback.formats.fields import LogTime, Signature
from eseback.formats.logheader import LogHeader
from esebcli.consistency import chain_problem
from esebcli.findings import Finding, Layer
from esebcli.loglists import logs_are
from esebcli.manifest import Kind


class Stop(Enum):
    """Why a database can't be restored any further."""

    END = "end"  # nothing more was saved
    NO_IMAGE = "no image"  # no set holds a usable image of it
    GAP = "gap"  # logs are in none of the sets
    MISSING_SET = "missing set"  # the same, before a set that continues one that isn't there
    DAMAGE = "damage"  # a log is damaged or missing in the set that should hold it
    OTHER_STREAM = "other stream"  # the next log is of another log stream
    BROKEN_LINK = "broken link"  # the next log does not continue the one before it


@frozen
class ChainLog:
    """A log that was found undamaged: its header, its hash, and the set it is in."""

    header: LogHeader
    sha256: str
    where: str


@frozen
class ChainSet:
    """The logs that a set should hold.

    ``stream`` is None where all of them are damaged. ``predecessor`` is the id of the set that it
    continues if that one was not given.
    """

    where: str
    kind: Kind
    low: int
    high: int
    stream: Signature | None
    predecessor: uuid.UUID | None = None


@frozen
class ChainImage:
    """An undamaged image of a database: the logs that it needs before it is consistent at all."""

    where: str
    low: int
    high: int
    stream: Signature


@frozen
class ChainDatabase:
    """One database of the group, over all sets.

    ``images`` are those that a restore can start from; ``without`` says of other sets why they hold
    none. ``claimed``: some set says that it does hold the database.
    """

    name: str
    guid: uuid.UUID
    images: tuple[ChainImage, ...]
    without: tuple[str, ...]
    claimed: bool


@frozen
class Chain:
    """All that the given sets hold of one group.

    Attributes:
        server, annotation, group: whose databases these are.
        databases: those that any of the sets mentions.
        sets: the complete ones, with the logs they should hold.
        logs: undamaged logs.
        missing: generations that a set should hold but that are damaged there, with what is wrong.
    """

    server: str
    annotation: str
    group: str
    databases: tuple[ChainDatabase, ...]
    sets: tuple[ChainSet, ...]
    logs: tuple[ChainLog, ...]
    missing: Mapping[int, str]


@frozen
class DatabaseReach:
    """How far one database can be restored.

    Attributes:
        name, guid: which one.
        restorable_to: the last generation that can be replayed, None if it can't be restored.
        base: the set whose image is used.
        stop: what kind of reason there is.
        reason: why not further, or why not at all; empty when the end is reached.
    """

    name: str
    guid: uuid.UUID
    restorable_to: int | None
    base: str | None
    stop: Stop
    reason: str = ""

    @property
    def sentence(self) -> str:
        """All of that in words."""
        to = self.restorable_to
        if to is None:
            return f"not restorable, because {self.reason}"
        text = f"restorable to log generation {to} (0x{to:X}) from {self.base}"
        if self.stop is Stop.END:
            return f"{text}, the last that was saved"
        return f"{text} and no further, because {self.reason}"


@frozen
class Reach:
    """How far the databases of a chain can be restored.

    ``claimed`` are those of ``databases`` that some set says it holds: they count for the group.
    ``findings``: what is wrong with the chain as a whole, with the ``twins`` among them: logs that
    two sets hold and that are not the same file.
    """

    databases: tuple[DatabaseReach, ...]
    claimed: tuple[DatabaseReach, ...]
    findings: tuple[Finding, ...] = ()
    twins: tuple[Finding, ...] = ()

    @property
    def restorable_to(self) -> int | None:
        """The generation that the whole group can be restored to, None if one database can't be."""
        reached = [reach.restorable_to for reach in self.claimed]
        known = [generation for generation in reached if generation is not None]
        return min(known) if known and len(known) == len(reached) else None

    @property
    def base(self) -> str | None:
        """The set whose images are used, None where there are several or none."""
        bases = {reach.base for reach in self.claimed}
        return bases.pop() if len(bases) == 1 else None

    @property
    def reason(self) -> str:
        """Why the group can't be restored further, or not at all; empty if it can to the end."""
        if not self.claimed:
            return "none of the sets holds a database of this group; give the full backup too"
        worst = min(self.claimed, key=lambda r: (r.restorable_to or 0, r.stop is Stop.END))
        return f"{worst.name}: {worst.reason}" if worst.reason else ""


def reach_of(chain: Chain) -> Reach:
    """For each database find the image that leads furthest, and say why not further."""
    walker = _Walker.of(chain)
    databases = tuple(_database_reach(database, walker) for database in chain.databases)
    claimed = tuple(
        reach
        for reach, database in zip(databases, chain.databases, strict=True)
        if database.claimed
    )
    twins = tuple(_twins(walker.logs))
    texts = {
        f"logs up to {walker.promised_max} were saved, but {reach.reason}": None
        for reach in claimed
        if reach.stop not in (Stop.END, Stop.NO_IMAGE)
    }
    findings = (*twins, *(Finding(Layer.CHAIN, text) for text in texts))
    return Reach(databases, claimed, findings, twins)


@frozen
class _Walk:
    """Replaying from one image on: the last log (None without the first), and what stops it."""

    image: ChainImage
    last: ChainLog | None
    stop: Stop
    reason: str

    @property
    def generation(self) -> int:
        """The last generation that can be replayed, 0 for none."""
        return self.last.header.generation if self.last else 0

    @property
    def restorable_to(self) -> int | None:
        """The same if that is enough for the image."""
        return self.generation if self.generation >= self.image.high else None

    @property
    def time(self) -> LogTime:
        """When the last log was made: how new the data of a restore would be."""
        return self.last.header.created if self.last else LogTime()


def _database_reach(database: ChainDatabase, walker: _Walker) -> DatabaseReach:
    name, guid = database.name, database.guid
    if not database.images:
        why = "; ".join(database.without)
        reason = "no set holds a usable image of it" + (f" ({why})" if why else "")
        return DatabaseReach(name, guid, None, None, Stop.NO_IMAGE, reason)
    # Within a log stream the higher generation is the newer one; numbers of two streams say
    # nothing about each other, so there the time decides.
    furthest: dict[Signature, _Walk] = {}
    for walk in map(walker.walk, database.images):
        rival = furthest.get(walk.image.stream)
        if rival is None or _rank(walk) > _rank(rival):
            furthest[walk.image.stream] = walk
    best = max(furthest.values(), key=lambda walk: (walk.restorable_to is not None, walk.time))
    if best.restorable_to is None:
        image = best.image
        needs = (
            f"the logs {image.low} to {image.high}"
            if image.high > image.low
            else (f"log {image.low}")
        )
        reason = f"its image in {image.where} needs {needs}, and {best.reason}"
        return DatabaseReach(name, guid, None, None, best.stop, reason)
    return DatabaseReach(name, guid, best.restorable_to, best.image.where, best.stop, best.reason)


def _rank(walk: _Walk) -> tuple[bool, int, int]:
    return walk.restorable_to is not None, walk.generation, walk.image.low


@frozen
class _Walker:
    """The logs of a chain by generation, and what stands in the way of replaying them."""

    chain: Chain
    logs: Mapping[int, Sequence[ChainLog]]
    based: frozenset[Signature] = field(repr=False)

    @classmethod
    def of(cls, chain: Chain) -> _Walker:
        logs: dict[int, list[ChainLog]] = {}
        for log in chain.logs:
            logs.setdefault(log.header.generation, []).append(log)
        images = (image for database in chain.databases for image in database.images)
        return cls(chain, logs, frozenset(image.stream for image in images))

    @property
    def promised_max(self) -> int:
        """The highest generation that any set should hold."""
        return max((part.high for part in self.chain.sets), default=0)

    def promised(self, stream: Signature) -> int:
        """The highest generation that can be expected to continue a stream.

        Logs of another stream are expected to as long as there are no images that they could belong
        to: that they don't is what the user has to be told.
        """
        return max(
            (
                part.high
                for part in self.chain.sets
                if part.stream == stream or part.stream not in self.based
            ),
            default=0,
        )

    def walk(self, image: ChainImage) -> _Walk:
        """Replay from an image on as far as it goes."""
        end = max(image.high, self.promised(image.stream))
        last: ChainLog | None = None
        for generation in range(image.low, end + 1):
            found = self.logs.get(generation, ())
            own = [log for log in found if log.header.sign_log == image.stream]
            if not own:
                stop, reason = self._absent(generation, image.stream, found)
                return _Walk(image, last, stop, reason)
            if last is None:
                last = next((log for log in own if log.where == image.where), own[0])
                continue
            problems = [chain_problem(last.header, log.header) for log in own]
            if all(problems):
                reason = f"log {generation} in {own[0].where} can't follow: {problems[0]}"
                return _Walk(image, last, Stop.BROKEN_LINK, reason)
            last = own[problems.index(None)]
        return _Walk(image, last, Stop.END, "")

    def _absent(
        self, generation: int, stream: Signature, found: Sequence[ChainLog]
    ) -> tuple[Stop, str]:
        """Why there is no log of that generation."""
        if generation in self.chain.missing:
            return Stop.DAMAGE, self.chain.missing[generation]
        if found:
            text = f"log {generation} in {found[0].where} can't follow: it belongs to another log "
            return Stop.OTHER_STREAM, text + "stream (the group was restored or made anew between)"
        later = [part for part in self.chain.sets if part.low > generation]
        own = [part for part in later if part.stream in (stream, None)]
        following = min(own, key=lambda part: part.low, default=None)
        absent = logs_are(generation, following.low - 1 if following else generation)
        if following is None or following.kind.has_databases:
            return Stop.GAP, f"{absent} in none of the sets"
        return Stop.MISSING_SET, (
            f"{absent} in none of the sets: {following.where} "
            f"({following.kind.value}) starts with log {following.low}, and {_needed(following)}"
        )


def _needed(following: ChainSet) -> str:
    if following.predecessor is not None:
        return f"set {following.predecessor}, which it continues, was not given"
    if following.kind is Kind.DIFFERENTIAL:
        return "the incremental or full made between, which a differential needs, was not given"
    return "the backup before it was not given"


def _twins(by_generation: Mapping[int, Sequence[ChainLog]]) -> Iterable[Finding]:
    for generation, logs in sorted(by_generation.items()):
        first: dict[Signature, ChainLog] = {}
        for log in logs:
            known = first.setdefault(log.header.sign_log, log)
            if log.sha256 != known.sha256:
                text = f"log {generation} in {log.where} is not the one in {known.where}"
                yield Finding(Layer.CHAIN, text)
