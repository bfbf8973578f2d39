"""Broken servers of the zoo: truncation and chains.

See :mod:`eseconform.zoo.servers`.
"""

from __future__ import annotations

from attrs import evolve

from eseback.formats.fields import BkInfo
from eseback.order import BackupState
from eseconform.zoo.brokenserver import BrokenServer
from esesim.engine.backup import Backup
from esesim.engine.ranges import LogRanges


class _OneTooMany(Backup):
    def truncate(self) -> None:
        super().truncate()
        instance = self._instance
        left = instance.files.closed_generations()
        if self.truncation_veto is None and len(left) > 1:
            instance.volume.delete(instance.files.closed(left[0]))


class TruncatesOneTooMany(BrokenServer):
    """Takes the end of the range to delete for its last member."""

    backup = _OneTooMany


class _NoVeto(Backup):
    @property
    def truncation_veto(self) -> str | None:
        """Nothing holds a truncation back."""
        return None

    @truncation_veto.setter
    def truncation_veto(self, reason: str | None) -> None:
        pass


class IgnoresDismountedStore(BrokenServer):
    """Computes the range to delete from the mounted databases alone, whatever else there is."""

    backup = _NoVeto


class _IgnoresLeftOut(Backup):
    def _prepare_ranges(self, run: object) -> LogRanges:
        ranges = super()._prepare_ranges(run)  # type: ignore[arg-type]
        checkpoint = self._checkpoint_file().lgpos_checkpoint.generation
        return evolve(ranges, delete_mac=min(checkpoint, self._instance.log.generation))


class IgnoresLeftOutDatabases(BrokenServer):
    """Forgets that databases outside of a full backup need logs since their own."""

    backup = _IgnoresLeftOut


class _MarksEarly(Backup):
    def truncate(self) -> None:
        super().truncate()
        if self._run is not None:
            self._update_headers(self._run)


class MarksAtTruncation(BrokenServer):
    """Writes the headers when the logs are truncated and not when the backup is ended."""

    backup = _MarksEarly


class _AllowsLogsOnly(Backup):
    def _check_full_exists(self) -> None:
        pass


class LogsOnlyWithoutFull(BrokenServer):
    """Lets a backup of logs begin when there is no full one to join."""

    backup = _AllowsLogsOnly


class _CopyCounts(Backup):
    def _marks(self, run: object, info: BkInfo) -> dict[str, BkInfo]:
        run.truncated = True  # type: ignore[attr-defined]
        return super()._marks(run, info)  # type: ignore[arg-type]


class CopyCountsAsFull(BrokenServer):
    """Notes every full backup in the headers, also a copy, which truncated nothing."""

    backup = _CopyCounts


class _TruncatesAtEnd(Backup):
    def end(self, success: bool) -> None:
        if success and self.state is BackupState.LOGS and self._run and not self._run.truncated:
            super().truncate()
        super().end(success)


class TruncatesAtEnd(BrokenServer):
    """Deletes the logs at InstanceEnd(SUCCESS) when the client has not done it."""

    backup = _TruncatesAtEnd


class _DeletesAll(Backup):
    def _prepare_ranges(self, run: object) -> LogRanges:
        ranges = super()._prepare_ranges(run)  # type: ignore[arg-type]
        return evolve(ranges, delete_mac=ranges.copy_mac)


class TruncatesWhatIsNeeded(BrokenServer):
    """Deletes every log that it listed, whatever the checkpoint says."""

    backup = _DeletesAll


class _FromCheckpoint(Backup):
    def _prepare_ranges(self, run: object) -> LogRanges:
        ranges = super()._prepare_ranges(run)  # type: ignore[arg-type]
        if run.is_full:  # type: ignore[attr-defined]
            return ranges
        checkpoint = self._checkpoint_file().lgpos_checkpoint.generation
        return evolve(ranges, copy_mic=max(ranges.copy_mic, min(checkpoint, ranges.copy_mac - 1)))


class IncrementalFromCheckpoint(BrokenServer):
    """Lists the logs of an incremental from the checkpoint on, as if it held databases."""

    backup = _FromCheckpoint
