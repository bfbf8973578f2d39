"""What happens during a run, as data: streamed to ``events.ndjson`` and to whoever listens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Self

from attrs import frozen


@frozen
class Event:
    """One thing that happened.

    Attributes:
        kind: ``run_started``, ``case_started``, ``job_ended``, ``case_ended``, ``run_ended``, ...
        data: what belongs to it; plain values only.
    """

    kind: str
    data: Mapping[str, object]


Listener = Callable[[Event], None]


class EventStream:
    """Writes events as they come, one JSON line each, flushed: a run that dies leaves its trace."""

    def __init__(self, path: Path | None = None, listeners: tuple[Listener, ...] = ()) -> None:
        self._file: IO[str] | None = None if path is None else path.open("w", encoding="utf-8")
        self._listeners = listeners
        self._started = time.monotonic()

    def emit(self, event: str, **data: object) -> None:
        """Record an event and tell the listeners."""
        if self._file is not None:
            at = round(time.monotonic() - self._started, 6)
            self._file.write(json.dumps({"at": at, "event": event, **data}, default=str) + "\n")
            self._file.flush()
        happened = Event(event, data)
        for listener in self._listeners:
            listener(happened)

    def close(self) -> None:
        """Close the file; further events reach the listeners only."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
