"""What the readers of this package raise."""

from __future__ import annotations


class FormatError(Exception):
    """Bytes are not what the format says. ``reason`` tells what is wrong with them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ChecksumMismatchError(FormatError):
    """The stored checksum is not that of the bytes."""


class VersionMismatchError(FormatError):
    """The bytes are of a version of the format that is not supported."""
