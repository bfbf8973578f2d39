"""Where bytes live: a volume in memory that can lose power, and one in a real directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eseback.lazy import loader
from esesim.volume.base import (
    Lender,
    Lent,
    Readable,
    Volume,
    VolumeError,
    VolumeFile,
    VolumeFileNotFound,
    Writable,
)
from esesim.volume.crash import CrashReport, PowerLoss
from esesim.volume.generated import Generated, register
from esesim.volume.memory import SECTOR_SIZE, MemoryVolume

if TYPE_CHECKING:
    from esesim.volume.directory import DirectoryVolume

__all__ = [
    "SECTOR_SIZE",
    "CrashReport",
    "DirectoryVolume",
    "Generated",
    "Lender",
    "Lent",
    "MemoryVolume",
    "PowerLoss",
    "Readable",
    "Volume",
    "VolumeError",
    "VolumeFile",
    "VolumeFileNotFound",
    "Writable",
    "register",
]

if not TYPE_CHECKING:  # servers in memory do without
    __getattr__ = loader(__name__, {"directory": ("DirectoryVolume",)})
