"""Small calls over the wire, beside a plain Python ping-pong over a plain socket.

The ping-pong sends as many bytes as the call's request has, and is answered with as many as its
response has; that is all it does. Both ends count, on one core.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle

import pytest

from benchmarks import peers
from benchmarks.bench_rpc_read import PEERS, ROUNDS, WireBackup, wire_backup
from benchmarks.conftest import Measure
from benchmarks.table import Goal, GoalKind

CALLS = 2_500
SMALL = 16
# Header of 24 bytes, context handle; header, an empty array and one of a character, JET error, no
# detail, HRESULT.
DEPENDENCY_SIZES = (44, 60)
# ... file and size; got, sizes of the array, data.
READ_SIZES = (60, 24 + 16 + SMALL + 12)


def ask_for_dependencies(backup: WireBackup) -> Callable[[], object]:
    """A call with nothing to do but find its context and the group's lock."""
    ask, context = backup.api.backup_get_dependency_info, backup.context
    return lambda: ask(context)


def read_a_little(backup: WireBackup) -> Callable[[], object]:
    """A read of a few bytes; the file is far longer than all of them together."""
    handle, _ = backup.open()
    read, context, buffer = backup.api.backup_read_file, backup.context, bytearray(SMALL)

    def call() -> None:
        assert read(context, handle, buffer) == SMALL

    return call


@pytest.mark.parametrize(
    ("name", "prepare", "sizes", "ratio_min"),
    [
        (f"read_file of {SMALL} bytes", read_a_little, READ_SIZES, 0.5),
        ("get_dependency_info, with an array", ask_for_dependencies, DEPENDENCY_SIZES, 0.1),
    ],
)
def bench_rpc_small_call(
    measure: Measure,
    name: str,
    prepare: Callable[[WireBackup], Callable[[], object]],
    sizes: tuple[int, int],
    ratio_min: float,
) -> None:
    message, answer_size = bytes(sizes[0]), sizes[1]
    with ExitStack() as stack:
        calls = [prepare(stack.enter_context(wire_backup())) for _ in range(PEERS)]
        ports = [stack.enter_context(peers.ping_pong(answer_size)) for _ in range(PEERS)]
        sockets = [stack.enter_context(peers.connect(port)) for port in ports]
        next_call, next_socket = cycle(calls).__next__, cycle(sockets).__next__

        def subject() -> None:
            call = next_call()
            for _ in range(CALLS):
                call()

        def yardstick() -> None:
            sock = next_socket()
            send, receive = sock.sendall, sock.recv
            for _ in range(CALLS):
                send(message)
                assert len(receive(65536)) == answer_size

        measure(
            f"small call over the wire: {name}",
            subject,
            goal=Goal(GoalKind.SPEED_RATIO_MIN, ratio_min),
            yardstick_name="raw ping-pong of as many bytes",
            yardstick=yardstick,
            amount=CALLS,
            unit="calls",
            rounds=ROUNDS,
        )
