"""What a version of Exchange is made of and what it allows, as data.

A topology names a profile; the engine and the exchange layer read their parameters and limits here
and nowhere else. Sources: ESE source daedef.hxx (format revisions, limits), the SDK's backup
overview (4 storage groups, 16 instances), the SDK page of GetLogAndPatchFiles (patch files up to
Exchange 2000 SP1), KB 812962 (checkpoint depth), product limits (5 stores a group).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import evolve

from eseback.data import frozen

from ..engine.quirk import Quirk

_FIVE_DIGITS: Final = 0xFFFFF - 16
_EIGHT_DIGITS: Final = 0x7FFFFA00 - 0x200


@frozen
class VersionProfile:
    """One version: formats of its files, limits of its server process, habits of its engine.

    Sizes are in bytes. ``page_ecc`` tells the checksum of a page: ECC (2003 SP1) or plain XOR.
    ``patch_files``: no trailer, moved rows are not logged but patched. ``streaming``: databases
    have a .stm. ``any_failure_cancels``: an error with a file ends the backup in every phase, and
    a missing one is -1811. ``copy_marks``: headers also remember copies and differentials.
    ``folder_per_group``: the first group has a folder of its own name too. ``recovery_group``:
    there is a recovery storage group. ``environment_server``: restore environments tell the server.
    ``replicas``: another computer may back up a group's replica. ``quirks`` belong to the version
    as it was shipped.
    """

    name: str
    title: str
    page_size: int
    page_ecc: bool
    database_revision: int
    log_size: int
    log_size_min: int
    groups_max: int
    stores_per_group_max: int
    instances_max: int
    log_update: int
    generation_digits: int
    generation_max: int
    checkpoint_depth_max: int
    directory: str
    folder_per_group: bool = False
    streaming: bool = True
    patch_files: bool = False
    any_failure_cancels: bool = False
    copy_marks: bool = False
    recovery_group: bool = True
    environment_server: bool = False
    replicas: bool = False
    quirks: frozenset[Quirk] = frozenset()


EXCHANGE_2003_SP1: Final = VersionProfile(
    name="exchange-2003-sp1",
    title="Exchange Server 2003 SP1, Enterprise Edition",
    page_size=4096,
    page_ecc=True,
    database_revision=0xB,
    log_size=5 * 1024 * 1024,
    log_size_min=32 * 1024,
    groups_max=4,
    stores_per_group_max=5,
    instances_max=16,
    log_update=8,
    generation_digits=5,
    generation_max=_FIVE_DIGITS,
    checkpoint_depth_max=1008,
    directory="C:\\Program Files\\Exchsrvr",
)

# ASSUMED(log-format-updates): which update of log format 7.3704 each version writes is concluded
# from the dates in daedef.hxx: 4 in Exchange 2000, 5 where patching ended, 7 and 8 in 2003, 10 in
# 2007.
EXCHANGE_2003_RTM: Final = evolve(
    EXCHANGE_2003_SP1,
    name="exchange-2003-rtm",
    title="Exchange Server 2003, Enterprise Edition",
    page_ecc=False,
    database_revision=0x9,
    log_update=7,
)

# ASSUMED(failure-cancels-2000): "Windows 2000: any failure cancels the backup" and -1811 for a
# missing file are the words of the engine's documentation; Exchange 2000, which brings an engine of
# its own, is taken to do the same in all of its service packs.
EXCHANGE_2000_SP2: Final = evolve(
    EXCHANGE_2003_RTM,
    name="exchange-2000-sp2",
    title="Exchange 2000 Server SP2, Enterprise Edition",
    log_update=5,
    checkpoint_depth_max=256,
    any_failure_cancels=True,
    recovery_group=False,  # came with Exchange 2003
)

EXCHANGE_2000_SP1: Final = evolve(
    EXCHANGE_2000_SP2,
    name="exchange-2000-sp1",
    title="Exchange 2000 Server SP1, Enterprise Edition",
    log_update=4,
    patch_files=True,
)

EXCHANGE_2000_RTM: Final = evolve(
    EXCHANGE_2000_SP1,
    name="exchange-2000-rtm",
    title="Exchange 2000 Server, Enterprise Edition",
)

# ASSUMED(instances-2007): the pages of 2007 repeat "16 instances, 4 storage groups" of 2003, which
# fifty groups do not fit in; twelve instances beside the groups are kept for restores, as before.
# ASSUMED(environment-server): the name of the server in restore environments, which "later builds"
# have, came with 2007.
EXCHANGE_2007: Final = evolve(
    EXCHANGE_2003_SP1,
    name="exchange-2007",
    title="Exchange Server 2007, Enterprise Edition",
    page_size=8192,
    database_revision=0xC,
    log_size=1024 * 1024,
    log_size_min=64 * 1024,
    groups_max=50,
    instances_max=62,
    log_update=10,
    generation_digits=8,
    generation_max=_EIGHT_DIGITS,
    directory="C:\\Program Files\\Microsoft\\Exchange Server\\Mailbox",
    folder_per_group=True,
    streaming=False,
    copy_marks=True,
    environment_server=True,
    replicas=True,
)

EXCHANGE_2007_SP1: Final = evolve(
    EXCHANGE_2007,
    name="exchange-2007-sp1",
    title="Exchange Server 2007 SP1, Enterprise Edition",
    quirks=frozenset({Quirk.REMOTE_STREAMING_DISABLED}),
)

PROFILES: Final[Mapping[str, VersionProfile]] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            EXCHANGE_2000_RTM,
            EXCHANGE_2000_SP1,
            EXCHANGE_2000_SP2,
            EXCHANGE_2003_RTM,
            EXCHANGE_2003_SP1,
            EXCHANGE_2007,
            EXCHANGE_2007_SP1,
        )
    }
)
"""Every version, oldest first, by name."""
