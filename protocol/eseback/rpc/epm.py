"""The endpoint mapper's interface, as far as a client needs it: C706 appendix O.

`ept_lookup` lists endpoints, `ept_map` finds those of one interface. The registering operations
are left out: nobody can register anything over the wire here, and calling them is out of range.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from eseback.data import frozen
from eseback.rpc.errors import BadStubData, NotRepresentable
from eseback.rpc.interface import make_interface, operation
from eseback.rpc.mgmt import INTERFACE_ID
from eseback.rpc.ndr import CONTEXT_HANDLE, GUID, ULONG, NdrType, Reader, Writer
from eseback.rpc.ndr_arrays import BYTES, Unique, VaryingArray
from eseback.rpc.ndr_struct import ConformantStruct, Count, Struct
from eseback.rpc.syntax import SyntaxId

__all__ = ["ENDPOINT_MAPPER", "EPT_NOT_REGISTERED", "Entry"]

EPT_NOT_REGISTERED: Final = 0x16C9A0D6
"""Status of a lookup that found nothing, or nothing more (`ept_s_not_registered`)."""

_ANNOTATION_MAX: Final = 64
_ANSWERED: Final = 0x4000_0000  # clients count from 1 or from 0x20000


class _Annotation(NdrType):
    """`[string] char annotation[64]`: varying, its size not on the wire."""

    size_min = 9

    def put(self, writer: Writer, value: Any) -> None:
        raw = str(value).encode("ascii", "replace") + b"\0"
        if len(raw) > _ANNOTATION_MAX:
            raise NotRepresentable(f"an annotation of {len(raw)} octets, at most 64")
        writer.count(0)
        writer.count(len(raw))
        writer.data += raw

    def get(self, reader: Reader) -> str:
        offset, actual = reader.count(), reader.count()
        if offset or not 0 < actual <= _ANNOTATION_MAX:
            raise BadStubData(f"an annotation of {actual} octets at {offset}")
        raw = bytes(reader.take(actual))
        if raw.find(b"\0") != actual - 1:
            raise BadStubData("an annotation that does not end with its only NUL")
        return raw[:-1].decode("latin-1")


@frozen
class Entry:
    """`ept_entry_t`: one endpoint. tower: octets, see `eseback.rpc.tower`."""

    object: uuid.UUID
    tower: bytes | None
    annotation: str = ""


def _take_entry(entry: Entry) -> tuple[Any, ...]:
    return entry.object, entry.tower, entry.annotation


class _AnsweredPointer(Unique):
    """A full pointer, `[ptr]`, in a response.

    Full pointers with equal numbers are one pointer, also where one came with the request (C706
    14.3.10). What a response points to is new, so its numbers are none that clients use.
    """

    def put(self, writer: Writer, value: Any) -> None:
        writer.count(0 if value is None else _ANSWERED + len(writer.data))


_TOWER: Final = Unique(ConformantStruct("twr_t", BYTES))
_ANSWERED_TOWER: Final = _AnsweredPointer(_TOWER.target)
_ENTRY: Final = Struct(
    "ept_entry_t",
    (("object", GUID), ("tower", _ANSWERED_TOWER), ("annotation", _Annotation())),
    Entry,
    _take_entry,
)
_HANDLE: Final = ("entry_handle", CONTEXT_HANDLE)

ENDPOINT_MAPPER: Final = make_interface(
    "epmapper",
    SyntaxId(uuid.UUID("e1af8308-5d1f-11c9-91a4-08002b14a0fa"), 3),
    (
        operation(
            2,
            "ept_lookup",
            (
                ("inquiry_type", ULONG),
                ("object", Unique(GUID)),
                ("interface_id", Unique(INTERFACE_ID)),
                ("vers_option", ULONG),
                _HANDLE,
                ("max_ents", ULONG),
            ),
            (
                _HANDLE,
                ("num_ents", Count("entries")),
                ("entries", VaryingArray(_ENTRY)),
                ("status", ULONG),
            ),
        ),
        operation(
            3,
            "ept_map",
            (("object", Unique(GUID)), ("map_tower", _TOWER), _HANDLE, ("max_towers", ULONG)),
            (
                _HANDLE,
                ("num_towers", Count("towers")),
                ("towers", VaryingArray(_ANSWERED_TOWER)),
                ("status", ULONG),
            ),
        ),
        operation(4, "ept_lookup_handle_free", (_HANDLE,), (_HANDLE, ("status", ULONG))),
    ),
)
