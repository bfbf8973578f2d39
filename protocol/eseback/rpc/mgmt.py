"""The management interface, which every RPC server has: C706 appendix Q, MS-RPCE 2.2.1.3.

Data only; what a server answers is its own business. `[in, out]` counts and sizes that C needs
are explicit values here, because they are the caller's choice.
"""

from __future__ import annotations

import uuid
from typing import Final

from eseback.rpc.interface import make_interface, operation
from eseback.rpc.ndr import BOOLEAN32, GUID, ULONG, USHORT
from eseback.rpc.ndr import BYTE as CHAR
from eseback.rpc.ndr_arrays import Array, Unique, VaryingArray
from eseback.rpc.ndr_struct import ConformantStruct, Count, Struct
from eseback.rpc.syntax import SyntaxId

__all__ = ["INTERFACE_ID", "MANAGEMENT", "STATISTICS", "principal_name"]


def _make_interface_id(identifier: uuid.UUID, major: int, minor: int) -> SyntaxId:
    return SyntaxId(identifier, major, minor)


def _take_interface_id(syntax: SyntaxId) -> tuple[uuid.UUID, int, int]:
    return syntax.uuid, syntax.major, syntax.minor


INTERFACE_ID: Final = Struct(
    "rpc_if_id_t",
    (("uuid", GUID), ("vers_major", USHORT), ("vers_minor", USHORT)),
    _make_interface_id,
    _take_interface_id,
)
_VECTOR: Final = ConformantStruct("rpc_if_id_vector_t", Array(Unique(INTERFACE_ID, required=True)))

STATISTICS: Final = ("calls in", "calls out", "packets in", "packets out")
"""What `rpc__mgmt_inq_stats` counts, in its order (C706 appendix Q)."""


def principal_name(name: str, size: int) -> tuple[int, tuple[int, ...]]:
    """A name as `rpc__mgmt_inq_princ_name` gives it back: NUL at its end, cut to `size`."""
    return size, tuple((name.encode("ascii", "replace") + b"\0")[:size])


MANAGEMENT: Final = make_interface(
    "mgmt",
    SyntaxId(uuid.UUID("afa8bd80-7d8a-11c9-bef4-08002b102989"), 1),
    (
        operation(
            0,
            "rpc__mgmt_inq_if_ids",
            (),
            (("if_id_vector", Unique(_VECTOR)), ("status", ULONG)),
        ),
        operation(
            1,
            "rpc__mgmt_inq_stats",
            (("count", ULONG),),
            (("count", Count("statistics")), ("statistics", Array(ULONG)), ("status", ULONG)),
        ),
        operation(
            2, "rpc__mgmt_is_server_listening", (), (("status", ULONG), ("return", BOOLEAN32))
        ),
        operation(3, "rpc__mgmt_stop_server_listening", (), (("status", ULONG),)),
        operation(
            4,
            "rpc__mgmt_inq_princ_name",
            (("authn_proto", ULONG), ("princ_name_size", ULONG)),
            (("princ_name", VaryingArray(CHAR)), ("status", ULONG)),
        ),
    ),
)
