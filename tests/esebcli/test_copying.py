"""The read loop: only 0 bytes are the end, and the sum must be what was announced."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import cast

import pytest
from attrs import define, field

from eseback.api import BackupApi
from eseback.errors import EseBackupError
from eseback.structures import OpenedFile
from esebcli.copying import BUFFER_SIZE, FileReader
from esebcli.errors import JobError
from esebcli.readahead import aligned_buffer

PAYLOAD = bytes(range(256)) * 40


@define
class ScriptedFile:
    """A session with one file; `script` are the answers to the reads, counts or errors."""

    script: Sequence[int | Exception]
    size: int = len(PAYLOAD)
    sections: int = 1
    position: int = 0
    calls: list[str] = field(factory=list)

    def backup_open_file(
        self, context: int, file_name: str, read_hint: int, sections: int
    ) -> tuple[OpenedFile, ...]:
        self.calls.append("open")
        return (OpenedFile(5, self.size),) * self.sections

    def backup_read_file(self, context: int, handle: int, buffer: memoryview) -> int:
        assert handle == 5
        self.calls.append("read")
        answer = self.script[self.calls.count("read") - 1]
        if isinstance(answer, Exception):
            raise answer
        piece = PAYLOAD[self.position : self.position + min(max(answer, 0), len(buffer))]
        buffer[: len(piece)] = piece
        self.position += len(piece)
        return answer

    def backup_close_file(self, context: int, handle: int) -> None:
        self.calls.append("close")


@define
class Collector:
    data: bytearray = field(factory=bytearray)

    def feed(self, data: memoryview) -> None:
        self.data += data


def copy(file: ScriptedFile) -> tuple[bytes, bytes, str]:
    """Run a copy; returns what was written, what the sink saw, and the hash."""
    target, sink = io.BytesIO(), Collector()
    seen: list[tuple[int, int]] = []
    reader = FileReader(
        cast(BackupApi, file), 1, aligned_buffer(4096), lambda *step: seen.append(step)
    )
    handle, size = reader.open("C:\\x.edb")
    copied = reader.copy("C:\\x.edb", handle, size, target, sink)
    assert copied.size == len(target.getvalue())
    assert seen[0] == (0, file.size) and len(seen) == file.calls.count("read")
    return target.getvalue(), bytes(sink.data), copied.sha256


@pytest.mark.parametrize(
    "script",
    [
        [4096, 4096, 2048, 0],
        [1, 4095, 2000, 2096, 2048, 0],
        [1] * 2048 + [4096, 4096, 0],
    ],
    ids=["full reads", "short reads", "tiny reads"],
)
def test_short_reads_are_not_the_end(script: list[int]) -> None:
    file = ScriptedFile(script)
    written, seen, digest = copy(file)
    assert written == seen == PAYLOAD
    assert digest == hashlib.sha256(PAYLOAD).hexdigest()
    assert file.calls[-1] == "close" and file.calls.count("close") == 1


def test_an_empty_file() -> None:
    assert copy(ScriptedFile([0], size=0))[0] == b""


@pytest.mark.parametrize(
    ("script", "size", "message"),
    [
        ([4096, 4096, 0], len(PAYLOAD), "announced 10240 bytes and sent 8192"),
        ([0], len(PAYLOAD), "announced 10240 bytes and sent 0"),
        ([4096, 4096, 2048, 0], 10239, "sent more than the 10239 bytes announced"),
        ([4096, 4096], 4096, "sent more than the 4096 bytes announced"),
        ([-1], 100, "claims to have sent -1 bytes"),
        ([4097], len(PAYLOAD), "claims to have sent 4097 bytes"),
    ],
)
def test_wrong_amounts_close_the_file(script: list[int], size: int, message: str) -> None:
    file = ScriptedFile(script, size)
    with pytest.raises(JobError, match=message):
        copy(file)
    assert file.calls[-1] == "close"


def test_a_read_error_is_not_the_end_and_leaves_the_handle_to_instance_end() -> None:
    error = EseBackupError.from_jet(-1018, "backup_read_file")
    file = ScriptedFile([4096, error])
    with pytest.raises(EseBackupError) as caught:
        copy(file)
    assert caught.value is error
    # The engine closed it: to close it again would be an error of its own.
    assert "close" not in file.calls


def test_sections_that_were_not_asked_for() -> None:
    for sections in (0, 2):
        with pytest.raises(JobError, match=f"opened {sections} sections"):
            copy(ScriptedFile([0], sections=sections))


def test_an_error_of_ours_closes_the_file_even_if_that_fails() -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    class Stubborn(ScriptedFile):
        def backup_close_file(self, context: int, handle: int) -> None:
            super().backup_close_file(context, handle)
            raise EseBackupError.from_jet(-1003, "backup_close_file")

    file = Stubborn([4096, 0])
    reader = FileReader(cast(BackupApi, file), 1, aligned_buffer(4096), lambda *_: None)
    handle, size = reader.open("x")
    with pytest.raises(OSError, match="No space left"):
        reader.copy("x", handle, size, Full(), Collector())
    assert file.calls == ["open", "read", "close"]


def test_the_buffer_is_aligned_and_a_multiple_of_every_page() -> None:
    import ctypes

    buffer = aligned_buffer(BUFFER_SIZE)
    assert len(buffer) == BUFFER_SIZE and BUFFER_SIZE % 8192 == 0 and BUFFER_SIZE >= 65536
    assert ctypes.addressof(ctypes.c_char.from_buffer(buffer)) % 4096 == 0
