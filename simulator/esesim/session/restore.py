"""The calls that this version does not carry out: restore, and the snapshot call nobody may use."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from eseback.api import ReadableBuffer
from eseback.constants import RestoreClose, RestoreComplete
from eseback.errors import EseBackupError
from eseback.structures import RestoreEnvironment, RestoreFile


class NoRestore:
    """The part of BackupApi that answers hrNyi (not implemented)."""

    def restore_open(
        self, server: str, annotation: str, source_instance: str, log_path: str | None
    ) -> int:
        """Not implemented: raises hrNyi."""
        raise _not_yet("restore_open")

    def restore_reopen(self, server: str, annotation: str | None, log_path: str) -> int:
        """Not implemented: raises hrNyi."""
        raise _not_yet("restore_reopen")

    def restore_add_database(
        self, context: int, display_name: str, guid: uuid.UUID, source_streams: Sequence[str]
    ) -> tuple[str, ...]:
        """Not implemented: raises hrNyi."""
        raise _not_yet("restore_add_database")

    def restore_add_database_ns(
        self,
        context: int,
        display_name: str,
        guid: uuid.UUID,
        source_streams: Sequence[str],
        destination_streams: Sequence[str],
    ) -> None:
        """Not implemented: raises hrNyi."""
        raise _not_yet("restore_add_database_ns")

    def restore_open_file(self, context: int, file_name: str, sections: int = 1) -> RestoreFile:
        """Not implemented: raises hrNyi."""
        raise _not_yet("restore_open_file")

    def restore_write_file(self, context: int, handle: int, data: ReadableBuffer) -> None:
        """Not implemented: raises hrNyi."""
        raise _not_yet("restore_write_file")

    def restore_close_file(self, context: int, handle: int) -> None:
        """Not implemented: raises hrNyi."""
        raise _not_yet("restore_close_file")

    def restore_save_environment(self, context: int) -> None:
        """Not implemented: raises hrNyi."""
        raise _not_yet("restore_save_environment")

    def restore_load_environment(self, server: str | None, log_path: str) -> RestoreEnvironment:
        """Not implemented: raises hrNyi."""
        raise _not_yet("restore_load_environment")

    def restore_get_environment(self, context: int) -> RestoreEnvironment:
        """Not implemented: raises hrNyi."""
        raise _not_yet("restore_get_environment")

    def restore_complete(
        self,
        context: int,
        checkpoint_path: str,
        log_path: str,
        target_instance: str | None,
        flags: RestoreComplete,
    ) -> None:
        """Not implemented: raises hrNyi."""
        raise _not_yet("restore_complete")

    def restore_close(self, context: int, flag: RestoreClose) -> None:
        """Not implemented: raises hrNyi."""
        raise _not_yet("restore_close")

    def snapshot_start(self, context: int, databases: str, flags: int) -> None:
        """Never supported, as its page says: raises hrNyi."""
        raise EseBackupError.from_name(
            "hrNyi", "snapshot_start", "documented as not supported in any application"
        )


def _not_yet(method: str) -> EseBackupError:
    return EseBackupError.from_name("hrNyi", method, "this version of esesim takes backups only")
