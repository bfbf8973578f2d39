"""The transcript: every call of a client as one JSON line, and how to read such lines back.

A line holds the call's number, its documented name and method, the storage group it concerns (as
far as the calls told), its arguments, and its result or error. Nothing in it depends on time, on
memory addresses or on how handles are numbered, so the same calls against the same server give the
same bytes. Data is never stored: a buffer appears as its length, what was read or written as length
and CRC.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

from attrs import fields, has

from eseback.api import BackupApi
from eseback.calls import CALL_BY_METHOD
from eseback.data import frozen
from eseback.errors import ConnectionLost, EseBackupError

from .layer import ApiLayer, RestoreGroups

R = TypeVar("R")
_GIVES_CONTEXT: Final = frozenset({"restore_open", "restore_reopen"})
_CARRIES_DATA: Final = frozenset({"backup_read_file", "restore_write_file"})
_ENDS_GROUP: Final = frozenset({"backup_instance_end", "backup_end"})
_ENCODE: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_ERROR_KEYS: Final = {"hresult", "jet", "name", "lost", "detail"}


class Sink(Protocol):
    """Where lines go: an open text file, or anything else with ``write``."""

    def write(self, text: str, /) -> object:
        """Take one line, line end included."""


class Recorder(ApiLayer):
    """A BackupApi that writes each call to ``sink`` after it returned or failed.

    One recorder serves one client. Handles and contexts appear as small numbers in the order in
    which they were handed out; one that never was appears as a text (``"?17"``).

    While ``recording`` is False nothing is written or counted, but calls are followed, so that
    lines written later know contexts and groups.
    """

    def __init__(self, api: BackupApi, sink: Sink, *, recording: bool = True) -> None:
        super().__init__(api)
        self.recording = recording
        self._sink = sink
        self._number = 0
        self._contexts: dict[int, int] = {}
        self._handles: dict[int, int] = {}
        self._instances: dict[int, str] = {}
        self._groups: dict[int, str] = {}  # by context, of the backup that runs in it
        self._restores = RestoreGroups()
        self._lock = threading.Lock()

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        """Make the call and write its line."""
        if not self.recording and method in _CARRIES_DATA:
            return function(**arguments)
        try:
            result = function(**arguments)
        except EseBackupError as error:
            with self._lock:
                self._write(method, arguments, "error", _plain_error(error))
            raise
        with self._lock:
            plain = self._plain_result(method, arguments, result)
            self._write(method, arguments, "result", plain)
            self._restores.note(method, arguments, result)
        return result

    def _write(
        self, method: str, arguments: Mapping[str, Any], outcome: str, plain: object
    ) -> None:
        number = self._number + 1
        line = {
            "n": number,
            "call": CALL_BY_METHOD[method].documented,
            "method": method,
            "group": self._group(method, arguments),
            "args": {name: self._plain_argument(name, v) for name, v in arguments.items()},
            outcome: plain,
        }
        if method == "backup_setup" and outcome == "result":
            name = self._instances.get(arguments["instance_id"])
            if name is not None:
                self._groups[arguments["context"]] = name
        elif method in _ENDS_GROUP:
            self._groups.pop(arguments["context"], None)
        if self.recording:
            self._number = number
            self._sink.write(_ENCODE(line) + "\n")

    def _group(self, method: str, arguments: Mapping[str, Any]) -> str | None:
        if method == "backup_setup":
            number = arguments["instance_id"]
            return self._instances.get(number) if isinstance(number, int) else None
        context = arguments.get("context")
        group = self._groups.get(context) if isinstance(context, int) else None
        return group or self._restores.of(method, arguments)

    def _plain_argument(self, name: str, value: Any) -> object:
        if name == "context":
            return _shown(self._contexts, value)
        if name == "handle":
            return _shown(self._handles, value)
        if name == "buffer" and isinstance(value, bytes | bytearray | memoryview):
            return memoryview(value).nbytes
        return _plain(value)

    def _plain_result(self, method: str, arguments: Mapping[str, Any], result: Any) -> object:
        if method == "backup_read_file":
            data = memoryview(arguments["buffer"]).cast("B")[:result]
            return {"bytes": result, "crc32": f"{zlib.crc32(data):08x}"}
        if method == "backup_prepare":
            context, instances = result
            self._instances.update((info.instance_id, info.instance_name) for info in instances)
            return {"context": _ordinal(self._contexts, context), "instances": _plain(instances)}
        if method in _GIVES_CONTEXT:
            return {"context": _ordinal(self._contexts, result)}
        if method == "backup_open_file":
            return [
                {"handle": _ordinal(self._handles, section.handle), "size": section.size}
                for section in result
            ]
        if method == "restore_open_file":
            handle = result.handle
            return {"handle": None if handle is None else _ordinal(self._handles, handle)}
        return _plain(result)


@frozen
class CallError:
    """How a call failed. ``lost``: the connection broke, so whether it took effect is unknown."""

    hresult: int
    jet: int | None
    name: str
    lost: bool
    detail: str


@frozen
class CallRecord:
    """One line of a transcript. Exactly one of ``result`` and ``error`` tells the outcome.

    ``arguments`` and ``result`` are what JSON holds (dicts, lists, texts, numbers); ``error`` is
    None for a call that succeeded, also where its result is None.
    """

    number: int
    call: str
    method: str
    group: str | None
    arguments: Mapping[str, Any]
    result: Any
    error: CallError | None


class TranscriptError(ValueError):
    """A line is no record of a call; the message gives the line and the reason."""


def read_transcript(lines: Iterable[str]) -> Iterator[CallRecord]:
    """The records of a transcript, in order, each checked.

    Raises TranscriptError at the first line that is damaged, missing or out of order.
    """
    for number, line in enumerate(lines, 1):
        try:
            yield _record(json.loads(line), number)
        except (ValueError, TypeError, KeyError) as error:
            reason = f"has no {error}" if isinstance(error, KeyError) else str(error)
            raise TranscriptError(f"line {number}: {reason}") from None


def _record(line: object, number: int) -> CallRecord:
    if not isinstance(line, dict):
        raise TypeError("is no JSON object")
    if line["n"] != number:
        raise ValueError(f"is call {line['n']!r}, expected {number}; lines are missing or moved")
    method, arguments, group = line["method"], line["args"], line["group"]
    info = CALL_BY_METHOD.get(method) if isinstance(method, str) else None
    if info is None or line["call"] != info.documented:
        raise ValueError(f"{line['call']!r} / {method!r} is no call of the API")
    if not isinstance(arguments, dict) or not isinstance(group, str | None):
        raise TypeError("has arguments or a group of the wrong type")
    if ("result" in line) == ("error" in line):
        raise ValueError("must have either a result or an error")
    error = _call_error(line["error"]) if "error" in line else None
    return CallRecord(number, info.documented, method, group, arguments, line.get("result"), error)


def _call_error(plain: object) -> CallError:
    if not isinstance(plain, dict) or plain.keys() != _ERROR_KEYS:
        raise TypeError("has an error that is not made of " + ", ".join(sorted(_ERROR_KEYS)))
    return CallError(
        hresult=int(plain["hresult"], 16),
        jet=plain["jet"],
        name=plain["name"],
        lost=plain["lost"],
        detail=plain["detail"],
    )


def _plain_error(error: EseBackupError) -> dict[str, object]:
    return {
        "hresult": f"0x{error.hresult:08X}",
        "jet": error.jet,
        "name": error.name,
        "lost": isinstance(error, ConnectionLost),
        "detail": error.detail,
    }


def _plain(value: Any) -> object:
    """A value as JSON holds it; data only as its length and CRC-32."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return {"bytes": memoryview(value).nbytes, "crc32": f"{zlib.crc32(value):08x}"}
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if has(type(value)):
        return {a.name: _plain(getattr(value, a.name)) for a in fields(type(value))}
    # Whatever else a client passes is for the server to refuse, not for the recorder.
    return f"<{type(value).__name__}>"


def _shown(known: Mapping[int, int], value: object) -> int | str:
    return known.get(value, f"?{value}") if isinstance(value, int) else f"?{type(value).__name__}"


def _ordinal(known: dict[int, int], value: int) -> int:
    return known.setdefault(value, len(known) + 1)
