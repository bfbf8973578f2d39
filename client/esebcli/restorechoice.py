"""Which sets a restore is about: everything that their manifests alone can say.

Nothing but manifests is read here, so a request that can't be carried out costs no time. What the
files themselves are worth is looked at afterwards (:mod:`esebcli.verify`), and what is taken from
which set is decided in :mod:`esebcli.restoreplan`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from esebcli.errors import RestoreRefused, SetError, UserError
from esebcli.manifest import LogRange, SavedGroup, State
from esebcli.sets import BackupSet, open_set, refuse_twice


@frozen
class Choice:
    """The sets to restore from.

    Attributes:
        server, annotation: where the sets are from.
        groups: names of the storage groups to restore, in the order in which the sets name them.
        sets: the sets that can be of use, in the order in which they were given.
        limits: the last generation wanted of each group; empty where all that there is.
    """

    server: str
    annotation: str
    groups: tuple[str, ...]
    sets: tuple[BackupSet, ...]
    limits: Mapping[str, int]


def choose_sets(
    folders: Sequence[Path], groups: Sequence[str] = (), last: Path | None = None
) -> Choice:
    """Choose from sets in any order; no ``groups`` means all that they hold.

    ``last``: one of the folders; nothing newer than what it holds is to be restored.

    Raises:
        UserError: no set, one named twice, an unknown group, a ``last`` that is none of them.
        SetError: a manifest can't be read.
        RestoreRefused: the sets don't belong together, or one of them is incomplete.
    """
    opened = _open_all(folders)
    origins = {(s.manifest.server.casefold(), s.manifest.annotation): s for s in opened}
    if len(origins) > 1:
        raise RestoreRefused(f"the sets are not of one server: {_origins(opened)}")
    names = _group_names(opened, groups)
    for one in opened:
        if not any(group.name in names for group in one.manifest.groups):
            wanted = ", ".join(map(repr, names))
            raise RestoreRefused(f"{one.folder} holds nothing of {wanted}; leave it out")
    for name in names:
        _refuse_mixed(name, list(_parts(opened, name)))
    limits = {} if last is None else _limits(opened, names, _index_of(folders, last))
    return Choice(
        server=opened[0].manifest.server,
        annotation=opened[0].manifest.annotation,
        groups=names,
        sets=tuple(one for one in opened if _is_of_use(one, names, limits)),
        limits=limits,
    )


def _open_all(folders: Sequence[Path]) -> list[BackupSet]:
    if not folders:
        raise UserError("name at least one set")
    refuse_twice(folders)
    opened = [open_set(folder) for folder in folders]
    for one in opened:
        if not one.manifest.groups:
            raise SetError(f"{one.folder} holds no storage group")
    return opened


def _origins(opened: Iterable[BackupSet]) -> str:
    return "; ".join(
        f"{one.folder} is of {one.manifest.annotation} on {one.manifest.server}" for one in opened
    )


def _group_names(opened: Sequence[BackupSet], wanted: Sequence[str]) -> tuple[str, ...]:
    known = tuple(dict.fromkeys(g.name for one in opened for g in one.manifest.groups))
    if len(set(wanted)) != len(wanted):
        raise UserError("a storage group is named twice")
    for name in wanted:
        if name not in known:
            held = ", ".join(map(repr, known))
            raise UserError(f"none of the sets holds storage group {name!r} (they hold: {held})")
    return tuple(wanted) or known


def _parts(opened: Iterable[BackupSet], name: str) -> Iterable[tuple[BackupSet, SavedGroup]]:
    for one in opened:
        group = one.manifest.group(name)
        if group is not None:
            yield one, group


def _refuse_mixed(name: str, parts: Sequence[tuple[BackupSet, SavedGroup]]) -> None:
    """Refuse sets of a group that are incomplete or of several log streams."""
    ranges: list[tuple[BackupSet, LogRange]] = []
    for one, group in parts:
        if group.state is not State.COMPLETE:
            reason = group.error or "the backup was never finished"
            raise RestoreRefused(
                f"{one.folder} is incomplete for storage group {name!r} and can't be restored "
                f"({reason}); leave it out"
            )
        assert group.logs is not None, "a complete group has logs"
        ranges.append((one, group.logs))
    first_set, first = ranges[0]
    for one, logs in ranges:
        if (logs.signature, logs.base_name) != (first.signature, first.base_name):
            raise RestoreRefused(
                f"the sets of storage group {name!r} are of different log streams (it was restored "
                f"or made anew between): {first_set.folder} holds {first}, {one.folder} holds "
                f"{logs}; name the sets of one of them"
            )


def _index_of(folders: Sequence[Path], last: Path) -> int:
    real = os.path.realpath(last)
    for index, folder in enumerate(folders):
        if os.path.realpath(folder) == real:
            return index
    raise UserError(f"{last}, which the restore is to end with, is none of the sets")


def _limits(opened: Sequence[BackupSet], names: Iterable[str], index: int) -> dict[str, int]:
    limits = {}
    for name in names:
        group = opened[index].manifest.group(name)
        if group is None or group.logs is None:
            raise RestoreRefused(
                f"{opened[index].folder}, which the restore is to end with, does not hold storage "
                f"group {name!r}"
            )
        limits[name] = group.logs.high
    return limits


def _is_of_use(one: BackupSet, names: Iterable[str], limits: Mapping[str, int]) -> bool:
    """Whether a set holds any log of a wanted group that is not too new."""
    for name in names:
        group = one.manifest.group(name)
        logs = group.logs if group is not None else None
        if logs is not None and (name not in limits or logs.low <= limits[name]):
            return True
    return False
