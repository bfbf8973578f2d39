"""What a version of Exchange is made of and what it allows, as data.

A topology names a profile; the engine and the exchange layer read their parameters and limits here
and nowhere else. Sources: ESE source daedef.hxx (format revisions, limits), the SDK's backup
overview (4 storage groups, 16 instances), Exchange 2003 product limits (5 stores a group).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import evolve, frozen


@frozen
class VersionProfile:
    """One version: formats of its files and limits of its server process.

    Sizes are in bytes. ``page_ecc`` tells the checksum of a page: ECC (2003 SP1) or plain XOR.
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
)

EXCHANGE_2003_RTM: Final = evolve(
    EXCHANGE_2003_SP1,
    name="exchange-2003-rtm",
    title="Exchange Server 2003, Enterprise Edition",
    page_ecc=False,
    database_revision=0x9,
)

PROFILES: Final[Mapping[str, VersionProfile]] = MappingProxyType(
    {profile.name: profile for profile in (EXCHANGE_2003_SP1, EXCHANGE_2003_RTM)}
)
