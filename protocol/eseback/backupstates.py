"""States of a backup and the calls that can meet them: the axes of the backup's order table."""

from __future__ import annotations

from enum import Enum

from eseback.constants import BackupType, InstanceEnd

__all__ = ["BackupCall", "BackupState", "instance_end_call", "setup_call"]


class BackupState(Enum):
    """State of one backup context, and of the engine's backup behind it."""

    PREPARED = "prepared"  # a context, no backup running; also after a backup has ended
    DATABASES = "databases"  # full backup, database phase, no file open
    DATABASE_OPEN = "database_open"  # the same, a database stream is open
    LOGS_UNLISTED = "logs_unlisted"  # logs-only backup, list not asked for yet
    LOGS_UNLISTED_OPEN = "logs_unlisted_open"  # the same, a log is open
    LOGS = "logs"  # log phase, list known, no file open
    LOG_OPEN = "log_open"  # the same, a log is open
    STOPPED = "stopped"  # the server wants the backup to stop, no file open
    STOPPED_OPEN = "stopped_open"  # the same, a file is open
    ENDED = "ended"  # the context is gone

    # Members are single objects; hashing their names costs much on every call.
    __hash__ = object.__hash__

    @property
    def file_open(self) -> bool:
        """Whether a backup file is open."""
        return self in _FILE_OPEN

    @property
    def running(self) -> bool:
        """Whether a backup runs, so that mounting is locked and another Setup is refused."""
        return self not in _NOT_RUNNING

    @property
    def database_phase(self) -> bool:
        """Whether databases can still be opened (after closing what is open)."""
        return self in _DATABASE_PHASE


_FILE_OPEN = frozenset(
    (
        BackupState.DATABASE_OPEN,
        BackupState.LOGS_UNLISTED_OPEN,
        BackupState.LOG_OPEN,
        BackupState.STOPPED_OPEN,
    )
)
_NOT_RUNNING = frozenset((BackupState.PREPARED, BackupState.ENDED))
_DATABASE_PHASE = frozenset((BackupState.DATABASES, BackupState.DATABASE_OPEN))


class BackupCall(Enum):
    """A call with the part of its arguments that decides, or an event from the environment.

    OPEN_DATABASE names a mounted database, OPEN_LOG an existing log, OPEN_UNKNOWN neither (it
    stands for every open that fails for its file). READ and CLOSE use the handle that is open, or
    was open before the engine closed it; the BAD_HANDLE variants any other. ARGUMENT_ERROR is an
    open with an empty name or a read with a bad size; CONTROL_ARGUMENT_ERROR a Setup of an
    unknown instance or type, or an InstanceEnd with bad flags.
    """

    SETUP_FULL = "setup_full"
    SETUP_LOGS_ONLY = "setup_logs_only"
    OPEN_DATABASE = "open_database"
    OPEN_LOG = "open_log"
    OPEN_UNKNOWN = "open_unknown"
    READ = "read"
    READ_BAD_HANDLE = "read_bad_handle"
    CLOSE = "close"
    CLOSE_BAD_HANDLE = "close_bad_handle"
    LOG_LIST = "log_list"
    TRUNCATE_LIST = "truncate_list"
    TRUNCATE = "truncate"
    INSTANCE_END_SUCCESS = "instance_end_success"
    INSTANCE_END_ERROR = "instance_end_error"
    END = "end"
    DEPENDENCY_INFO = "dependency_info"
    ARGUMENT_ERROR = "argument_error"
    CONTROL_ARGUMENT_ERROR = "control_argument_error"
    # A call that fails for a reason outside its order; the error in the table stands for others.
    SETUP_REFUSED = "setup_refused"  # no full backup yet, circular logging, a full log disk, ...
    READ_DATABASE_FAILED = "read_database_failed"  # a bad page, after all retries
    READ_LOG_FAILED = "read_log_failed"  # a log's checksum or I/O
    LOG_LIST_FAILED = "log_list_failed"  # a log is missing, or the checkpoint cannot be read
    TRUNCATE_FAILED = "truncate_failed"  # a log cannot be deleted; -616 on newer engines
    # What others do meanwhile.
    STOP_BY_SERVER = "stop_by_server"  # the engine is asked to stop the backup
    TERMINATE = "terminate"  # the instance terminates and breaks the backup off
    CONNECTION_LOST = "connection_lost"
    MOUNT = "mount"
    DISMOUNT = "dismount"  # also a termination that would let the backup finish

    __hash__ = object.__hash__

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods of `BackupApi` that this can be; empty for what others do."""
        return _METHODS[self]

    @property
    def method(self) -> str | None:
        """The (first) method of `BackupApi`; None for what others do."""
        methods = _METHODS[self]
        return methods[0] if methods else None

    @property
    def by_client(self) -> bool:
        """Whether a client makes the call, be it answered well or not."""
        return bool(_METHODS[self])

    @property
    def chosen_by_client(self) -> bool:
        """Whether the client alone decides on it: a call that does not fail by circumstance."""
        return bool(_METHODS[self]) and self not in _FAILURES


_METHODS: dict[BackupCall, tuple[str, ...]] = {
    BackupCall.SETUP_FULL: ("backup_setup",),
    BackupCall.SETUP_LOGS_ONLY: ("backup_setup",),
    BackupCall.OPEN_DATABASE: ("backup_open_file",),
    BackupCall.OPEN_LOG: ("backup_open_file",),
    BackupCall.OPEN_UNKNOWN: ("backup_open_file",),
    BackupCall.READ: ("backup_read_file",),
    BackupCall.READ_BAD_HANDLE: ("backup_read_file",),
    BackupCall.CLOSE: ("backup_close_file",),
    BackupCall.CLOSE_BAD_HANDLE: ("backup_close_file",),
    BackupCall.LOG_LIST: ("backup_get_log_and_patch_files",),
    BackupCall.TRUNCATE_LIST: ("backup_get_truncate_log_files",),
    BackupCall.TRUNCATE: ("backup_truncate_logs",),
    BackupCall.INSTANCE_END_SUCCESS: ("backup_instance_end",),
    BackupCall.INSTANCE_END_ERROR: ("backup_instance_end",),
    BackupCall.END: ("backup_end",),
    BackupCall.DEPENDENCY_INFO: ("backup_get_dependency_info",),
    BackupCall.ARGUMENT_ERROR: ("backup_open_file", "backup_read_file"),
    BackupCall.CONTROL_ARGUMENT_ERROR: ("backup_setup", "backup_instance_end"),
    BackupCall.SETUP_REFUSED: ("backup_setup",),
    BackupCall.READ_DATABASE_FAILED: ("backup_read_file",),
    BackupCall.READ_LOG_FAILED: ("backup_read_file",),
    BackupCall.LOG_LIST_FAILED: (
        "backup_get_log_and_patch_files",
        "backup_get_truncate_log_files",
    ),
    BackupCall.TRUNCATE_FAILED: ("backup_truncate_logs",),
    BackupCall.STOP_BY_SERVER: (),
    BackupCall.TERMINATE: (),
    BackupCall.CONNECTION_LOST: (),
    BackupCall.MOUNT: (),
    BackupCall.DISMOUNT: (),
}

_FAILURES = frozenset(
    (
        BackupCall.SETUP_REFUSED,
        BackupCall.READ_DATABASE_FAILED,
        BackupCall.READ_LOG_FAILED,
        BackupCall.LOG_LIST_FAILED,
        BackupCall.TRUNCATE_FAILED,
    )
)


def setup_call(backup_type: BackupType) -> BackupCall:
    """The call variant of a Setup: only a logs-only backup skips the database phase."""
    if backup_type is BackupType.LOGS_ONLY:
        return BackupCall.SETUP_LOGS_ONLY
    return BackupCall.SETUP_FULL


def instance_end_call(flags: InstanceEnd) -> BackupCall:
    """The call variant of an InstanceEnd."""
    if flags is InstanceEnd.SUCCESS:
        return BackupCall.INSTANCE_END_SUCCESS
    return BackupCall.INSTANCE_END_ERROR
