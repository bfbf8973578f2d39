"""A relay that records what passes, and capture files made of it: no packet sniffer, no privileges.

    with Relay(server.address) as relay:
        ...                                     # a client talks to relay.address
    relay.write(path)                           # for tshark and other readers of pcap files

The file is the classic pcap format with link type RAW: IPv4 and TCP headers are made up, with
sequence numbers and acknowledgements as on a network without losses. Checksums are left 0.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from attrs import Factory, define

_MAGIC: Final = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0x40000, 101)  # 101: LINKTYPE_RAW
_SEGMENT_MAX: Final = 60_000  # an IPv4 packet has at most 65 535 bytes
_SYN, _FIN, _PSH, _ACK = 2, 1, 8, 16
_OPTIONS: Final = b"\x02\x04\xff\xd7\x03\x03\x0a\0"  # segment size; window scale 10: never full
_LOOPBACK: Final = b"\x7f\0\0\1"


@define
class Conversation:
    """One connection. pieces: who sent what, in an order in which it can have happened."""

    client_port: int
    server_port: int
    pieces: list[tuple[bool, bytes]] = Factory(list)  # True: from the client

    def stream(self, from_client: bool) -> bytes:
        """All bytes of one direction."""
        return b"".join(data for sender, data in self.pieces if sender is from_client)

    def one_by_one(self) -> Conversation:
        """The same with one PDU in each packet."""
        pieces: list[tuple[bool, bytes]] = []
        taken = {True: 0, False: 0}
        arrived = {True: b"", False: b""}
        for sender, data in self.pieces:
            arrived[sender] += data
            for one in list(pdus(arrived[sender][taken[sender] :])):
                if len(one) < frame_size(one):
                    break  # the rest comes with the next piece
                taken[sender] += len(one)
                pieces.append((sender, one))
        return Conversation(self.client_port, self.server_port, pieces)

    def packets(self) -> Iterator[bytes]:
        """IPv4 packets from the first SYN to the last FIN."""
        ports = {True: self.client_port, False: self.server_port}
        sent = {True: 1, False: 1}

        def packet(sender: bool, flags: int, data: bytes = b"", options: bytes = b"") -> bytes:
            header = struct.pack(
                ">HHIIBBHHH",
                ports[sender],
                ports[not sender],
                sent[sender],
                sent[not sender] if flags & _ACK else 0,
                (20 + len(options)) // 4 << 4,
                flags,
                0xFFFF,
                0,
                0,
            )
            sent[sender] += len(data) + bool(flags & (_SYN | _FIN))
            size = 20 + len(header) + len(options) + len(data)
            ip = struct.pack(">BBHIBBH", 0x45, 0, size, 0, 64, 6, 0) + _LOOPBACK * 2
            return ip + header + options + data

        yield packet(True, _SYN, options=_OPTIONS)
        yield packet(False, _SYN | _ACK, options=_OPTIONS)
        yield packet(True, _ACK)
        for sender, data in self.pieces:
            for start in range(0, len(data), _SEGMENT_MAX):
                yield packet(sender, _PSH | _ACK, data[start : start + _SEGMENT_MAX])
                yield packet(not sender, _ACK)
        yield packet(True, _FIN | _ACK)
        yield packet(False, _FIN | _ACK)
        yield packet(True, _ACK)


class Relay:
    """Passes connections on to an address, and keeps what they carry."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.conversations: list[Conversation] = []
        self._target = target
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        host, port = self._listener.getsockname()
        self.address: tuple[str, int] = (host, port)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for sock in self._sockets:
            sock.close()

    def write(self, path: Path, one_by_one: bool = False) -> Path:
        """All conversations so far, one after the other; on request with one PDU in a packet."""
        with path.open("wb") as file:
            file.write(_MAGIC)
            now = 0
            for conversation in self.conversations:
                for packet in (conversation.one_by_one() if one_by_one else conversation).packets():
                    now += 10  # microseconds
                    size = len(packet)
                    file.write(struct.pack("<IIII", now // 10**6, now % 10**6, size, size))
                    file.write(packet)
        return path

    def _start(self, target: object, *arguments: object) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                client, (_, port) = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                conversation = Conversation(port, self.address[1])
                self.conversations.append(conversation)
                self._start(self._pass, conversation, True, client, server)
                self._start(self._pass, conversation, False, server, client)

    def _pass(
        self, record: Conversation, from_client: bool, source: socket.socket, sink: socket.socket
    ) -> None:
        with suppress(OSError):
            while data := source.recv(_SEGMENT_MAX):
                with self._lock:  # written down before it is sent: an answer follows its question
                    record.pieces.append((from_client, data))
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def pdus(stream: bytes) -> Iterator[bytes]:
    """The PDUs of one direction of a DCE/RPC connection, cut by the lengths in their headers.

    Written here, and not taken from the codec, because it is what captures are counted against.
    """
    start = 0
    while start < len(stream):
        size = frame_size(stream[start : start + 16])
        yield stream[start : start + size]
        start += size


def frame_size(pdu: bytes) -> int:
    """Size of a PDU according to its header; 16 where that is not there yet."""
    if len(pdu) < 16:
        return 16
    size: int = struct.unpack_from("<H" if pdu[4] & 0xF0 else ">H", pdu, 8)[0]
    return size


def count_types(conversations: list[Conversation]) -> Counter[int]:
    """How many PDUs of each type passed, in both directions."""
    return Counter(
        pdu[2]
        for conversation in conversations
        for from_client in (True, False)
        for pdu in pdus(conversation.stream(from_client))
    )
