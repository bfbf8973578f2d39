"""What a topology must fulfil beyond types, and the values chosen where it says nothing.

One pass fills in the defaults (paths, base names, sizes), a second looks for names and paths used
twice and for the limits of the version profile. Each problem is one sentence that starts with the
key as it stands in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from attrs import evolve

from eseback.constants import ANNOTATIONS, INFORMATION_STORE, RegisterFlags

from ..windows_path import WindowsPathError, path_key, to_volume_path
from .profiles import PROFILES, VersionProfile
from .quirks import QUIRKS
from .recovery import RECOVERY_BASE, complete_recovery, recovery_problems
from .specs import RESTORE_FILES, GroupSpec, StoreSpec, Topology, TopologyError, WorkloadSpec

STORE_ICONS: Final = ("mailbox", "public")
REGISTER_FLAGS: Final = tuple(flag.name.lower() for flag in RegisterFlags if flag.name)
_NETBIOS_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,14}")
# ASSUMED(log-base-names): Exchange names the log streams of its groups E00, E01, ...; R00 is kept
# for the recovery storage group.
_BASE: Final = re.compile(r"E[0-9A-F]{2}")
_STEPS_MAX: Final = 10_000
_MESSAGES_MAX: Final = 1_000_000
_BODY_SIZE_MAX: Final = 16 << 20


def completed(topology: Topology) -> Topology:
    """``topology`` with every choice made and checked; complete ones come back equal.

    Raises TopologyError naming the first key that is wrong.
    """
    profile = PROFILES.get(topology.server.profile)
    if profile is None:
        raise TopologyError(
            f"server.profile: {topology.server.profile!r} is unknown; "
            f"choose one of {', '.join(PROFILES)}"
        )
    complete = evolve(topology, groups=tuple(_complete_groups(topology.groups, profile)))
    for problem in _problems(complete, profile):
        raise TopologyError(problem)
    return complete


def _complete_groups(groups: tuple[GroupSpec, ...], profile: VersionProfile) -> Iterator[GroupSpec]:
    position = 0
    for group in groups:
        if group.recovery:
            # It takes no number from the others.
            yield complete_recovery(_complete_group(group, RECOVERY_BASE, True, profile))
        else:
            by_name = position > 0 or profile.folder_per_group
            yield _complete_group(group, f"E{position:02X}", by_name, profile)
            position += 1


def _complete_group(
    group: GroupSpec, base: str, by_name: bool, profile: VersionProfile
) -> GroupSpec:
    # Where the setup of Exchange 2003 puts its groups: the first in mdbdata, the others by name.
    folder = group.name if by_name else "mdbdata"
    log_path = (group.log_path or f"{profile.directory}\\{folder}").rstrip("\\")
    return evolve(
        group,
        base=group.base or base,
        log_path=log_path,
        system_path=(group.system_path or log_path).rstrip("\\"),
        log_size=group.log_size or profile.log_size,
        generation_max=group.generation_max or profile.generation_max,
        checkpoint_depth_max=group.checkpoint_depth_max or profile.checkpoint_depth_max,
        stores=tuple(_complete_store(store, log_path, profile) for store in group.stores),
    )


def _complete_store(store: StoreSpec, directory: str, profile: VersionProfile) -> StoreSpec:
    edb = store.edb or f"{directory}\\{store.name}.edb"
    stem = edb[:-4] if edb.lower().endswith(".edb") else edb
    stm = store.stm or (f"{stem}.stm" if profile.streaming else "")
    return evolve(store, edb=edb, stm=stm)


def _problems(topology: Topology, profile: VersionProfile) -> Iterator[str]:
    yield from _server_problems(topology)
    yield from _quirk_problems(topology.server.quirks, profile)
    groups = topology.groups
    ordinary = sum(not group.recovery for group in groups)
    if ordinary > profile.groups_max:
        yield (
            f"group: {ordinary} storage groups, but {profile.title} has at most "
            f"{profile.groups_max}; remove {ordinary - profile.groups_max}"
        )
    yield from recovery_problems(topology, profile)
    for position, group in enumerate(groups):
        yield from _group_problems(f"group[{position}]", group, profile)
    yield from _repeated(((f"group[{n}].name", g.name) for n, g in enumerate(groups)), str.casefold)
    yield from _repeated(((f"group[{n}].base", g.base) for n, g in enumerate(groups)), str.casefold)
    yield from _path_problems(groups)


def _server_problems(topology: Topology) -> Iterator[str]:
    server = topology.server
    names = [("server.name", server.name)]
    names += [(f"server.neighbours[{n}]", name) for n, name in enumerate(server.neighbours)]
    for key, name in names:
        if not _NETBIOS_NAME.fullmatch(name):
            yield f"{key}: {name!r} is no computer name; use 1 to 15 letters, digits or hyphens"
    yield from _repeated(names, str.casefold)
    if not server.organization.strip():
        yield "server.organization: is empty; give the name that tops the node tree"
    if server.restore_files not in RESTORE_FILES:
        yield (
            f"server.restore_files: {server.restore_files!r} is unknown; "
            f"use {' or '.join(RESTORE_FILES)}"
        )
    services = topology.services
    for position, service in enumerate(services):
        key = f"service[{position}]"
        if service.annotation not in ANNOTATIONS:
            yield (
                f"{key}.annotation: {service.annotation!r} is unknown; write exactly one of "
                + ", ".join(repr(name) for name in ANNOTATIONS)
            )
        for flag in service.flags:
            if flag not in REGISTER_FLAGS:
                yield f"{key}.flags: {flag!r} is unknown; known are {', '.join(REGISTER_FLAGS)}"
    yield from _repeated(
        ((f"service[{n}].annotation", s.annotation) for n, s in enumerate(services)), str
    )
    if topology.groups and INFORMATION_STORE not in [s.annotation for s in services]:
        yield f"service: storage groups need the service {INFORMATION_STORE!r}; add it"


def _quirk_problems(quirks: tuple[str, ...], profile: VersionProfile) -> Iterator[str]:
    for position, name in enumerate(quirks):
        key = f"server.quirks[{position}]"
        info = QUIRKS.get(name)
        if info is None:
            yield f"{key}: {name!r} is unknown; choose from {', '.join(QUIRKS)}"
        elif profile.name not in info.profiles:
            yield (
                f"{key}: {name!r} is not known of {profile.title}; "
                f"it is of {', '.join(info.profiles)}"
            )
    yield from _repeated(((f"server.quirks[{n}]", name) for n, name in enumerate(quirks)), str)


def _group_problems(key: str, group: GroupSpec, profile: VersionProfile) -> Iterator[str]:
    if _unprintable(group.name):
        yield f"{key}.name: {group.name!r} is no name; use visible characters"
    if not group.recovery and not _BASE.fullmatch(group.base):
        yield f"{key}.base: {group.base!r} is no base name of logs; use E00 to EFF"
    if group.log_size < profile.log_size_min or group.log_size % profile.page_size:
        yield (
            f"{key}.log_size: {group.log_size} bytes; use a multiple of {profile.page_size}, "
            f"{profile.log_size_min} or more"
        )
    if len(group.stores) > profile.stores_per_group_max:
        yield (
            f"{key}.store: {len(group.stores)} stores, but a storage group of {profile.title} "
            f"has at most {profile.stores_per_group_max}; move some to another group"
        )
    yield from _log_problems(key, group, profile)
    yield from _workload_problems(f"{key}.workload", group.workload)
    for position, store in enumerate(group.stores):
        if _unprintable(store.name):
            yield f"{key}.store[{position}].name: {store.name!r} is no name; use visible characters"
        if store.icon not in STORE_ICONS:
            yield (
                f"{key}.store[{position}].icon: {store.icon!r} is unknown; "
                f"use {' or '.join(STORE_ICONS)}"
            )
        if store.size:
            from ..engine.virtual import size_problem

            problem = size_problem(store.size, profile.page_size)
            if problem is not None:
                yield f"{key}.store[{position}].size: {store.size} bytes; {problem}"
    yield from _repeated(
        ((f"{key}.store[{n}].name", s.name) for n, s in enumerate(group.stores)), str.casefold
    )


def _log_problems(key: str, group: GroupSpec, profile: VersionProfile) -> Iterator[str]:
    limits = (
        ("generation_max", group.generation_max, 2, profile.generation_max),
        ("generation_first", group.generation_first, 1, group.generation_max - 1),
        ("checkpoint_depth_max", group.checkpoint_depth_max, 1, profile.generation_max),
    )
    for name, value, low, high in limits:
        if not low <= value <= high:
            yield f"{key}.{name}: {value} is out of range; use {low} to {high}"
    if group.log_disk_full and group.log_write_failed:
        yield f"{key}.log_write_failed: a log disk is either full or broken; choose one"
    if group.circular_logging and not group.logging:
        yield f"{key}.circular_logging: needs logging; leave out one of the two"
    for position, store in enumerate(group.stores):
        if store.stm and not profile.streaming:
            yield (
                f"{key}.store[{position}].stm: {profile.title} has no streaming files; leave it out"
            )


def _workload_problems(key: str, workload: WorkloadSpec) -> Iterator[str]:
    limits = (
        ("folders", workload.folders, 1, _MESSAGES_MAX),
        ("messages", workload.messages, 0, _MESSAGES_MAX),
        ("steps_per_call", workload.steps_per_call, 0, _STEPS_MAX),
        ("body_size_max", workload.body_size_max, 1, _BODY_SIZE_MAX),
        ("rollback_percent", workload.rollback_percent, 0, 100),
        ("long_percent", workload.long_percent, 0, 100),
    )
    for name, value, low, high in limits:
        if not low <= value <= high:
            yield f"{key}.{name}: {value} is out of range; use {low} to {high}"


def _path_problems(groups: tuple[GroupSpec, ...]) -> Iterator[str]:
    """Paths that are no Windows paths, and paths that two things would share."""
    files: list[tuple[str, str]] = []
    directories: list[tuple[str, str]] = []
    for number, group in enumerate(groups):
        key = f"group[{number}]"
        directories += [(f"{key}.log_path", group.log_path)]
        if group.system_path.casefold() != group.log_path.casefold():
            directories += [(f"{key}.system_path", group.system_path)]
        for position, store in enumerate(group.stores):
            files += [(f"{key}.store[{position}].edb", store.edb)]
            if store.stm:
                files += [(f"{key}.store[{position}].stm", store.stm)]
    # A directory must leave room for the names of the logs in it.
    lengths = [(key, f"{path}\\E00FFFFFFFF.log") for key, path in directories]
    for key, path in files + lengths:
        try:
            to_volume_path(path)
        except WindowsPathError as error:
            yield f"{key}: {path!r}: {error.reason}; write a full path, as in 'C:\\mail\\priv1.edb'"
            return
    for key, path in directories:
        if path.endswith(":"):
            yield f"{key}: {path!r} is a whole drive; name a folder on it, as in '{path}\\logs'"
    for key, path in files:
        wanted = ".edb" if key.endswith(".edb") else ".stm"
        if not path.lower().endswith(wanted):
            yield f"{key}: {path!r} must end in {wanted}"
    yield from _repeated(files, _canonical)
    # JET refuses two instances one log or system directory (-1084, -1083).
    yield from _repeated(directories, _canonical)


def _canonical(path: str) -> str:
    return path_key(to_volume_path(path))


def _repeated(items: Iterable[tuple[str, str]], folded: Callable[[str], str]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for key, value in items:
        first = seen.setdefault(folded(value), key)
        if first != key:
            yield f"{key}: {value!r} is already used by {first}; choose another"


def _unprintable(name: str) -> bool:
    return not name.strip() or not name.isprintable()
