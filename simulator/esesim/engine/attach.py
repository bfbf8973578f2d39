"""The bodies of the records that say which databases are attached, detached and restored."""

from __future__ import annotations

from collections.abc import Mapping

from eseback.data import frozen
from eseback.formats.fields import NO_POSITION, NO_TIME, LgPos, LogTime, Signature

_SIGNATURE_SIZE = len(Signature().pack())
_POSITION_SIZE = len(NO_POSITION.pack())
_NAMES = _SIGNATURE_SIZE + _POSITION_SIZE + len(NO_TIME.pack())


@frozen
class AttachRecord:
    """Names (Windows paths) and signDb of a database that is attached from here on.

    ``lgpos_consistent`` and ``logtime_consistent`` are those of its header just before: an older
    copy of the file, which lacks changes, has others.
    """

    signature: Signature
    edb: str
    stm: str | None
    lgpos_consistent: LgPos = NO_POSITION
    logtime_consistent: LogTime = NO_TIME

    def pack(self) -> bytes:
        """signDb, position, time, then both names, NUL-terminated UTF-16."""
        names = f"{self.edb}\0{self.stm or ''}\0"
        return b"".join(
            (
                self.signature.pack(),
                self.lgpos_consistent.pack(),
                self.logtime_consistent.pack(),
                names.encode("utf-16-le"),
            )
        )

    @classmethod
    def unpack(cls, data: bytes) -> AttachRecord:
        """The inverse of :meth:`pack`."""
        edb, stm, _ = data[_NAMES:].decode("utf-16-le").split("\0")
        return cls(
            Signature.unpack(data, 0),
            edb,
            stm or None,
            LgPos.unpack(data, _SIGNATURE_SIZE),
            LogTime.unpack(data, _SIGNATURE_SIZE + _POSITION_SIZE),
        )


@frozen
class DetachRecord:
    """lgposConsistent and logtimeConsistent that the database's header got with its detach."""

    lgpos_consistent: LgPos
    logtime_consistent: LogTime

    def pack(self) -> bytes:
        """Position, then time."""
        return self.lgpos_consistent.pack() + self.logtime_consistent.pack()

    @classmethod
    def unpack(cls, data: bytes) -> DetachRecord:
        """The inverse of :meth:`pack`."""
        return cls(LgPos.unpack(data, 0), LogTime.unpack(data, _POSITION_SIZE))


@frozen
class RestoreRecord:
    """The databases that a hard recovery undoes from here on: dbid by name, in lower case."""

    databases: Mapping[str, int]

    def pack(self) -> bytes:
        """Number and name of each, NUL-separated UTF-16."""
        entries = (f"{dbid} {name}" for name, dbid in sorted(self.databases.items()))
        return "\0".join(entries).encode("utf-16-le")

    @classmethod
    def unpack(cls, data: bytes) -> RestoreRecord:
        """The inverse of :meth:`pack`."""
        entries = (entry.partition(" ") for entry in data.decode("utf-16-le").split("\0"))
        return cls({name: int(dbid) for dbid, _, name in entries})
