"""One restore job as its judges get it: the task, the claim, the calls, the files, the sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from eseconform.judge.restorefollow import RestoreFollower, folder_key
from eseconform.judge.restoreledger import FileWrite, Restore, Wanted
from eseconform.task import Claim, Outcome, Task

Found = tuple[str, str, int | None]
"""Rule, words, number of the call."""


@frozen
class RestoreTalk:
    """One restore job's transcript, followed to its end.

    Attributes:
        task: what the client was asked.
        claim: what it answered; None when it crashed.
        follower: what its calls came to.
        wanted: what the job's sets hold, by storage group.
        writes: what it wrote with file I/O, in order.
        production: folders of logs and checkpoints of the server's storage groups.
        used_folders: folders of restores of earlier jobs, as :func:`folder_key` gives them.
        job: index of the job in its case.
    """

    task: Task
    claim: Claim | None
    follower: RestoreFollower
    wanted: Mapping[str, Wanted]
    writes: Sequence[FileWrite] = ()
    production: Sequence[str] = ()
    used_folders: frozenset[str] = frozenset()
    job: int = 0

    @property
    def claims_success(self) -> bool:
        """Whether the client says that all is restored."""
        return self.claim is not None and self.claim.outcome is Outcome.SUCCESS

    def restores_of(self, group: str) -> list[Restore]:
        """Every restore of a storage group, in order; one that was begun elsewhere counts for the
        only group of the job.
        """
        lone = len(self.task.groups) == 1
        return [r for r in self.follower.restores if r.group == group or (lone and not r.group)]

    def wanted_by(self, restore: Restore) -> Wanted | None:
        """What the sets hold for a restore; None when the job is not about its group."""
        if not restore.group and len(self.task.groups) == 1:
            return self.wanted.get(self.task.groups[0])
        return self.wanted.get(restore.group)

    def is_production(self, folder: str) -> bool:
        """Whether a folder is one in which a storage group of the server works."""
        key = folder_key(folder)
        return any(key == folder_key(each) for each in self.production)
