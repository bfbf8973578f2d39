"""What a connection is doing, and how long it may do so."""

from __future__ import annotations

from enum import Enum

from .limits import ServerLimits


class Phase(Enum):
    """What a connection is doing."""

    HANDSHAKE = "handshake"
    IDLE = "idle"
    RECEIVING = "receiving"
    CALL = "call"
    SENDING = "sending"


def overdue(phase: Phase, limits: ServerLimits, holds_contexts: bool) -> float | None:
    """How long a connection may stay in a phase, in seconds; None for as long as it likes."""
    if phase is Phase.HANDSHAKE:
        return limits.handshake_seconds
    if phase in (Phase.RECEIVING, Phase.SENDING):
        return limits.stall_seconds
    if phase is Phase.IDLE and not holds_contexts:
        return limits.idle_seconds
    return None
