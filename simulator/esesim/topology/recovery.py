"""The recovery storage group in a topology: what it is completed with and what it must fulfil.

It came with Exchange 2003: one a server, with the log base name R00, for stores of one other group
that are restored beside their originals; no mail reaches it (Microsoft's guide "Using Exchange
Server 2003 Recovery Storage Groups").
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import evolve

from .profiles import VersionProfile
from .specs import GroupSpec, Topology, WorkloadSpec

RECOVERY_BASE: Final = "R00"
_NO_MAIL: Final = WorkloadSpec(messages=0, steps_per_call=0)


def complete_recovery(group: GroupSpec) -> GroupSpec:
    """A recovery storage group with what goes for every one of them.

    Its stores are dismounted until something was restored into them, and may be overwritten.
    """
    stores = (evolve(store, mounted=False, overwritable=True) for store in group.stores)
    return evolve(group, stores=tuple(stores), workload=_NO_MAIL)


def recovery_problems(topology: Topology, profile: VersionProfile) -> Iterator[str]:
    """What is wrong with the recovery storage group, or with what only it may have."""
    first: str | None = None
    for number, group in enumerate(topology.groups):
        key = f"group[{number}]"
        if not group.recovery:
            yield from _ordinary_problems(key, group)
            continue
        if not profile.recovery_group:
            yield f"{key}.recovery: {profile.title} has no recovery storage group; remove the group"
        if first is not None:
            yield f"{key}.recovery: {first} is the recovery storage group already; there is one"
        if group.base != RECOVERY_BASE:
            yield f"{key}.base: {group.base!r}; a recovery storage group has {RECOVERY_BASE}"
        first = first or key
        yield from _store_problems(topology, key, group)


def _ordinary_problems(key: str, group: GroupSpec) -> Iterator[str]:
    for position, store in enumerate(group.stores):
        if store.recovery_of:
            yield (
                f"{key}.store[{position}].recovery_of: is for stores of the recovery storage "
                "group; set recovery = true in its group, or leave it out"
            )


def _store_problems(topology: Topology, key: str, group: GroupSpec) -> Iterator[str]:
    known = [
        f"{other.name}/{store.name}"
        for other in topology.groups
        if not other.recovery
        for store in other.stores
    ]
    origins: dict[str, str] = {}
    first_group = ""
    for position, store in enumerate(group.stores):
        name = f"{key}.store[{position}].recovery_of"
        origin = topology.origin_of(store)
        if origin is None or origin[0].recovery:
            yield f"{name}: {store.recovery_of!r} is no store; write one of {', '.join(known)}"
            continue
        if (before := origins.setdefault(store.recovery_of.casefold(), name)) != name:
            yield f"{name}: {store.recovery_of!r} is already used by {before}; choose another"
        first_group = first_group or origin[0].name
        if origin[0].name != first_group:
            yield f"{name}: all must be of one storage group, as the first is of {first_group!r}"
