"""One client's connection: contexts, handles, buffered reads; implements BackupApi."""

from __future__ import annotations

from .api import Session
from .reading import SectionReader

__all__ = ["SectionReader", "Session"]
