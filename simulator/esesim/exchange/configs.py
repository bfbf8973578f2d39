"""The parameters of an engine instance, from a topology: of a storage group, or of a restore."""

from __future__ import annotations

from attrs import evolve

from ..engine.config import InstanceConfig
from ..topology import PROFILES, GroupSpec, Topology, quirks_of
from ..windows_path import to_volume_path


def instance_config(topology: Topology, spec: GroupSpec) -> InstanceConfig:
    """How the instance of a storage group runs."""
    profile = PROFILES[topology.server.profile]
    return InstanceConfig(
        name=spec.name,
        base=spec.base,
        system_path=spec.system_path,
        log_path=spec.log_path,
        log_file_size=spec.log_size,
        page_size=profile.page_size,
        revision=profile.database_revision,
        generation_digits=profile.generation_digits,
        log_update=profile.log_update,
        circular=spec.circular_logging,
        logging=spec.logging,
        generation_first=spec.generation_first,
        generation_max=spec.generation_max,
        checkpoint_depth_max=spec.checkpoint_depth_max,
        patch_files=profile.patch_files,
        has_streaming=profile.streaming,
        any_failure_cancels=profile.any_failure_cancels,
        copy_marks=profile.copy_marks,
        quirks=quirks_of(topology.server),
        resolve=to_volume_path,
    )


def recovery_config(
    topology: Topology,
    group: GroupSpec | None,
    *,
    name: str,
    base: str,
    system_path: str,
    log_path: str,
) -> InstanceConfig:
    """How the instance runs that recovers a restore, in folders of its own.

    ``group``: the storage group that the restore came from or goes to; None if the server has
    neither. What it says of circular logging or of its first generation is not for a restore.
    """
    profile = PROFILES[topology.server.profile]
    spec = GroupSpec(
        name=name,
        base=base,
        system_path=system_path,
        log_path=log_path,
        log_size=profile.log_size if group is None else group.log_size,
        generation_max=profile.generation_max,
        checkpoint_depth_max=profile.checkpoint_depth_max,
    )
    return evolve(instance_config(topology, spec), name=name)
