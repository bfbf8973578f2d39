"""The body of the record that says which database is attached."""

from __future__ import annotations

from attrs import frozen

from eseback.formats.fields import Signature


@frozen
class AttachRecord:
    """Names (Windows paths) and signDb of a database that is attached from here on."""

    signature: Signature
    edb: str
    stm: str | None

    def pack(self) -> bytes:
        """signDb, then both names, NUL-terminated UTF-16."""
        names = f"{self.edb}\0{self.stm or ''}\0"
        return self.signature.pack() + names.encode("utf-16-le")

    @classmethod
    def unpack(cls, data: bytes) -> AttachRecord:
        """The inverse of :meth:`pack`."""
        size = len(Signature().pack())
        edb, stm, _ = data[size:].decode("utf-16-le").split("\0")
        return cls(Signature.unpack(data, 0), edb, stm or None)
