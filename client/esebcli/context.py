"""A backup context: what Prepare hands out."""

from __future__ import annotations

from attrs import frozen

from eseback.api import BackupApi
from eseback.structures import InstanceBackupInfo
from esebcli.errors import JobError


@frozen
class Context:
    """The session it was made on, its handle, and the storage groups that run."""

    api: BackupApi
    handle: int
    instances: tuple[InstanceBackupInfo, ...]

    @classmethod
    def prepare(cls, api: BackupApi, server: str, annotation: str) -> Context:
        """Call Prepare. Raises EseBackupError."""
        handle, instances = api.backup_prepare(server, annotation)
        return cls(api, handle, tuple(instances))

    def instance(self, group: str) -> InstanceBackupInfo:
        """The running instance of that name.

        Raises:
            JobError: there is none: it is unknown, or none of its databases is mounted.
        """
        for instance in self.instances:
            if instance.instance_name == group:
                return instance
        running = ", ".join(repr(i.instance_name) for i in self.instances) or "none"
        raise JobError(
            f"storage group {group!r} does not run on the server (running: {running}; a group "
            "without a mounted database is not listed)"
        )
