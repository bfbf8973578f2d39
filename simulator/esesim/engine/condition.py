"""What can be wrong with an instance as a whole: its log disk, its generations, its checkpoint.

Each has its JET error, which both a new transaction and the begin of a backup are answered with
(ESE source backup.cxx, ErrBKBeginExternalBackup, checks 2 to 6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eseback.constants import BackupType
from eseback.data import define
from eseback.errors import JetErr

from .errors import JetError

if TYPE_CHECKING:
    from .instance import Instance


@define
class Condition:
    """Switches for what the outside does to an instance.

    ``log_disk_full``, ``log_write_failed``, ``frozen`` (for a volume snapshot) and ``surrogate``
    (another computer backs up a replica in this one's stead) last as long as they are set;
    ``failure`` is what made the instance give up (-614): it takes a restart to get rid of it.
    """

    log_disk_full: bool = False
    log_write_failed: bool = False
    frozen: bool = False
    surrogate: bool = False
    failure: JetErr | None = None


def write_problem(instance: Instance) -> JetError | None:
    """Why nothing can be written to the log now; None if all is well."""
    condition, name = instance.condition, instance.config.name
    if condition.failure is not None:
        return JetError(condition.failure, f"{name} has given up; dismount and mount its stores")
    if condition.log_write_failed:
        return JetError(JetErr.LOG_WRITE_FAIL, f"the log of {name} can't be written any more")
    if condition.log_disk_full:
        return JetError(JetErr.LOG_DISK_FULL, f"the log disk of {name} is full; free some space")
    if instance.log.is_used_up:
        return JetError(
            JetErr.LOG_SEQUENCE_END,
            f"{name} has used up its log generations; dismount its stores and remove the logs",
        )
    return None


def begin_problem(instance: Instance, kind: BackupType) -> JetError | None:
    """Why no backup of this kind can begin, in the order ESE asks; None if one can."""
    name = instance.config.name
    if not instance.running:
        return JetError(JetErr.BACKUP_NOT_ALLOWED_YET, f"{name} is not running")
    if not instance.config.logging:
        return JetError(JetErr.LOGGING_DISABLED, f"{name} runs without logging")
    problem = write_problem(instance)
    if problem is not None and problem.err == JetErr.LOG_WRITE_FAIL:
        return problem
    if kind == BackupType.LOGS_ONLY and instance.config.circular:
        return JetError(JetErr.INVALID_BACKUP, f"{name} has circular logging switched on")
    return problem


def other_backup(instance: Instance) -> JetError | None:
    """The backup of another kind that is in the way of a streaming one."""
    condition, name = instance.condition, instance.config.name
    if condition.surrogate:
        return JetError(
            JetErr.SURROGATE_BACKUP_IN_PROGRESS, f"a replica of {name} is being backed up"
        )
    if condition.frozen:
        # ASSUMED(setup-while-frozen): a snapshot is refused while a backup runs, documented as
        # JET_errOSSnapshotNotAllowed; the other way round the same error is answered.
        return JetError(JetErr.OS_SNAPSHOT_NOT_ALLOWED, f"{name} is frozen for a snapshot")
    return None


def too_deep(instance: Instance, generation: int) -> bool:
    """Whether a backup holds back more generations than the engine allows (KB 812962)."""
    lowest = instance.backup.lowest_log_needed if instance.has_backup else None
    return lowest is not None and generation - lowest > instance.config.checkpoint_depth_max
