"""Protocol towers: where an interface can be reached, as the endpoint mapper tells it.

A tower is a list of floors, each with a left side (protocol identifier and data) and a right side
(address data). Floors 1 and 2 are the interface and its transfer syntax, 3 the RPC protocol, 4
and 5 the transport. Everything in a tower is little-endian, whatever the stub around it is
(C706 appendices I and L).
"""

from __future__ import annotations

import ipaddress
import struct
import uuid
from typing import Final

from eseback.data import frozen
from eseback.rpc.errors import BadStubData, LocalProtocolError
from eseback.rpc.syntax import NDR32, SyntaxId

__all__ = ["Floor", "TcpTower", "pack_floors", "parse_floors"]

_UUID: Final = 0x0D
_CONNECTION_ORIENTED: Final = 0x0B
_TCP: Final = 0x07
_IP: Final = 0x09
_FLOORS_MAX: Final = 8

_U16: Final = struct.Struct("<H")
_PORT: Final = struct.Struct(">H")


@frozen
class Floor:
    """One floor. protocol: its identifier; data: what follows that on the left; address: right."""

    protocol: int
    data: bytes
    address: bytes


def pack_floors(floors: tuple[Floor, ...]) -> bytes:
    """The octets of a tower."""
    parts = [_U16.pack(len(floors))]
    for floor in floors:
        left = bytes((floor.protocol,)) + floor.data
        parts += [_U16.pack(len(left)), left, _U16.pack(len(floor.address)), floor.address]
    return b"".join(parts)


def parse_floors(octets: bytes) -> tuple[Floor, ...]:
    """The floors of a tower. Raises BadStubData."""
    position = 0

    def take(size: int) -> bytes:
        nonlocal position
        end = position + size
        if end > len(octets):
            raise BadStubData(f"a tower of {len(octets)} octets ends within a floor")
        position, start = end, position
        return octets[start:end]

    def counted() -> bytes:
        return take(_U16.unpack(take(2))[0])

    count: int = _U16.unpack(take(2))[0]
    if count > _FLOORS_MAX:
        raise BadStubData(f"a tower of {count} floors")
    floors = []
    for _ in range(count):
        left, right = counted(), counted()
        if not left:
            raise BadStubData("a floor without a protocol")
        floors.append(Floor(left[0], left[1:], right))
    return tuple(floors)


@frozen
class TcpTower:
    """The tower of an interface over TCP. port 0 and address 0.0.0.0 where they are asked for."""

    interface: SyntaxId
    port: int = 0
    address: str = "0.0.0.0"
    transfer: SyntaxId = NDR32

    def pack(self) -> bytes:
        """The octets of the tower."""
        if not 0 <= self.port <= 0xFFFF:
            raise LocalProtocolError(f"port {self.port}")
        host = ipaddress.IPv4Address(self.address).packed
        return pack_floors(
            (
                _syntax_floor(self.interface),
                _syntax_floor(self.transfer),
                Floor(_CONNECTION_ORIENTED, b"", bytes(2)),
                Floor(_TCP, b"", _PORT.pack(self.port)),
                Floor(_IP, b"", host),
            )
        )

    @classmethod
    def parse(cls, octets: bytes) -> TcpTower | None:
        """The tower; None for one of another protocol. Raises BadStubData."""
        floors = parse_floors(octets)
        protocols = tuple(floor.protocol for floor in floors)
        if protocols != (_UUID, _UUID, _CONNECTION_ORIENTED, _TCP, _IP):
            return None
        port, host = floors[3].address, floors[4].address
        if len(port) != 2 or len(host) != 4:
            raise BadStubData(f"a TCP tower with {len(port)} octets of port, {len(host)} of host")
        return cls(
            _floor_syntax(floors[0]),
            _PORT.unpack(port)[0],
            str(ipaddress.IPv4Address(host)),
            _floor_syntax(floors[1]),
        )


def _syntax_floor(syntax: SyntaxId) -> Floor:
    return Floor(_UUID, syntax.uuid.bytes_le + _U16.pack(syntax.major), _U16.pack(syntax.minor))


def _floor_syntax(floor: Floor) -> SyntaxId:
    if len(floor.data) != 18 or len(floor.address) != 2:
        raise BadStubData(f"a syntax floor of {len(floor.data)} and {len(floor.address)} octets")
    identifier = uuid.UUID(bytes_le=floor.data[:16])
    return SyntaxId(identifier, _U16.unpack(floor.data[16:])[0], _U16.unpack(floor.address)[0])
