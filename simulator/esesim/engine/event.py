"""Entries of the event log, as data."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen


@frozen
class Event:
    """One entry: ``id`` and ``source`` as in the Windows event log, ``time`` in Unix seconds."""

    id: int
    source: str
    group: str
    text: str
    time: int


EventSink = Callable[[Event], None]
