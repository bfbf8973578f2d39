"""What the model keeps: contexts, their backups and open files, groups; and what it asks for."""

from __future__ import annotations

from typing import Final, Protocol

from attrs import define, field, frozen

from eseback.order import BackupState
from eseconform.explore.steps import Step

CLIENTS: Final = 3
FIRST_READ_BYTES: Final = 3 * 4096
"""Bytes that ``Act.READ`` asks for: the least that the engine takes as the first of a database."""


class Facts(Protocol):
    """What is true of the server's disks, now."""

    def exists(self, path: str) -> bool:
        """Whether there is a file of that Windows path."""

    def oldest(self, group: int) -> int:
        """The oldest generation on disk: of the closed logs, or the current one."""

    def generation(self, group: int) -> int:
        """The generation that is being written."""


@frozen
class Answer:
    """How a step ends: unsigned HRESULT (0 is success), JET error; ``lost``: no connection."""

    hresult: int = 0
    jet: int | None = None
    lost: bool = False


@define
class OpenFile:
    """The file that a context has open; ``store`` for an .edb of a mounted store."""

    handle: int | None  # None: the client was not told
    size: int
    store: int | None
    position: int = 0


@define
class Run:
    """What the backup of a context has done so far."""

    full: bool
    stores: frozenset[int]  # mounted when it began
    copied: set[int] = field(factory=set)
    high: int | None = None  # highest generation of the list
    truncated: bool = False


@define
class Context:
    """A client's context as the table sees it. ``group`` is the one that its backup is of."""

    state: BackupState = BackupState.PREPARED
    group: int | None = None
    run: Run | None = None
    file: OpenFile | None = None


@define
class Group:
    """Mounted stores, and for each store the generation that its last backup reaches."""

    mounted: set[int]
    backed_up_to: dict[int, int] = field(factory=dict)


@frozen
class Call:
    """A step as the model's clients make it: handle and file are what they hold."""

    step: Step
    path: str = ""
    handle: int = 0
    wanted: int = 0  # bytes that a read asks for
