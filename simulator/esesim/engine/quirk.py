"""Known misbehaviour of real servers that the engine carries out when it is told to.

What each is, where it is reported and which versions have it stands with the topology
(:mod:`esesim.topology.quirks`); here are the names alone, so that the engine needs nothing above
it.
"""

from __future__ import annotations

from enum import Enum


class Quirk(Enum):
    """A misbehaviour; the value is the name that a topology switches it on by."""

    INCREMENTAL_AFTER_COPY = "kb828092-incremental-after-copy"
    PRE_EXTENSION = "kb889528-pre-extension"
    LOG_FILE_NOT_COPIED = "log-file-not-copied"
    TRANSIENT_READS = "transient-read-errors"
    REMOTE_STREAMING_DISABLED = "remote-streaming-disabled"
    DATA_CONNECTION_BLOCKED = "data-connection-blocked"
    SHORT_READS = "short-reads"
