"""The logs of a hard recovery: which are replayed, and what they must be (ESE source logutil.cxx).

Three sources follow each other. The *set* are the generations that a backup listed, in the restore
folder. Then come the logs that are *played forward*: of the group that the databases go back to,
or whatever lies in the recovering instance's own log folder. Last are the generations that an
earlier try of the same recovery has written: they hold its undo, and go on being written.

All are read once before anything is changed, one at a time; what stays in memory is a summary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from eseback.data import define, frozen
from eseback.errors import JetErr
from eseback.formats.logblock import LogEnd

from .attach import RestoreRecord
from .errors import JetError
from .log import LogFiles
from .logfile import (
    LogFile,
    LogSummary,
    check_size,
    differs_in_signature,
    follows,
    read_header,
    read_log,
)
from .logrecord import RECORD_HEAD, LogType

if TYPE_CHECKING:
    from .instance import Instance

_INIT: Final = int(LogType.INIT)


@frozen
class LogPlan:
    """What a hard recovery replays, in order.

    ``server`` are the logs of the set and those played forward; ``own`` the generations that an
    earlier try of this recovery wrote. ``stale`` are files (volume paths) that must go before
    anything is replayed.
    """

    server: tuple[LogSummary, ...]
    own: tuple[LogSummary, ...]
    stale: tuple[str, ...]

    @property
    def all(self) -> tuple[LogSummary, ...]:
        """Every generation to replay."""
        return self.server + self.own


def _restored_names(log: LogFile) -> frozenset[str] | None:
    """The databases of the recovery that began this generation; None if none did."""
    if not log.blocks:
        return None
    start = log.blocks[0][0]
    kind, _, size, _ = RECORD_HEAD.unpack_from(log.data, start)
    if kind != LogType.EXT_RESTORE:
        return None
    return frozenset(
        RestoreRecord.unpack(log.data[start + RECORD_HEAD.size : start + size]).databases
    )


@define
class _Tail:
    """Generations at the end of a stream that a recovery alone has written."""

    logs: list[LogSummary]
    names: frozenset[str] | None


class RestoreLogs:
    """The folders of a restore and the logs in them. Paths are Windows paths."""

    def __init__(
        self,
        instance: Instance,
        gen_low: int,
        gen_high: int,
        *,
        backup_log_path: str | None,
        target_log_path: str | None,
        target_gen_max: int | None,
    ) -> None:
        own = instance.config.log_path
        self.gen_low = gen_low
        self.gen_high = gen_high
        self.set = instance.log_files(backup_log_path or own)
        self.running = instance.log_files(target_log_path or own)
        self.own = instance.files
        self._instance = instance
        self._gen_max = target_gen_max
        self._tail: _Tail | None = None
        self._fresh = True
        # Whether recovery writes its log elsewhere than into the folder that it plays forward from.
        self._apart = not _same(self.own, self.running)
        if target_gen_max is not None and not self._apart:
            raise JetError(
                JetErr.INVALID_PARAMETER,
                f"a running instance writes its logs to {own}; recovery needs another folder",
            )

    def shown(self, path: str) -> str:
        """The Windows path of a log in one of the folders, given its volume path."""
        directory = path.rpartition("/")[0]
        for files in (self.set, self.running, self.own):
            if files.directory == directory:
                return files.shown(path)
        return path

    def check(self, names: Iterable[str], *, fresh: bool) -> LogPlan:
        """Hold all logs to the rules and say what is replayed. Changes nothing.

        ``names`` are the databases to recover. ``fresh`` says that an image of them has not been
        through a recovery yet: then what an earlier try has written is of no use.
        Raises -501 -513 -541 -555 -556 -557 -565 -570 -571 -573 -574 -610 -611.
        """
        self._fresh = fresh
        restored = self._read_set()
        if self._apart:
            for log in self._own_generations():
                self._note(log)
        self._check_running_headers(restored)
        limit = self._gen_max
        if self._tail is not None and not fresh:
            # An earlier try began to write there; what the group has done since comes too late.
            limit = self._tail.logs[0].generation - 1
        server = restored + self._following(restored[-1], limit)
        tail = self._tail
        if tail is not None and not self._apart:
            server = [log for log in server if log.generation < tail.logs[0].generation]
        own: list[LogSummary] = []
        stale = self._outside(tail)
        if tail is not None:
            if fresh:
                stale += [log.path for log in tail.logs]
            else:
                self._check_tail(server[-1], tail, frozenset(names))
                own = tail.logs
        return LogPlan(tuple(server), tuple(own), tuple(stale))

    # -- the set

    def _read_set(self) -> list[LogSummary]:
        """The set's own logs, each following its predecessor."""
        files, refusal = self.set, self._instance.refusal
        logs: list[LogSummary] = []
        for generation in range(self.gen_low, self.gen_high + 1):
            path = files.closed(generation)
            shown = files.shown(path)
            if not files.volume.exists(path):
                raise refusal(
                    JetErr.MISSING_RESTORE_LOG_FILES,
                    f"{shown} of the backup set is missing",
                    event=435,
                    file=shown,
                )
            log = read_log(files.volume, path)
            if log.generation != generation:
                raise JetError(
                    JetErr.LOG_GENERATION_MISMATCH,
                    f"{shown} holds generation {log.generation}, not {generation}",
                )
            if logs and differs_in_signature(logs[-1].header, log.header):
                raise refusal(
                    JetErr.GIVEN_LOG_FILE_HAS_BAD_SIGNATURE,
                    f"{shown} has the signature of another log stream",
                    event=433,
                    file=shown,
                )
            if logs and not follows(logs[-1].header, log.header):
                raise refusal(
                    JetErr.GIVEN_LOG_FILE_IS_NOT_CONTIGUOUS,
                    f"{shown} doesn't follow {files.shown(logs[-1].path)}",
                    event=434,
                    file=shown,
                )
            self._check_closed(files, log, JetErr.LOG_TORN_WRITE_DURING_HARD_RESTORE, 460)
            logs.append(log.summary)
        if not logs:
            raise JetError(
                JetErr.MISSING_RESTORE_LOG_FILES,
                f"a restore needs at least one log; {self.gen_low}..{self.gen_high} is none",
            )
        return logs

    def _check_closed(self, files: LogFiles, log: LogFile, torn: JetErr, event: int) -> None:
        """A closed log is whole; ``torn`` and ``event`` are the numbers for a torn one."""
        if not log.ended:
            is_torn = log.reason is LogEnd.TORN
            # The numbers for damage stand three behind those for a torn write, in both lists.
            raise self._instance.refusal(
                torn if is_torn else JetErr(torn - 3),
                f"{files.shown(log.path)}: {log.reason.value} at byte {log.end}",
                event=event if is_torn else event + 3,
                file=files.shown(log.path),
                position=log.end,
            )
        check_size(log)

    # -- played forward

    def _check_running_headers(self, restored: Sequence[LogSummary]) -> None:
        """Logs up to the set's end in the running folder: of this stream, and the same ones.

        Gaps between them don't matter: the set has what is needed.
        """
        files = self.running
        by_generation = {log.generation: log for log in restored}
        for generation in files.closed_generations():
            if generation > self.gen_high:
                break
            path = files.closed(generation)
            same = by_generation.get(generation)
            if same is not None and same.path == path:
                continue
            header = read_header(files.volume, path)
            self._check_signature(restored[0], LogSummary(path, header, 0, LogEnd.UNUSED))
            if same is not None and header.created != same.header.created:
                raise self._instance.refusal(
                    JetErr.EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS,
                    f"{files.shown(path)} was made at another time than that log of the set",
                    event=458,
                    first=files.shown(path),
                    last=self.set.shown(same.path),
                )

    def _following(self, last: LogSummary, limit: int | None) -> list[LogSummary]:
        """Later logs that follow without a gap, the current one included if it is there.

        None of them is above ``limit``; with one given, the group that writes them runs.
        """
        files = self.running
        generations = [g for g in files.closed_generations() if g > last.generation]
        if limit is not None:
            generations = [g for g in generations if g <= limit]
        found: list[LogSummary] = []
        for generation in generations:
            path = files.closed(generation)
            if generation != last.generation + 1:
                raise self._gap(last.generation + 1, files.shown(path))
            log = read_log(files.volume, path)
            self._check_follows(last, log)
            self._check_closed(files, log, JetErr.LOG_TORN_WRITE_DURING_HARD_RECOVERY, 461)
            last = log.summary if self._apart else self._note(log)
            found.append(last)
        if self._gen_max is None and files.volume.exists(files.current):
            current = read_log(files.volume, files.current)
            if limit is None or current.generation <= limit:
                found += self._check_current(last, current)
                last = (found or [last])[-1]
        if limit is not None and last.generation < limit:
            raise self._gap(last.generation + 1, f"a later one up to {limit}")
        return found

    def _check_current(self, last: LogSummary, log: LogFile) -> list[LogSummary]:
        """``Exx.log``: it must follow the last closed log. Its end may be torn, as by a crash.

        In a folder that recovery doesn't write to it may also be one of the set's generations.
        """
        files = self.running
        if log.generation > last.generation + 1:
            raise self._gap(last.generation + 1, files.shown(log.path))
        if log.generation <= self.gen_high and self._apart:
            self._check_signature(last, log)
            return []
        self._check_follows(last, log)
        if log.reason is LogEnd.CORRUPT:
            shown = files.shown(log.path)
            raise self._instance.refusal(
                JetErr.LOG_CORRUPT_DURING_HARD_RECOVERY,
                f"{shown}: damage before its last good block",
                event=464,
                file=shown,
                position=log.end,
            )
        check_size(log)
        return [log.summary if self._apart else self._note(log)]

    def _gap(self, missing: int, there: str) -> JetError:
        path = self.running.shown(self.running.closed(missing))
        return self._instance.refusal(
            JetErr.MISSING_CURRENT_LOG_FILES,
            f"generation {missing} ({path}) is missing, {there} is there",
            event=450,
            file=path,
        )

    def _check_follows(self, last: LogSummary, log: LogSummary) -> None:
        self._check_signature(last, log)
        if not follows(last.header, log.header):
            shown = self.running.shown(log.path)
            raise self._instance.refusal(
                JetErr.EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS,
                f"{shown} (generation {log.generation}) doesn't follow generation "
                f"{last.generation}",
                event=458,
                first=self.shown(last.path),
                last=shown,
            )

    def _check_signature(self, last: LogSummary, log: LogSummary) -> None:
        if differs_in_signature(last.header, log.header):
            shown = self.running.shown(log.path)
            raise self._instance.refusal(
                JetErr.EXISTING_LOG_FILE_HAS_BAD_SIGNATURE,
                f"{shown} has the signature of another log stream",
                event=457,
                file=shown,
            )

    # -- what an earlier try has written

    def _own_generations(self) -> list[LogFile]:
        """The logs above the set in the recovering instance's own folder."""
        files = self.own
        paths = [files.closed(g) for g in files.closed_generations() if g > self.gen_high]
        if files.volume.exists(files.current):
            paths.append(files.current)
        logs = []
        for path in paths:
            try:
                logs.append(read_log(files.volume, path))
            except JetError:
                continue  # no log at all; a recovery writes whole headers only
        return logs

    def _note(self, log: LogFile) -> LogSummary:
        """Keep track of where a recovery began to write; nothing of a server may come behind."""
        summary = log.summary
        names = _restored_names(log)
        if self._tail is None and names is not None:
            self._tail = _Tail([], names)
        if self._tail is not None:
            self._tail.logs.append(summary)
            if _INIT in log.record_types():
                self._tail = None
        elif log.path == self.own.current and not log.blocks and (self._apart or not self._fresh):
            # The power went before the first record was written.
            self._tail = _Tail([summary], None)
        return summary

    def _check_tail(self, last: LogSummary, tail: _Tail, names: frozenset[str]) -> None:
        for log in tail.logs:
            self._check_follows(last, log)
            last = log
        if tail.names is not None and tail.names != names:
            raise JetError(
                JetErr.EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS,
                f"{self.own.shown(tail.logs[0].path)} belongs to a recovery of "
                f"{', '.join(sorted(tail.names))}; restore the images again",
            )

    def _outside(self, tail: _Tail | None) -> list[str]:
        """Logs that are neither of the set nor needed, in folders that are the restore's alone."""
        kept = {log.path for log in tail.logs} if tail is not None else set()
        found: list[str] = []
        for files in {files.directory.casefold(): files for files in (self.set, self.own)}.values():
            if _same(files, self.running):
                continue
            others = [
                files.closed(generation)
                for generation in files.closed_generations()
                if not (_same(files, self.set) and self.gen_low <= generation <= self.gen_high)
            ]
            others += [files.current] if files.volume.exists(files.current) else []
            others = [path for path in others if path not in kept]
            if others and not _same(files, self.set):
                raise JetError(
                    JetErr.EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS,
                    f"{files.shown(others[0])} lies where recovery is to write its own log",
                )
            found += others
        return found


def _same(one: LogFiles, other: LogFiles) -> bool:
    return one.directory.casefold() == other.directory.casefold()
