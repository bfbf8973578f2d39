"""The teardown axis: did the client leave the server clean, also after errors?"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

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
    """

    contexts: int
    groups: tuple[GroupState, ...]


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
