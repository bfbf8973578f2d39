"""The teardown axis: did the client leave the server clean, also after errors?"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from eseback.restoreorder import RESTORE_STARTS
from eseconform.judge.records import base_name
from eseconform.judge.restorefollow import RestoreFollower
from eseconform.requirements import requirements
from eseconform.verdicts import Finding, broken


@frozen
class GroupState:
    """What is left of a storage group's backup after a job.

    Attributes:
        name: the storage group.
        held: a backup of it runs, so that nobody can mount, dismount or back up.
        file_open: that backup has a file open.
    """

    name: str
    held: bool
    file_open: bool


@frozen
class Leftovers:
    """The server after a job, with the client's session still there.

    Attributes:
        contexts: backup contexts of the client that were not ended.
        groups: every storage group.
        restores: restore contexts of the client that were not closed.
        instances: instances of the server that its restores still take.
    """

    contexts: int
    groups: tuple[GroupState, ...]
    restores: int = 0
    instances: int = 0

    def plus(self, other: Leftovers) -> Leftovers:
        """What is left in one or the other."""
        mine = {group.name: group for group in self.groups}
        for group in other.groups:
            had = mine.get(group.name, GroupState(group.name, False, False))
            mine[group.name] = GroupState(
                group.name, had.held or group.held, had.file_open or group.file_open
            )
        return Leftovers(
            self.contexts + other.contexts,
            tuple(mine.values()),
            self.restores + other.restores,
            self.instances + other.instances,
        )

    def minus(self, other: Leftovers) -> Leftovers:
        """What is left no more, where only ``other`` is: the groups are those that were let go."""
        still = {group.name: group for group in other.groups if group.held}
        return Leftovers(
            self.contexts - other.contexts,
            tuple(group for group in self.groups if group.name not in still),
            self.restores - other.restores,
            self.instances - other.instances,
        )


def judge_teardown(left: Leftovers, job: int, note: str = "") -> Iterator[Finding]:
    """What the client forgot; ``note`` says in words after what (an error, say)."""
    rules = requirements()
    after = f" {note}" if note else ""
    for group in left.groups:
        if group.held:
            text = (
                f"{group.name} is still held by the client's backup{after}: InstanceEnd is missing"
            )
            yield broken(rules["ESE-BKP-END-002"], text, job=job)
        if group.file_open:
            text = (
                f"a file of {group.name} is still open{after}: CloseFile or InstanceEnd is missing"
            )
            yield broken(rules["ESE-BKP-END-004"], text, job=job)
    if left.contexts:
        contexts = "context is" if left.contexts == 1 else "contexts are"
        text = f"{left.contexts} {contexts} still open{after}: BackupEnd is missing"
        yield broken(rules["ESE-BKP-END-003"], text, job=job)


def judge_restore_teardown(
    left: Leftovers, follower: RestoreFollower, job: int, note: str = ""
) -> Iterator[Finding]:
    """What a restore left behind; backup contexts count, too, if it opened any."""
    yield from judge_teardown(left, job, note)
    rules = requirements()
    after = f" {note}" if note else ""
    # A client whose Close was refused has done what it can.
    contexts = follower.contexts.values()
    refused = sum(context.close_failed and not context.lost for context in contexts)
    # One whose Open was answered with an error does not know the context, if there is one.
    unknown = sum(r.method in RESTORE_STARTS and r.error is not None for r in follower.records)
    still_open = max(0, left.restores - refused)
    if still_open:
        many = "context is" if still_open == 1 else "contexts are"
        text = f"{still_open} restore {many} still open{after}: RestoreClose is missing"
        yield broken(rules["ESE-RST-END-001"], text, job=job)
    for context in contexts:
        abandoned = context.closed_at is None and not context.lost and not context.close_failed
        if context.current is not None and abandoned:
            name = base_name(context.current.name)
            text = f"{name} is still open{after}: CloseFile or RestoreClose is missing"
            yield broken(rules["ESE-RST-END-002"], text, job=job)
    taken = max(0, left.instances - refused - unknown)
    if taken:
        many = "instance is" if taken == 1 else "instances are"
        text = f"{taken} {many} still taken by restores{after}"
        yield broken(rules["ESE-RST-END-003"], text, job=job)
