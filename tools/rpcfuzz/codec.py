"""The client's core and the decoders: what cases are tried on that needs no server."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Final

from eseback.calls import CALL_BY_METHOD
from eseback.errors import EseBackupError
from eseback.rpc import (
    BACKUP_INTERFACE,
    NEED_DATA,
    AuthLevel,
    AuthToken,
    AuthType,
    BadStubData,
    BindAccepted,
    ClientConnection,
    ConnectionClosed,
    RemoteProtocolError,
    ResponseReceived,
    ScatterRead,
)
from eseback.rpc.backup_calls import decode_arguments, decode_result
from eseback.rpc.bulk import decode_read, decode_read_request, decode_write
from eseback.rpc.fragment import fragment_response
from eseback.rpc.tower import TcpTower

from .conversations import FEATURES, INTERFACES, offers_of, operations
from .core import SIGNATURE, PretendedSecurity
from .mutations import Case
from .target import HELD_MAX, LIMITS, Exchange, Finding, peak_of

_SIZE: Final = 20_000
# What stands before the data of a read of so many bytes, if all of them come.
_HEAD: Final = struct.pack("<IIII", _SIZE, _SIZE, 0, _SIZE)
_TOKEN: Final = AuthToken(AuthType.NTLM, AuthLevel.INTEGRITY, 7, b"")
_METHOD_BY_OPNUM: Final = {info.opnum: method for method, info in CALL_BY_METHOD.items()}


class ClientTarget:
    """The client's core, told what a server never would. A case is what the server sends."""

    name: ClassVar[str] = "client"
    framed: ClassVar[bool] = True
    watch_every: ClassVar[int] = 1
    measure_every: ClassVar[int] = 50
    size_max: ClassVar[int] = 1 << 16

    def __init__(self, exchanges: list[Exchange]) -> None:
        self._corpus = [exchange.answers for exchange in exchanges]
        self._corpus.append((exchanges[0].answers[0], *_signed_reads()))

    def corpus(self) -> list[Case]:
        """What a server answered, and reads that are signed."""
        return self._corpus

    def refresh(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is held."""

    def measure(self, case: Case) -> None:
        """Bytes of memory: those received, those of incomplete answers, and what they say."""
        peak, size = peak_of(lambda: self.run(case)), sum(map(len, case))
        if peak > 300_000 + 2 * HELD_MAX + 120 * size:
            raise Finding(f"{peak} bytes of memory for {size} bytes received")

    def run(self, case: Case) -> None:
        """Bind, and have as many calls running as there may be, whatever is answered."""
        core = ClientConnection(LIMITS)
        core.bind(offers_of(INTERFACES), concurrent=len(case) % 2 > 0, features=FEATURES)
        payload = memoryview(bytearray(_SIZE))
        is_signed = any(SIGNATURE in message for message in case)
        for message in case:
            if is_signed and core.state.value == "open" and core.security is None:
                core.set_security(PretendedSecurity(_TOKEN))
            try:
                if not self._take(core, message, payload):
                    return
            except RemoteProtocolError as error:
                if error.answer or not str(error):
                    raise Finding("an error with an answer, or without words") from None
                return
            if core.buffered > HELD_MAX:
                raise Finding(f"{core.buffered} bytes held, at most {HELD_MAX}")

    def _take(self, core: ClientConnection, message: bytes, payload: memoryview) -> bool:
        """Ask for something if there is room, and take what comes in one of three ways; False once
        the connection is over.
        """
        if core.state.value == "open" and core.outstanding < (3 if core.concurrent else 1):
            call_id, _ = core.request(0, core.outstanding * 6, [b"stub"])
            scatter = core.expect(call_id, _HEAD, payload, bytes(12))
            if scatter is not None and len(message) % 8 != 4:
                message = self._scattered(core, scatter, message)
            elif core.take_response(call_id, message) is not None:
                return True
        if message:
            core.receive_data(message)
        return self._events(core)

    @staticmethod
    def _scattered(core: ClientConnection, scatter: ScatterRead, message: bytes) -> bytes:
        """Receive into the places that were predicted; gives what is left of the message."""
        position = 0
        while scatter.predicted and not scatter.complete and position < len(message):
            count = 0
            for buffer in scatter.buffers():
                piece = message[position + count : position + count + len(buffer)]
                buffer[: len(piece)] = piece
                count += len(piece)
            scatter.received(count)
            position += count
        if not scatter.complete and scatter.predicted:
            scatter.predicted = False  # the rest never comes: it is read like any other
        core.finish(scatter)
        return message[position:]

    @staticmethod
    def _events(core: ClientConnection) -> bool:
        """Take all there are; False once the connection is over."""
        while (event := core.next_event()) is not NEED_DATA:
            if isinstance(event, ResponseReceived):
                with suppress(BadStubData, EseBackupError):
                    decode_read(event.stub, _SIZE, event.little)
                with suppress(BadStubData, EseBackupError):
                    decode_result("get_nodes", event.stub, event.little)
            elif isinstance(event, BindAccepted):
                if 0 not in event.accepted:
                    return False
            elif isinstance(event, ConnectionClosed) or core.state.value == "closed":
                return False
        return True


def _signed_reads() -> list[bytes]:
    """Answers to the first calls, each in several fragments."""
    stub = [_HEAD, bytes(_SIZE), bytes(12)]
    security = PretendedSecurity(_TOKEN)
    return [b"".join(fragment_response(n, 0, stub, LIMITS.fragment_max, security)) for n in (2, 3)]


class StubTarget:
    """The decoders of every operation in both directions.

    A case is two messages: which operation, direction and byte order; and the stub.
    """

    name: ClassVar[str] = "stubs"
    framed: ClassVar[bool] = False
    watch_every: ClassVar[int] = 2
    measure_every: ClassVar[int] = 8
    size_max: ClassVar[int] = 2048

    def __init__(self, exchanges: list[Exchange]) -> None:
        self._operations = list(operations())
        self._places = {(i.syntax, n): at for at, (i, n) in enumerate(self._operations)}
        self._corpus = [
            (bytes((self._places[key], response, little)), stub)
            for exchange in exchanges
            for key, response, little, stub in exchange.stubs
            if key in self._places and len(stub) <= self.size_max
        ]
        for place in range(len(self._operations)):
            for response in (0, 1):
                self._corpus.append((bytes((place, response, 1)), bytes(64)))
                self._corpus.append((bytes((place, response, 0)), b"\0\0\0\1" * 16))

    def corpus(self) -> list[Case]:
        """Stubs of the conversations, and two of each operation that say little."""
        return list(self._corpus)

    def refresh(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is held."""

    def run(self, case: Case) -> None:
        """Decode it in every way there is for it."""
        self._decode(case[0], case[1])

    def measure(self, case: Case) -> None:
        """Bytes of memory: so many for each byte of the stub, whatever it announces."""
        which, stub = case
        peak = peak_of(lambda: self._decode(which, stub))
        # A list of the smallest elements takes most: 8 bytes make one of half a dozen objects.
        if peak > 100_000 + 120 * len(stub):
            raise Finding(f"{peak} bytes of memory for a stub of {len(stub)}")

    def _decode(self, which: bytes, stub: bytes) -> None:
        interface, opnum = self._operations[which[0] % len(self._operations)]
        operation, little = interface.operations[opnum], bool(which[2] & 1)
        if which[1] & 1:
            self._try(lambda: operation.response.decode(stub, little))
        else:
            self._try(lambda: operation.request.decode(stub, little))
        if interface is not BACKUP_INTERFACE:
            self._try(lambda: TcpTower.parse(stub))
            return
        method = _METHOD_BY_OPNUM[opnum]
        if which[1] & 1:
            self._try(lambda: decode_result(method, stub, little))
            self._try(lambda: decode_read(stub, len(stub), little))
        else:
            self._try(lambda: decode_arguments(method, stub, little))
            self._try(lambda: decode_read_request(stub, little))
            self._try(lambda: decode_write(stub, little))

    @staticmethod
    def _try(decode: Callable[[], Any]) -> None:
        try:
            decode()
        except (BadStubData, EseBackupError) as error:
            if not str(error):
                raise Finding("an error without words") from None
