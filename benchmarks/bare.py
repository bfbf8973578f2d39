"""A read over the wire with everything taken away that can be: how fast the sockets alone are.

The same packets go to and fro as between our client and our server, of the same sizes and out of as
much memory: 60 bytes ask, a header stands before each fragment of data, one `sendmsg` sends an
answer and `recvmsg_into` puts it where it belongs. But nothing is made or looked at: what is sent
was laid out beforehand. No server or client in Python can be faster than this.

python -m benchmarks.bare SIZE FRAGMENT TOTAL   the other end: reads of SIZE bytes out of TOTAL
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks import peers

_HEADER = 24
_REQUEST = bytes(60)
_CHUNK = 1 << 18  # bytes in one piece of memory, as files in memory have them


def laid_out(pieces: Sequence[memoryview], fragment: int) -> list[memoryview]:
    """Buffers of one answer: before each `fragment` a header, then its data."""
    buffers, room = [], 0
    for piece in pieces:
        start = 0
        while start < len(piece):
            if not room:
                buffers.append(memoryview(bytearray(_HEADER)))
                room = fragment - _HEADER
            part = piece[start : start + room]
            buffers.append(part)
            start, room = start + len(part), room - len(part)
    return buffers


def _after(buffers: Sequence[memoryview], count: int) -> list[memoryview]:
    """What is left of the buffers behind the first `count` bytes."""
    rest = []
    for buffer in buffers:
        if count < len(buffer):
            rest.append(buffer[count:])
        count = max(count - len(buffer), 0)
    return rest


def serve(size: int, fragment: int, total: int) -> None:
    """Answer whoever connects, until killed."""
    chunks = [memoryview(os.urandom(_CHUNK)) for _ in range(total // _CHUNK)]
    views = [chunk[at : at + size] for chunk in chunks for at in range(0, _CHUNK, size)]
    pieces = max(size // _CHUNK, 1)  # of one answer
    answers = [
        laid_out(views[start : start + pieces], fragment) for start in range(0, len(views), pieces)
    ]
    whole = sum(map(len, answers[0]))
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        sock = listener.accept()[0]
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = 0
        while sock.recv(1 << 16):
            answer = answers[number % len(answers)]
            number += 1
            sent = sock.sendmsg(answer)
            while sent < whole:
                sent += sock.sendmsg(_after(answer, sent))


class BareReader:
    """The other side: reads into one buffer of `size` bytes."""

    def __init__(self, sock: socket.socket, size: int, fragment: int) -> None:
        self._socket = sock
        self._buffers = laid_out([memoryview(bytearray(size))], fragment)
        self._whole = sum(map(len, self._buffers))

    def read(self, times: int) -> None:
        """So many reads, one by one."""
        ask, receive, buffers = self._socket.sendall, self._socket.recvmsg_into, self._buffers
        for _ in range(times):
            ask(_REQUEST)
            got = receive(buffers)[0]
            while got < self._whole:
                got += receive(_after(buffers, got))[0]


@contextmanager
def bare_reader(size: int, fragment: int, total: int) -> Iterator[BareReader]:
    """A reader of a peer in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bare", str(size), str(fragment), str(total)]
    with peers.running(command) as peer, peers.connect(peer.port) as sock:
        yield BareReader(sock, size, fragment)


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:]))
