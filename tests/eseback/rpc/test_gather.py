"""Lists of buffers arrive whole and in order, however little is taken at a time."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from eseback.rpc import Buffer
from eseback.rpc.gather import send_gathered, send_joined

BUFFERS = st.lists(st.binary(max_size=30), min_size=1, max_size=8)


class Transport:
    """Takes so many bytes of each send, over and over; the system's limit of buffers holds."""

    def __init__(self, *takes: int) -> None:
        self.data = bytearray()
        self.calls = 0
        self._takes = takes

    def sendmsg(self, buffers: Sequence[Buffer]) -> int:
        assert len(buffers) <= 1024
        joined = b"".join(buffers)
        count = min(self._takes[self.calls % len(self._takes)], len(joined))
        self.data += joined[:count]
        self.calls += 1
        return count


@given(BUFFERS, st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_short_sends(buffers: list[bytes], takes: list[int]) -> None:
    transport = Transport(*takes)
    send_gathered(transport.sendmsg, buffers)
    assert transport.data == b"".join(buffers)


def test_more_buffers_than_the_system_takes() -> None:
    buffers = [bytes([n % 256]) * 3 for n in range(2500)]
    for taken, calls in ((10_000, 3), (1000, 10)):
        transport = Transport(taken)
        send_gathered(transport.sendmsg, buffers)
        assert transport.data == b"".join(buffers)
        assert transport.calls == calls


@given(BUFFERS, st.integers(1, 20))
def test_joined(buffers: list[bytes], times: int) -> None:
    sent: list[Buffer] = []
    send_joined(sent.append, buffers * times)
    assert b"".join(sent) == b"".join(buffers * times)


def test_joined_in_batches() -> None:
    sent: list[Buffer] = []
    send_joined(sent.append, [bytes(100_000)] * 7)
    assert [len(batch) for batch in sent] == [200_000, 200_000, 200_000, 100_000]
