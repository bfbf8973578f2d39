"""How a file with generated content lies in a real directory: what was written, and no more.

The file of that name is a container: a head of 4096 bytes that says what makes the rest and how
long the file is, and behind it slots, each a unit with a head of 16 bytes that says which one. A
unit gets a slot when it is first written and keeps it. A slot whose head is not whole was being
added when the power went: the unit is as it was before.
"""

from __future__ import annotations

import json
import struct
import threading
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from esesim.volume.base import Lent, Readable, VolumeError, VolumeFile, Writable, check_range
from esesim.volume.generated import Generated, revived

MAGIC: Final = b"esesim generated file 1\n"
_HEAD_SIZE: Final = 4096
_SIZES: Final = struct.Struct("<QQ")  # of the file, and where the generated stretch ends now
_SIZES_OFFSET: Final = _HEAD_SIZE - _SIZES.size
_SLOT: Final = struct.Struct("<QQ")  # number of the unit, its checksum


class Container:
    """One such file. Like any file it is read and written by one thread at a time."""

    def __init__(self, raw: VolumeFile) -> None:
        self._raw = raw
        head = raw.read(0, _HEAD_SIZE)
        plain: dict[str, Any] = json.loads(head[len(MAGIC) : _SIZES_OFFSET].rstrip(b"\0"))
        self._source = revived(plain["kind"], plain["recipe"])
        self._unit: int = self._source.unit
        self.size: int
        self._end: int
        self.size, self._end = _SIZES.unpack_from(head, _SIZES_OFFSET)
        self._slots: dict[int, int] = {}  # number of a unit to the offset of its bytes
        self._next = _HEAD_SIZE
        self._find_slots()

    @staticmethod
    def make(raw: VolumeFile, size: int, source: Generated) -> None:
        """Write the head of a new container into an empty file."""
        if size < source.end or source.start % source.unit or source.end % source.unit:
            raise ValueError(f"a file of {size} bytes has no room for {source.start}-{source.end}")
        text = json.dumps({"kind": source.kind, "recipe": source.recipe()}).encode()
        raw.write(0, (MAGIC + text).ljust(_SIZES_OFFSET, b"\0") + _SIZES.pack(size, source.end))

    def _find_slots(self) -> None:
        step = _SLOT.size + self._unit
        while len(head := self._raw.read(self._next, _SLOT.size)) == _SLOT.size:
            number, check = _SLOT.unpack(head)
            if check != _check(number):
                break
            self._slots[number] = self._next + _SLOT.size
            self._next += step

    def generated(self, offset: int, size: int) -> bool:
        """Whether all of these bytes are as the rule makes them."""
        if offset < self._source.start or offset + size > self._end:
            return False
        unit, slots = self._unit, self._slots
        return not any(map(slots.__contains__, range(offset // unit, -(-(offset + size) // unit))))

    def read_into(self, offset: int, buffer: Writable) -> int:
        """See ``VolumeFile``."""
        count = max(min(len(buffer), self.size - offset), 0)
        unit = self._unit
        first, last = offset - offset % unit, offset + count + -(offset + count) % unit
        if first == offset and last == offset + count:
            self._read_units(first, last, memoryview(buffer)[:count])
        elif count:
            whole = memoryview(bytearray(last - first))
            self._read_units(first, last, whole)
            buffer[:count] = whole[offset - first : offset - first + count]
        return count

    def _read_units(self, begin: int, end: int, out: memoryview) -> None:
        """Units from slots where there are some; runs of others from the rule, or zeros."""
        unit, slots = self._unit, self._slots
        start, stop = self._source.start, self._end
        first, last = max(begin, start), min(end, stop)
        if first >= last:
            out[:] = bytes(len(out))
        else:
            out[: first - begin] = bytes(first - begin)
            out[last - begin :] = bytes(end - last)
            self._source.fill(first, out[first - begin : last - begin])
        for number in range(begin // unit, end // unit):
            place = slots.get(number)
            if place is not None:
                at = number * unit - begin
                self._raw.read_into(place, out[at : at + unit])

    def write(self, offset: int, data: Readable) -> None:
        """See ``VolumeFile``."""
        view, unit = memoryview(data), self._unit
        end = offset + len(view)
        if not view:
            return
        for number in range(offset // unit, -(-end // unit)):
            first, last = max(number * unit, offset), min((number + 1) * unit, end)
            part = view[first - offset : last - offset]
            place = self._slots.get(number)
            if place is not None:
                self._raw.write(place + first - number * unit, part)
                continue
            whole = bytearray(unit)
            if last - first < unit:
                self._read_units(number * unit, (number + 1) * unit, memoryview(whole))
            whole[first - number * unit : last - number * unit] = part
            self._raw.write(self._next, _SLOT.pack(number, _check(number)) + whole)
            self._slots[number] = self._next + _SLOT.size
            self._next += _SLOT.size + unit
        if end > self.size:
            self._set_sizes(end, self._end)

    def resize(self, size: int) -> None:
        """See ``VolumeFile``. What is cut off is zeros if the file grows again."""
        if size < self.size:
            unit = self._unit
            whole = size - size % unit
            # The rest of a unit that is cut through, and slots behind it, must not come back.
            if size > whole:
                rest = bytearray(unit)
                self.read_into(whole, memoryview(rest)[: size - whole])
                self.write(whole, bytes(rest)[: self.size - whole])
            gone = bytes(unit)
            for number, place in self._slots.items():
                if number * unit >= size:
                    self._raw.write(place, gone)
        self._set_sizes(size, max(min(self._end, size - size % self._unit), self._source.start))

    def _set_sizes(self, size: int, end: int) -> None:
        self.size, self._end = size, end
        self._raw.write(_SIZES_OFFSET, _SIZES.pack(size, end))

    def sync(self) -> None:
        """See ``VolumeFile``."""
        self._raw.sync()

    def close(self) -> None:
        """The last user has closed it."""
        self._raw.close()


def _check(number: int) -> int:
    return zlib.crc32(number.to_bytes(8, "little"), 0xE5E) | 1 << 32


class Containers:
    """The containers of a volume that are open, each shared by all who have it open.

    Several threads may open and close files at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[int, int], Container] = {}
        self._users: dict[tuple[int, int], int] = {}

    def open(self, identity: tuple[int, int], raw: VolumeFile) -> ContainerFile:
        """Open the container in ``raw``, which is closed if somebody else has it open.

        ``identity`` tells its file from all others.
        """
        with self._lock:
            container = self._open.get(identity)
            if container is None:
                container = self._open[identity] = Container(raw)
            else:
                raw.close()
            self._users[identity] = self._users.get(identity, 0) + 1
        return ContainerFile(container, partial(self._release, identity))

    def _release(self, identity: tuple[int, int]) -> None:
        with self._lock:
            self._users[identity] -= 1
            if not self._users[identity]:
                del self._users[identity]
                # Closed before another file can have the identity.
                self._open.pop(identity).close()


class ContainerFile:
    """An open file of that kind; see ``VolumeFile``. ``release`` is called when it is closed."""

    def __init__(self, container: Container, release: Callable[[], None]) -> None:
        self._container: Container | None = container
        self._release = release

    def _open_container(self) -> Container:
        if self._container is None:
            raise VolumeError("the file was closed")
        return self._container

    @property
    def size(self) -> int:
        """See ``VolumeFile``."""
        return self._open_container().size

    def generated(self, offset: int, size: int) -> bool:
        """See ``VolumeFile``."""
        return self._open_container().generated(offset, size)

    def lend(self, offset: int, size: int) -> Lent | None:
        """See ``VolumeFile``. What lies on a disk can only be copied."""
        return None

    @property
    def lender(self) -> None:
        """See ``VolumeFile``."""

    def read_into(self, offset: int, buffer: Writable) -> int:
        """See ``VolumeFile``."""
        check_range(offset, 0)
        return self._open_container().read_into(offset, buffer)

    def read(self, offset: int, size: int) -> bytes:
        """See ``VolumeFile``."""
        check_range(offset, size)
        container = self._open_container()
        buffer = bytearray(max(min(size, container.size - offset), 0))
        container.read_into(offset, buffer)
        return bytes(buffer)

    def write(self, offset: int, data: Readable) -> None:
        """See ``VolumeFile``."""
        check_range(offset, len(data))
        self._open_container().write(offset, data)

    def resize(self, size: int) -> None:
        """See ``VolumeFile``."""
        check_range(0, size)
        self._open_container().resize(size)

    def sync(self) -> None:
        """See ``VolumeFile``."""
        self._open_container().sync()

    def close(self) -> None:
        """See ``VolumeFile``."""
        container, self._container = self._container, None
        if container is not None:
            self._release()
