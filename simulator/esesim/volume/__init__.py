"""Where bytes live: a volume in memory that can lose power, and one in a real directory."""

from esesim.volume.base import (
    Lent,
    Readable,
    Volume,
    VolumeError,
    VolumeFile,
    VolumeFileNotFound,
    Writable,
)
from esesim.volume.crash import CrashReport, PowerLoss
from esesim.volume.directory import DirectoryVolume
from esesim.volume.generated import Generated, register
from esesim.volume.memory import SECTOR_SIZE, MemoryVolume

__all__ = [
    "SECTOR_SIZE",
    "CrashReport",
    "DirectoryVolume",
    "Generated",
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
