"""The day, from one place, so that a test can set it."""

from __future__ import annotations

from datetime import UTC, date, datetime


def today() -> date:
    """Today, UTC."""
    return datetime.now(UTC).date()
