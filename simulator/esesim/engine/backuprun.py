"""What a backup that runs has done so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field

from eseback.constants import BackupType
from eseback.data import define
from eseback.formats.fields import NO_BACKUP, BkInfo

from .patchfile import PatchFile
from .ranges import LogRanges

if TYPE_CHECKING:
    from .database import Database


@define
class BackupRun:
    """What one backup has done so far."""

    kind: BackupType
    mark: BkInfo
    copy_mic: int
    copied: dict[int, Database] = field(factory=dict)
    in_session: set[int] = field(factory=set)
    ranges: LogRanges | None = None
    read_generations: set[int] = field(factory=set)
    truncated: bool = False
    inc_mark: BkInfo = NO_BACKUP
    patches: dict[int, PatchFile] = field(factory=dict)

    @property
    def is_full(self) -> bool:
        """Whether databases are copied."""
        return self.kind != BackupType.LOGS_ONLY
