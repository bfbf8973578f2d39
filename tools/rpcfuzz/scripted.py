"""A whole server without sockets and threads: one connection at a time, whose client is a script.

Handles and numbers of association groups are predictable here, so that a recorded conversation can
be said again.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from socket import socket
from types import ModuleType
from typing import ClassVar, Final, cast

from eseback.rpc import (
    NEED_DATA,
    BindRequested,
    RemoteProtocolError,
    RequestReceived,
    ServerConnection,
    SyntaxId,
)
from eseback.rpc.header import (
    COMMON_SIZE,
    FRAGMENT_MAX,
    REQUEST_SIZE,
    frame_length,
    parse_frame,
)
from eseback.rpc.status import PduType
from esesim.rpc import RpcServer, ServerLimits, association, serve
from esesim.rpc.connection import Connection
from esesim.server import SimulatedServer
from esesim.topology import GroupSpec, ServerSpec, StoreSpec, Topology, WorkloadSpec

from .conversations import DISMOUNTED, SCRIPTS, SERVER, Script
from .mutations import Case, split_pdus
from .standins import PEER, Complaints, Predictable, ScriptedSocket
from .target import LIMITS, Exchange, Finding, Stub, peak_of

READ_MAX: Final = 1 << 16
_ANSWERS: Final = (
    2,
    3,
    12,
    13,
    15,
    17,
)  # response, fault, bind_ack, bind_nak, alter_resp, shutdown
_TRICKLED_MAX: Final = 2048  # bytes of a case that may come one by one


def topology() -> Topology:
    """Two groups with a store each; that of the second is dismounted and may be overwritten."""
    return Topology(
        server=ServerSpec(name=SERVER, seed=3),
        groups=tuple(
            GroupSpec(
                name=name,
                log_size=64 * 1024,
                stores=(StoreSpec(name=f"{name}S1", mounted=mounted, overwritable=not mounted),),
                workload=WorkloadSpec(messages=5),
            )
            for name, mounted in (("G1", True), (DISMOUNTED[:2], False))
        ),
    )


class ServerTarget:
    """A connection with the backup service, management and the endpoint mapper behind it."""

    name: ClassVar[str] = "server"
    framed: ClassVar[bool] = True
    watch_every: ClassVar[int] = 3
    measure_every: ClassVar[int] = 50
    size_max: ClassVar[int] = 1 << 14
    _MEMORY_MAX: ClassVar[int] = 6 << 20  # what one connection may take, and the engine with it
    _RANDOM: ClassVar[tuple[ModuleType, ...]] = (association,)  # modules whose secrets are known

    def __init__(self) -> None:
        self.limits = ServerLimits(memory=1 << 20, read_max=READ_MAX, handles=4, call=LIMITS)
        self._predictable = [Predictable(module) for module in self._RANDOM]
        self._complaints = Complaints()
        self._simulated: SimulatedServer | None = None
        self.refresh()

    def close(self) -> None:
        """Let go of the server, and put everything back."""
        self._stop()
        self._complaints.stop()
        for source in self._predictable:
            source.stop()

    def _stop(self) -> None:
        if self._simulated is not None:
            self.server.stop()
            self._simulated.close()

    def refresh(self) -> None:
        """A new server."""
        self._stop()
        self._simulated = simulated = SimulatedServer(topology())
        self.server = self._make_server(simulated)  # never started

    def _make_server(self, simulated: SimulatedServer) -> RpcServer:
        return serve(simulated, limits=self.limits)

    def scripts(self) -> Iterable[Script]:
        """What clients say at first."""
        return [make() for make in SCRIPTS.values()]

    def record(self) -> list[Exchange]:
        """The conversations of all scripts, each with a new server."""
        found = []
        for script in self.scripts():
            self.refresh()
            found.append(self._record(script))
        self.refresh()
        return found

    def _record(self, script: Script) -> Exchange:
        said: list[bytes] = []
        answers: list[bytes] = []

        def play(sock: ScriptedSocket) -> Iterator[bytes]:
            message = next(script)
            while True:
                said.append(message)
                yield message
                answers.append(bytes(sock.sent))
                sock.sent.clear()
                try:
                    message = script.send(answers[-1])
                except StopIteration:
                    return

        self._serve(ScriptedSocket(play))
        self._check_left(b"".join(answers))
        return Exchange(tuple(said), tuple(answers), stubs_of(said, answers, self.server.services))

    def corpus(self) -> list[Case]:
        """What clients said."""
        return [exchange.said for exchange in self.record()]

    def measure(self, case: Case) -> None:
        """Bytes of memory, those of the engine too."""
        peak, size = peak_of(lambda: self.run(case)), sum(map(len, case))
        if peak > self._MEMORY_MAX + 4 * size:
            raise Finding(f"{peak} bytes of memory for {size} bytes received")

    def answers_to(self, case: Case) -> bytes:
        """Say it, in large pieces or small ones; gives all that is answered."""
        size = sum(map(len, case))
        steps = (1 << 16, 1 << 16, 1448, 17 if size > _TRICKLED_MAX else 1)
        step = steps[zlib.crc32(b"".join(case)) % len(steps)]
        sock = ScriptedSocket(lambda _: self._watched(case), step)
        self._serve(sock)
        return bytes(sock.sent)

    def run(self, case: Case) -> None:
        """Say it, and look at what is left."""
        self._check_left(self.answers_to(case))

    def _watched(self, case: Case) -> Iterator[bytes]:
        for message in case:
            if self.server.memory.used > self.limits.memory:
                raise Finding(f"{self.server.memory.used} bytes held")
            yield message

    def _serve(self, sock: ScriptedSocket) -> None:
        for source in self._predictable:
            source.again()
        Connection(self.server, cast("socket", sock), PEER, False, gather=True).run()

    def _check_left(self, sent: bytes) -> None:
        """What must hold after each connection."""
        found, self._complaints.found = self._complaints.found, []
        if found:
            raise Finding(f"the server says: {found[0]}")
        server = self.server
        if server.memory.used or len(server.associations):
            raise Finding(f"{server.memory.used} bytes, {len(server.associations)} groups are left")
        check_pdus(sent)
        self._check_backups()

    def _check_backups(self) -> None:
        simulated = self._simulated
        assert simulated is not None
        owned = [group.name for group in simulated.groups if group.backup_owner is not None]
        if owned or simulated.restores:
            raise Finding(f"left behind: backups of {owned}, {len(simulated.restores)} restores")


def check_pdus(sent: bytes) -> None:
    """Whether it is a row of whole PDUs that a server may send. Raises Finding."""
    position = 0
    while position < len(sent):
        try:
            end = position + frame_length(sent[position : position + COMMON_SIZE], 0, FRAGMENT_MAX)
            frame = parse_frame(memoryview(sent)[position:end])
        except Exception as error:
            raise Finding(f"the server sends nonsense: {error!r}") from None
        if end > len(sent) or frame.ptype not in _ANSWERS:
            raise Finding(f"the server sends a PDU of type {frame.ptype}, {len(frame.data)} bytes")
        position = end


def stubs_of(
    said: Sequence[bytes], answers: Sequence[bytes], served: Iterable[SyntaxId]
) -> tuple[Stub, ...]:
    """The stubs in a conversation, fragments put together."""
    found: list[Stub] = []
    called: dict[int, tuple[SyntaxId, int]] = {}
    core = ServerConnection(served, LIMITS)
    core.receive_data(b"".join(said))
    with suppress(RemoteProtocolError):  # where a client authenticates: those are not for here
        while (event := core.next_event()) is not NEED_DATA:
            if isinstance(event, BindRequested):
                core.accept(1)
            elif isinstance(event, RequestReceived):
                called[event.call_id] = (event.interface, event.opnum)
                found.append((called[event.call_id], False, event.little, bytes(event.stub)))
                core.send_response(event.call_id, [])
    stubs: dict[int, bytes] = {}
    for pdu in split_pdus(b"".join(answers)):
        frame = parse_frame(memoryview(pdu))
        if frame.ptype == PduType.RESPONSE:
            stubs[frame.call_id] = stubs.get(frame.call_id, b"") + bytes(frame.data[REQUEST_SIZE:])
    found += [(called[n], True, True, stub) for n, stub in stubs.items() if n in called]
    return tuple(found)
