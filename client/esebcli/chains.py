"""How far the sets of a chain can be restored.

A restore takes the database images of one full or copy backup and replays logs onto them, without
a gap, from the first that the images need to the last that is there. It doesn't matter which set
a log comes from. Sets may overlap (the checkpoint lags behind, so an incremental often starts
with logs that the set before it holds too); a log that two sets hold has to be the same file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from eseback.formats.logheader import LogHeader
from esebcli.consistency import chain_problem
from esebcli.findings import Finding, Layer


@frozen
class ChainLog:
    """A log that was found undamaged: its header, its hash, and the set it is in."""

    header: LogHeader
    sha256: str
    where: str


@frozen
class ChainBase:
    """Undamaged database images: the logs that they need before they are consistent at all."""

    where: str
    low: int
    high: int


@frozen
class Chain:
    """All that the given sets hold of one group.

    Attributes:
        server, annotation, group: whose databases these are.
        bases: images that a restore can start from.
        logs: undamaged logs.
        missing: generations that a set should hold but that are damaged there, with what is wrong.
        promised: the highest generation that any of the sets should hold, 0 without a set.
    """

    server: str
    annotation: str
    group: str
    bases: tuple[ChainBase, ...]
    logs: tuple[ChainLog, ...]
    missing: Mapping[int, str]
    promised: int


@frozen
class Reach:
    """How far a chain can be restored.

    Attributes:
        restorable_to: the last generation that can be replayed, None if nothing can be restored.
        base: the set whose images are used.
        reason: why not further, or why nothing can be restored; empty when the end is reached.
        findings: what is wrong with the chain as a whole.
    """

    restorable_to: int | None
    base: str | None
    reason: str
    findings: tuple[Finding, ...] = ()


def reach_of(chain: Chain) -> Reach:
    """Find the base that leads furthest, and say why not further."""
    by_generation: dict[int, list[ChainLog]] = {}
    for log in chain.logs:
        by_generation.setdefault(log.header.generation, []).append(log)
    findings = tuple(_twins(by_generation))
    if not chain.bases:
        return Reach(None, None, "none of the sets holds usable databases of this group", findings)
    walks = [(base, *_walk(base, by_generation, chain)) for base in chain.bases]
    base, last, stop = max(walks, key=lambda walk: (walk[1] or 0, walk[0].low))
    if last is None:
        return Reach(
            None, None, f"the databases of {base.where} need log {base.low}: {stop}", findings
        )
    if last < base.high:
        reason = f"the databases of {base.where} need the logs up to {base.high}: {stop}"
        return Reach(None, None, reason, findings)
    if last >= chain.promised:
        return Reach(last, base.where, "", findings)
    broken = Finding(Layer.CHAIN, f"logs up to {chain.promised} were saved, but {stop}")
    return Reach(last, base.where, stop, (*findings, broken))


def _walk(
    base: ChainBase, logs: Mapping[int, Sequence[ChainLog]], chain: Chain
) -> tuple[int | None, str]:
    """The last generation that can be replayed from a base on, and what stops it there."""
    candidates = list(logs.get(base.low, ()))
    if not candidates:
        return None, _absent(base.low, chain)
    current = next((log for log in candidates if log.where == base.where), candidates[0])
    while True:
        generation = current.header.generation + 1
        candidates = list(logs.get(generation, ()))
        if not candidates:
            return current.header.generation, _absent(generation, chain)
        problems = [chain_problem(current.header, log.header) for log in candidates]
        if all(problems):
            text = f"log {generation} in {candidates[0].where} can't follow: {problems[0]}"
            return current.header.generation, text
        current = candidates[problems.index(None)]


def _absent(generation: int, chain: Chain) -> str:
    damage = chain.missing.get(generation)
    return damage if damage else f"log {generation} is in none of the sets"


def _twins(by_generation: Mapping[int, Sequence[ChainLog]]) -> Iterable[Finding]:
    for generation, logs in sorted(by_generation.items()):
        for log in logs[1:]:
            if log.sha256 != logs[0].sha256:
                text = f"log {generation} in {log.where} is not the one in {logs[0].where}"
                yield Finding(Layer.CHAIN, text)
