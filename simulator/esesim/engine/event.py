"""Entries of the event log, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from eseback.data import frozen


@frozen
class Event:
    """One entry: ``id`` and ``source`` as in the Windows event log, ``time`` in Unix seconds.

    ``values`` are the insertion strings that made ``text``, by the names of ``eseback.EVENTS``.
    """

    id: int
    source: str
    group: str
    text: str
    time: int
    values: Mapping[str, object] = {}


EventSink = Callable[[Event], None]
