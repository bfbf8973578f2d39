"""The two calls that carry data, without copying it: read file and write file.

Their stubs are the ones that `eseback.rpc.backup_interface` describes; here they are a few bytes
before the data and a few after it, so that the data itself stays where it is. A response of the
expected shape is checked against constants; any other is decoded step by step.
"""

from __future__ import annotations

import struct
from typing import Final

from eseback.errors import EseBackupError
from eseback.rpc.backup_calls import encode_error, raise_failure
from eseback.rpc.backup_interface import OPERATIONS
from eseback.rpc.errors import BadStubData, NotRepresentable
from eseback.rpc.fragment import Buffer
from eseback.rpc.ndr import HRESULT, LONG, Reader
from eseback.rpc.ndr_arrays import WSTRING, Unique

__all__ = [
    "check_read",
    "decode_read",
    "decode_read_request",
    "decode_write",
    "encode_read",
    "encode_read_error",
    "encode_read_request",
    "encode_write",
    "read_ends",
]

_HEAD_SIZE: Final = 16  # got, size of the array, 0, elements of the array

_READ: Final = "backup_read_file"
_HEAD: Final = (struct.Struct(">IIII"), struct.Struct("<IIII"))
_LITTLE_HEAD: Final = _HEAD[True]
# JET error, detail and HRESULT of a success.
_TAIL_SIZE: Final = 12
_TAILS: Final = tuple(bytes(pad + _TAIL_SIZE) for pad in range(4))
_DETAIL: Final = Unique(WSTRING)

_REQUEST: Final = struct.Struct("<20s4xqI")  # context handle, padding, file, size
_WRITE_SIZE: Final = 40  # context handle, padding, file, size, size of the array
_WRITE: Final = struct.Struct("<20s4xqII")


def read_ends(size: int) -> tuple[bytes, bytes]:
    """What stands around the data in the stub of a read that got all of `size` bytes, for
    `ClientConnection.expect`.
    """
    return _LITTLE_HEAD.pack(size, size, 0, size), _TAILS[-size % 4]


def encode_read_request(handle: bytes, file: int, size: int) -> bytes:
    """Stub of the request of a read. Raises NotRepresentable."""
    try:
        return _REQUEST.pack(handle, file, size)
    except struct.error as error:
        raise NotRepresentable(f"{_READ}: {error}") from None


def decode_read_request(stub: Buffer, little: bool = True) -> tuple[bytes, int, int]:
    """Context handle, file and size of a read. Raises BadStubData."""
    if not little or len(stub) < _REQUEST.size:
        handle, file, size = OPERATIONS[_READ].request.decode(stub, little)
        return handle, file, size
    handle, file, size = _REQUEST.unpack_from(stub)
    return handle, file, size


def encode_read(size: int, *data: Buffer) -> list[Buffer]:
    """Stub of a successful read of at most `size` bytes; data: those that were read, in order."""
    got = len(data[0]) if len(data) == 1 else sum(map(len, data))
    if got > size:
        raise NotRepresentable(f"{got} bytes read where {size} were asked for")
    return [_LITTLE_HEAD.pack(got, size, 0, got), *data, _TAILS[-got % 4]]


def encode_read_error(error: EseBackupError, size: int) -> list[Buffer]:
    """Stub of a failed read."""
    return [encode_error(_READ, error, (b"", 0, size))]


def check_read(head: bytes, body: memoryview, tail: bytes, size: int) -> int:
    """How many bytes a read of at most `size` bytes that was received in place has given.

    body: what stands in the memory of the data; of a read that gave less, the stub's last bytes are
    in it too. Raises what `decode_read` does.
    """
    if len(body) == size and (head, tail) == read_ends(size):
        return size
    got = _got(head, size, True)
    if got > len(body):
        raise BadStubData(f"read of {size} bytes: {got} announced, {len(body)} are there")
    padding = -got % 4
    _check_end(Reader(b"".join((body[got:], tail))[padding:]))
    return got


def decode_read(stub: Buffer, size: int, little: bool = True) -> memoryview:
    """Data of a read of at most `size` bytes, as a view of the stub.

    Raises EseBackupError for a read that failed, BadStubData for nonsense.
    """
    reader = Reader(stub, little)
    got = _got(reader.take(_HEAD_SIZE), size, little)
    data = reader.take(got)
    _check_end(reader)
    return data


def _got(head: Buffer, size: int, little: bool) -> int:
    """How many bytes the first ones of a stub announce."""
    got, size_found, offset, actual = _HEAD[little].unpack(head)
    if offset or got != actual or size_found != size or got > size:
        raise BadStubData(
            f"read of {size} bytes: {got} announced, {actual} at {offset} of {size_found} found"
        )
    return int(got)


def _check_end(reader: Reader) -> None:
    """What stands behind the data."""
    jet = LONG.get(reader)
    detail = _DETAIL.get_rest(reader, _DETAIL.get(reader))
    hresult = HRESULT.get(reader)
    if hresult:
        raise_failure(_READ, hresult, jet, detail)


def encode_write(handle: bytes, file: int, data: Buffer) -> list[Buffer]:
    """Stub of a write: its fixed part and the data."""
    size = memoryview(data).nbytes
    try:
        return [_WRITE.pack(handle, file, size, size), data]
    except struct.error as error:
        raise NotRepresentable(f"restore_write_file: {error}") from None


def decode_write(stub: Buffer, little: bool = True) -> tuple[bytes, int, memoryview]:
    """Context handle, file and data (a view of the stub) of a write."""
    view = memoryview(stub)
    if not little:
        handle, file, data = OPERATIONS["restore_write_file"].request.decode(stub, little)
        return handle, file, memoryview(data)
    if len(view) < _WRITE_SIZE:
        raise BadStubData(f"a write whose stub has {len(view)} bytes")
    handle, file, size, size_found = _WRITE.unpack_from(view)
    if size != size_found or size > len(view) - _WRITE_SIZE:
        raise BadStubData(
            f"a write of {size} bytes, {size_found} announced, {len(view) - _WRITE_SIZE} there"
        )
    return handle, file, view[_WRITE_SIZE : _WRITE_SIZE + size]
