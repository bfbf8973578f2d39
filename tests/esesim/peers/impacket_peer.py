"""A client of the backup interface made of nothing but Impacket and the published IDL.

Impacket has no IDL compiler, so its classes (`NDRCALL` and so on) are made here from what the text
declares: `EbBackupPrepare` with the [in] parameters, `EbBackupPrepareResponse` with the [out] ones
and the return value. None of our codec takes part, which is what makes it a peer.

Arrays of `wchar_t` come and go as lists of numbers, arrays of `byte` as bytes, GUIDs as their 16
bytes on the wire, context handles as 20.
"""

from __future__ import annotations

import importlib.resources
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from impacket.dcerpc.v5 import dtypes, ndr, rpcrt, transport
from impacket.uuid import uuidtup_to_bin

from tests.eseback.rpc.idl import Declaration, Function, read_idl

IDL: Final = read_idl((importlib.resources.files("eseback") / "eseback.idl").read_text("ascii"))
INTERFACE: Final = uuidtup_to_bin((IDL.attributes["uuid"], IDL.attributes["version"]))

# What Impacket raises for a return value that is not 0; it looks for the name in this module.
DCERPCSessionError: Final = rpcrt.DCERPCException

_HERE: Final = sys.modules[__name__]


def _make(name: str, base: Any, **members: Any) -> Any:
    """A class of this module, where Impacket looks for them."""
    made = type(name, (base,), {"__module__": __name__, **members})
    setattr(_HERE, name, made)
    return made


_HANDLE: Final = _make(
    "ContextHandle",
    ndr.NDRSTRUCT,
    structure=(("Data", '20s=b""'),),
    getAlignment=lambda _: 4,
)
_CHARACTERS: Final = _make("Characters", ndr.NDRUniConformantArray, item="<H")
_BYTES: Final = _make("Bytes", ndr.NDRUniConformantArray, item="c")
_RECEIVED: Final = _make("Received", ndr.NDRUniConformantVaryingArray, item="c")

_PLAIN: Final[dict[str, Any]] = {
    "long": dtypes.LONG,
    "EB_HRESULT": dtypes.DWORD,  # HRESULTs are written as unsigned numbers
    "unsigned long": dtypes.DWORD,
    "hyper": ndr.NDRHYPER,
    "EB_GUID": dtypes.GUID,
    **dict.fromkeys(IDL.context_handles, _HANDLE),
}


def _array(kind: str) -> Any:
    if kind == "wchar_t":
        return _CHARACTERS
    if kind == "byte":
        return _BYTES
    name = f"{kind}_ARRAY"
    return getattr(_HERE, name, None) or _make(name, ndr.NDRUniConformantArray, item=_PLAIN[kind])


def _pointer(target: Any) -> Any:
    name = f"P{target.__name__}"
    return getattr(_HERE, name, None) or _make(name, ndr.NDRPOINTER, referent=(("Data", target),))


def _type(declared: Declaration, stars: int) -> Any:
    """Impacket's class for a field or parameter; stars: those that stand for pointers on the wire.

    A reference pointer at the top level leaves no trace on the wire (C706 14.3.11).
    """
    attributes = declared.attributes
    sized = any(a.startswith("size_is") for a in attributes)
    is_pointer = "unique" in attributes or stars == 2
    if "string" in attributes:
        return dtypes.LPWSTR if is_pointer else dtypes.WSTR
    if any(a.startswith("length_is") for a in attributes):
        return _RECEIVED
    target = _array(declared.type) if sized else _PLAIN[declared.type]
    return _pointer(target) if is_pointer else target


def _define() -> None:
    for name, fields in IDL.structures.items():
        if name not in _PLAIN:
            structure = tuple((f.name, _type(f, f.stars)) for f in fields)
            _PLAIN[name] = _make(name, ndr.NDRSTRUCT, structure=structure)
    for opnum, function in enumerate(IDL.functions):
        ins, outs = _messages(function)
        _make(function.name, ndr.NDRCALL, opnum=opnum, structure=ins)
        _make(f"{function.name}Response", ndr.NDRCALL, structure=outs)


def _messages(function: Function) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    found: dict[str, list[tuple[str, Any]]] = {"in": [], "out": []}
    for parameter in function.parameters:
        for direction in ("in", "out"):
            if direction in parameter.attributes and parameter.type != "handle_t":
                found[direction].append((parameter.name, _type(parameter, parameter.stars)))
    found["out"].append(("ErrorCode", _PLAIN[function.result]))
    return tuple(found["in"]), tuple(found["out"])


_define()


class ImpacketPeer:
    """A connection. fragment: largest request fragment in stub bytes, 0 for what was negotiated."""

    null = ndr.NULL

    def __init__(self, address: tuple[str, int], fragment: int = 0) -> None:
        host, port = address
        self.dce = transport.DCERPCTransportFactory(f"ncacn_ip_tcp:{host}[{port}]").get_dce_rpc()
        self.dce.set_max_fragment_size(fragment)
        self.dce.connect()

    def bind(self, interface: bytes = INTERFACE) -> None:
        """Raises rpcrt.DCERPCException where the server refuses."""
        self.dce.bind(interface)

    def call(self, name: str, **arguments: Any) -> Any:
        """Response to an operation, whatever its return value is. Raises DCERPCException."""
        return self.dce.request(self.request(name, **arguments), checkError=False)

    def request(self, name: str, **arguments: Any) -> Any:
        """An operation's message, filled."""
        request = getattr(_HERE, name)()
        for key, value in arguments.items():
            request[key] = value
        return request


@contextmanager
def connected_peer(address: tuple[str, int], fragment: int = 0) -> Iterator[ImpacketPeer]:
    """A client that is connected and has not bound an interface yet."""
    peer = ImpacketPeer(address, fragment)
    try:
        yield peer
    finally:
        peer.dce.disconnect()


@contextmanager
def bound_peer(address: tuple[str, int], fragment: int = 0) -> Iterator[ImpacketPeer]:
    """A client of the backup interface."""
    with connected_peer(address, fragment) as peer:
        peer.bind()
        yield peer
