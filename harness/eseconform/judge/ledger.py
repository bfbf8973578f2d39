"""What the server sent of each file, call by call, as the transcript of one job tells it."""

from __future__ import annotations

from attrs import define, field, frozen

from eseback.constants import BackupType
from eseconform.judge.records import CallError


@frozen
class Segment:
    """What one read brought: its length in bytes and the digest of just these bytes."""

    length: int
    digest: str


@define
class Attempt:
    """One opening of one file, up to its close or to whatever else ended it.

    Attributes:
        name: file name as the client gave it.
        opened_at: number of the open call.
        handle: what the server returned.
        size: bytes that the server announced.
        segments: the reads that brought bytes, in order.
        saw_end: a read succeeded with 0 bytes.
        error: the error of a read, if one failed.
        closed_at: number of the close call, or None.
        reads_at_end: reads that succeeded with 0 bytes.
        read_after_error: number of the first read after a failed one that failed, too; or None.
    """

    name: str
    opened_at: int
    handle: int
    size: int
    segments: list[Segment] = field(factory=list)
    saw_end: bool = False
    error: CallError | None = None
    closed_at: int | None = None
    reads_at_end: int = 0
    read_after_error: int | None = None

    @property
    def received(self) -> int:
        """Bytes received so far."""
        return sum(segment.length for segment in self.segments)

    @property
    def complete(self) -> bool:
        """Whether the client has everything: all announced bytes, or a read that said "no more".

        After a failed read only the bytes count: what came between may be lost.
        """
        return self.received >= self.size or (self.saw_end and self.error is None)

    @property
    def shortfall(self) -> str:
        """How the attempt ended early, in words."""
        cause = f"; its read failed with {self.error.name}" if self.error else ""
        return f"{self.received} of {self.size} bytes read{cause}"


@define
class GroupBackup:
    """One backup of one storage group, from Setup to its end.

    Attributes:
        group: name of the instance.
        context: context it ran in.
        backup_type: what Setup was called with.
        started_at: number of the Setup call.
        databases: mounted databases that the job is about, by display name, with their streams, as
            Prepare listed them.
        others: streams of mounted databases that the job is not about.
        attempts: every opening of a file, in order.
        logs: what the log list returned, or None when it never returned.
        truncated_at: number of the first TruncateLogs call, whatever came of it.
        truncation_acknowledged: a TruncateLogs call succeeded.
        truncations: how many did.
        error: first error that a call of this backup returned, with the number of the call.
        ended_at: number of the last InstanceEnd call (or of the End that replaced it).
        end_flag: what the last InstanceEnd call was given, None when there was none.
        left_open: the file that was still open at the end, or None.
        success_acknowledged: InstanceEnd(SUCCESS) succeeded.
    """

    group: str
    context: int
    backup_type: BackupType
    started_at: int
    databases: dict[str, tuple[str, ...]] = field(factory=dict)
    others: tuple[str, ...] = ()
    attempts: list[Attempt] = field(factory=list)
    logs: tuple[str, ...] | None = None
    truncated_at: int | None = None
    truncation_acknowledged: bool = False
    truncations: int = 0
    error: tuple[int, CallError] | None = None
    ended_at: int | None = None
    end_flag: int | None = None
    left_open: Attempt | None = None
    success_acknowledged: bool = False

    @property
    def is_full(self) -> bool:
        """Whether databases belong to it."""
        return self.backup_type is not BackupType.LOGS_ONLY

    def has_stream(self, name: str) -> bool:
        """Whether the name is a stream of a mounted database; case does not count."""
        folded = name.casefold()
        own = (stream for streams in self.databases.values() for stream in streams)
        return any(folded == stream.casefold() for stream in (*own, *self.others))

    def has_log(self, name: str) -> bool:
        """Whether the name is in the list of logs."""
        return name.casefold() in {log.casefold() for log in self.logs or ()}

    def attempts_at(self, name: str) -> list[Attempt]:
        """Every opening of a file, in order."""
        return [a for a in self.attempts if a.name.casefold() == name.casefold()]

    def complete_attempt(self, name: str) -> Attempt | None:
        """The last opening in which the file was read entirely, or None."""
        return next((a for a in reversed(self.attempts_at(name)) if a.complete), None)

    def complete_before(self, name: str, call: int) -> bool:
        """Whether the file was read entirely and closed before that call."""
        return any(
            a.complete and a.closed_at is not None and a.closed_at < call
            for a in self.attempts_at(name)
        )

    def wanted(self) -> tuple[str, ...]:
        """Every file that belongs into the set of this backup, as far as the server has told."""
        streams = (
            [s for streams in self.databases.values() for s in streams] if self.is_full else []
        )
        return (*streams, *(self.logs or ()))
