"""Getting a list of buffers out: how many at a time, and what is left after a short send.

The transport's own `sendmsg` or `sendall` is handed in; nothing here knows a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from eseback.rpc.fragment import Buffer

__all__ = ["send_gathered", "send_joined", "send_rest"]

_BUFFERS_MAX: Final = 1024
"""IOV_MAX of Linux, macOS and the BSDs: POSIX guarantees 16, all of them take 1024."""
_JOINED_MAX: Final = 1 << 18


def send_gathered(
    sendmsg: Callable[[Sequence[Buffer]], int],
    buffers: Sequence[Buffer],
    total: int | None = None,
) -> None:
    """Send all of the buffers without joining them, whatever each `sendmsg` takes. total: bytes of
    all of them, where that is known.
    """
    if len(buffers) > _BUFFERS_MAX:
        for start in range(0, len(buffers), _BUFFERS_MAX):
            send_gathered(sendmsg, buffers[start : start + _BUFFERS_MAX])
        return
    left = sum(map(len, buffers)) if total is None else total
    sent = sendmsg(buffers)
    if sent < left:
        send_rest(sendmsg, buffers, left, sent)


def send_rest(
    sendmsg: Callable[[Sequence[Buffer]], int], buffers: Sequence[Buffer], total: int, sent: int
) -> None:
    """Send what a `sendmsg` of all the buffers, `total` bytes, has not taken after all."""
    while sent < total:
        total -= sent
        buffers = _after(buffers, sent)
        sent = sendmsg(buffers)


def send_joined(sendall: Callable[[Buffer], object], buffers: Sequence[Buffer]) -> None:
    """Send all of the buffers where nothing gathers them: joined, some at a time."""
    for batch in _batches(buffers):
        sendall(batch)


def _after(buffers: Sequence[Buffer], count: int) -> Sequence[Buffer]:
    """The buffers without their first `count` bytes, fewer than they have."""
    for number, buffer in enumerate(buffers):
        if count < len(buffer):
            return [memoryview(buffer)[count:], *buffers[number + 1 :]]
        count -= len(buffer)
    return []


def _batches(buffers: Sequence[Buffer]) -> Iterator[bytes]:
    batch: list[Buffer] = []
    size = 0
    for buffer in buffers:
        if batch and size + len(buffer) > _JOINED_MAX:
            yield b"".join(batch)
            batch, size = [], 0
        batch.append(buffer)
        size += len(buffer)
    if batch:
        yield b"".join(batch)
