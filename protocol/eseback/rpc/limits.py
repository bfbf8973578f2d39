"""What one end of a connection takes of the other."""

from __future__ import annotations

from typing import Final

from attrs import field

from eseback.data import frozen
from eseback.rpc.errors import LocalProtocolError
from eseback.rpc.header import FRAGMENT_MAX, FRAGMENT_MIN

__all__ = ["Limits"]

_MIB: Final = 1 << 20


def _is_fragment_size(_: object, __: object, value: int) -> None:
    if not FRAGMENT_MIN <= value <= FRAGMENT_MAX or value % 8:
        raise LocalProtocolError(
            f"a fragment size of {value} bytes: {FRAGMENT_MIN} to {FRAGMENT_MAX}, multiple of 8"
        )


def _is_positive(_: object, __: object, value: int) -> None:
    if not value > 0:
        raise LocalProtocolError(f"a limit of {value}: it has to be more than 0")


@frozen
class Limits:
    """What one connection may take.

    fragment_max: bytes of a PDU, offered to the peer; 1432 to 65528, multiple of 8. call_max: stub
    bytes of one incoming call or response (MS-RPCE 3.3.1.5.2.1 names 4 MiB for requests).
    outstanding_max: calls that wait for their answer or for their last fragment.
    contexts_max: presentation contexts.
    """

    fragment_max: int = field(default=FRAGMENT_MAX, validator=_is_fragment_size)
    call_max: int = field(default=4 * _MIB, validator=_is_positive)
    outstanding_max: int = field(default=16, validator=_is_positive)
    contexts_max: int = field(default=64, validator=_is_positive)
