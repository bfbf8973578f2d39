"""The corpus: what clients of several kinds say, recorded while a server answers them.

A client is a generator: it yields what it sends and is sent what the server answered. Handles and
association groups are predictable here (see `targets`), so what was said once can be said again.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Final, TypeAlias

from eseback.calls import CALL_BY_METHOD
from eseback.constants import INFORMATION_STORE, BackupType, InstanceEnd
from eseback.errors import EseBackupError
from eseback.rpc import (
    BACKUP_INTERFACE,
    ENDPOINT_MAPPER,
    MANAGEMENT,
    NDR32,
    NEED_DATA,
    NULL_HANDLE,
    BindFeature,
    ClientConnection,
    ClientEvent,
    ContextOffer,
    Interface,
    Limits,
    ResponseReceived,
)
from eseback.rpc.admin import ADMIN_INTERFACE
from eseback.rpc.backup_calls import decode_result, encode_arguments
from eseback.rpc.tower import TcpTower

Script: TypeAlias = Generator[bytes, bytes, None]

SERVER: Final = "EXCHSRV1"
GROUP: Final = "G1"
DISMOUNTED: Final = "G2S1"
INTERFACES: Final = (BACKUP_INTERFACE, MANAGEMENT, ENDPOINT_MAPPER)
"""What most clients bind, in this order."""
FEATURES: Final = BindFeature.KEEP_CONNECTION_ON_ORPHAN


def offers_of(interfaces: Sequence[Interface]) -> list[ContextOffer]:
    """A presentation context for each interface, counted from 0."""
    return [ContextOffer(n, i.syntax, (NDR32,)) for n, i in enumerate(interfaces)]


class Speaker:
    """A client's core with what its scripts need."""

    def __init__(self, fragment_max: int = 65528, *, concurrent: bool = False) -> None:
        self.core = ClientConnection(Limits(fragment_max=fragment_max))
        self._concurrent = concurrent

    def bind(self, interfaces: Sequence[Interface] = INTERFACES) -> Script:
        """Bind each interface to a context, counted from 0."""
        offers = offers_of(interfaces)
        message = self.core.bind(offers, concurrent=self._concurrent, features=FEATURES)
        self.core.receive_data((yield b"".join(message)))
        self.core.next_event()

    def plain(self, context: int, opnum: int, stub: bytes) -> Generator[bytes, bytes, ClientEvent]:
        """One call with its answer."""
        _, message = self.core.request(context, opnum, [stub])
        self.core.receive_data((yield b"".join(message)))
        event = self.core.next_event()
        assert event is not NEED_DATA
        return event

    def call(self, method: str, *arguments: object) -> Generator[bytes, bytes, Any]:
        """One call of the backup interface; None where it fails."""
        stub = bytes(encode_arguments(method, arguments))
        event = yield from self.plain(0, CALL_BY_METHOD[method].opnum or 0, stub)
        if not isinstance(event, ResponseReceived):
            return None
        try:
            return decode_result(method, event.stub)
        except EseBackupError:
            return None


def _backup(fragment_max: int) -> Script:
    """A backup from its beginning to its end, and a few calls that fail."""
    speaker = Speaker(fragment_max)
    call = speaker.call
    yield from speaker.bind()
    yield from call("get_nodes", None)
    yield from call("get_registered", SERVER, None, 0)
    handle, instances = yield from call("backup_prepare", SERVER, INFORMATION_STORE)
    yield from call("backup_get_dependency_info", handle)
    instance = next(info for info in instances if info.instance_name == GROUP)
    yield from call("backup_setup", handle, instance.instance_id, BackupType.FULL)
    name = instance.databases[0].streams[0]
    (opened,) = yield from call("backup_open_file", handle, name, 65536, 1)
    for size in (100, 4096, 20000):
        yield from call("backup_read_file", handle, opened.handle, size)
    yield from call("backup_close_file", handle, opened.handle)
    for log in (yield from call("backup_get_log_and_patch_files", handle))[:1]:
        (opened,) = yield from call("backup_open_file", handle, log, 1, 1)
        yield from call("backup_read_file", handle, opened.handle, 50000)
        yield from call("backup_close_file", handle, opened.handle)
    yield from call("backup_get_truncate_log_files", handle)
    yield from call("backup_truncate_logs", handle)
    yield from call("backup_instance_end", handle, InstanceEnd.SUCCESS)
    yield from call("backup_end", handle)
    yield from call("backup_end", handle)


def _restore(fragment_max: int) -> Script:
    """The calls of a restore, up to a recovery that fails."""
    speaker = Speaker(fragment_max)
    call = speaker.call
    yield from speaker.bind()
    folder = r"C:\restore"
    handle = yield from call("restore_open", SERVER, INFORMATION_STORE, "G2", folder)
    guid = uuid.uuid5(uuid.NAMESPACE_DNS, DISMOUNTED)
    source = (r"C:\source\priv1.edb", r"C:\source\priv1.stm")
    yield from call("restore_add_database", handle, DISMOUNTED, guid, source)
    targets = (r"C:\target\priv1.edb", r"C:\target\priv1.stm")
    yield from call("restore_add_database_ns", handle, DISMOUNTED, guid, source, targets)
    for name in (targets[0], r"C:\restore\E0000001.log"):
        opened = yield from call("restore_open_file", handle, name, 1)
        number = opened.handle if opened is not None else 1
        for data in (b"page", bytes(5000)):
            yield from call("restore_write_file", handle, number, data)
        yield from call("restore_close_file", handle, number)
    yield from call("restore_save_environment", handle)
    yield from call("restore_load_environment", SERVER, folder)
    yield from call("restore_get_environment", handle)
    yield from call("restore_complete", handle, folder, folder, None, 0)
    yield from call("snapshot_start", handle, "", 0)
    yield from call("restore_close", handle, 0)
    yield from call("restore_reopen", SERVER, None, folder)


def _standard() -> Script:
    """Management and the endpoint mapper."""
    speaker = Speaker(4280)
    yield from speaker.bind()
    for opnum, values in ((0, ()), (1, (4,)), (2, ()), (3, ()), (4, (10, 64))):
        yield from speaker.plain(
            1, opnum, bytes(MANAGEMENT.operations[opnum].request.encode(values))
        )
    lookup, find, free = (ENDPOINT_MAPPER.operations[opnum].request for opnum in (2, 3, 4))
    tower = TcpTower(BACKUP_INTERFACE.syntax).pack()
    identifier = uuid.UUID(int=1)
    rows: tuple[tuple[int, bytes | bytearray], ...] = (
        (3, find.encode((None, tower, NULL_HANDLE, 4))),
        (3, find.encode((identifier, None, NULL_HANDLE, 4))),
        (2, lookup.encode((0, None, None, 1, NULL_HANDLE, 500))),
        (2, lookup.encode((1, identifier, BACKUP_INTERFACE.syntax, 5, NULL_HANDLE, 1))),
        (4, free.encode((NULL_HANDLE,))),
    )
    for opnum, stub in rows:
        yield from speaker.plain(2, opnum, bytes(stub))


def _concurrent() -> Script:
    """Several calls at a time, their fragments mixed, some of them cancelled or given up."""
    speaker = Speaker(1432, concurrent=True)
    core = speaker.core
    yield from speaker.bind()
    stub = bytes(encode_arguments("get_registered", (SERVER, "x" * 2000, 0)))
    (first, head), (second, other) = (core.request(0, 1, [stub]) for _ in range(2))
    packed = [b"".join(head), b"".join(other)]
    answer = yield packed[0][:1432] + packed[1][:1432]
    answer += yield b"".join(core.cancel(first))
    answer += yield packed[0][1432:] + packed[1][1432:]
    core.receive_data(answer)
    core.next_event()
    third, message = core.request(0, 1, [stub])
    yield b"".join(message)[:1432] + b"".join(core.orphan(third))
    alter = _pdu(
        14, _bind_body((7, BACKUP_INTERFACE), little=True), little=True, call_id=90 + second
    )
    yield alter + _pdu(0, bytes(4) + b"\7\0\0\0" + stub, little=True, call_id=100)


# ---- by hand, because our own client does not speak so


def _pdu(ptype: int, body: bytes, *, little: bool, call_id: int, flags: int = 3) -> bytes:
    drep = b"\x10\0\0\0" if little else bytes(4)
    order = "<" if little else ">"
    size = 16 + len(body)
    return struct.pack(order + "BBBB4sHHI", 5, 0, ptype, flags, drep, size, 0, call_id) + body


def _bind_body(*contexts: tuple[int, Interface], little: bool) -> bytes:
    order = "<" if little else ">"
    body = struct.pack(order + "HHIB3x", 5840, 5840, 0, len(contexts))
    for number, interface in contexts:
        body += struct.pack(order + "HBB", number, 1, 0)
        for syntax in (interface.syntax, NDR32):
            octets = syntax.uuid.bytes_le if little else syntax.uuid.bytes
            body += octets + struct.pack(order + "I", syntax.major | syntax.minor << 16)
    return body


def _big_endian() -> Script:
    """A client whose numbers are big-endian, and who uses object identifiers."""
    yield _pdu(11, _bind_body((0, BACKUP_INTERFACE), little=False), little=False, call_id=1)
    rows: Sequence[tuple[str, Sequence[object]]] = (
        ("get_nodes", (None,)),
        ("get_registered", (SERVER, None, 0)),
        ("backup_prepare", (SERVER, INFORMATION_STORE)),
        ("backup_read_file", (b"\1" * 20, 7, 512)),
        ("restore_write_file", (b"\1" * 20, 7, b"data")),
        ("restore_open", (SERVER, INFORMATION_STORE, "G2", None)),
    )
    for number, (method, arguments) in enumerate(rows, 2):
        stub = bytes(encode_arguments(method, arguments, little=False))
        has_object = number % 2
        body = struct.pack(">IHH", len(stub), 0, CALL_BY_METHOD[method].opnum or 0)
        body += (uuid.UUID(int=5).bytes if has_object else b"") + stub
        flags = 0x83 if has_object else 3
        yield _pdu(0, body, little=False, call_id=number, flags=flags)


SCRIPTS: Final[dict[str, Callable[[], Script]]] = {
    "backup": lambda: _backup(65528),
    "backup in small fragments": lambda: _backup(1432),
    "restore in fragments of 4280 bytes": lambda: _restore(4280),
    "management and endpoint mapper": _standard,
    "several calls at a time": _concurrent,
    "big-endian": _big_endian,
}
"""What the corpus is recorded from, by name."""


def operations() -> Iterable[tuple[Interface, int]]:
    """Every operation of every interface."""
    every = (*INTERFACES, ADMIN_INTERFACE)
    return [(interface, opnum) for interface in every for opnum in interface.operations]
