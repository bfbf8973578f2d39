"""Known misbehaviour of real servers, as data: what happens, who reported it, which versions.

A topology switches quirks on by name (``server.quirks``); all are off otherwise. The engine carries
out those of :class:`esesim.engine.quirk.Quirk` that are its own, the session the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from eseback.data import frozen
from eseback.grade import Grade

from ..engine.quirk import Quirk
from .profiles import PROFILES
from .specs import ServerSpec

_2000: Final = ("exchange-2000-rtm", "exchange-2000-sp1", "exchange-2000-sp2")
_2003: Final = ("exchange-2003-rtm", "exchange-2003-sp1")
_2007: Final = ("exchange-2007", "exchange-2007-sp1")


@frozen
class QuirkInfo:
    """One quirk. ``profiles`` names the versions that have it, ``source`` who says so.

    ``grade`` is that of the misbehaviour as such; how it comes about inside is ours where the code
    says ASSUMED.
    """

    quirk: Quirk
    title: str
    source: str
    grade: Grade
    profiles: tuple[str, ...]

    @property
    def id(self) -> str:
        """The name in a topology."""
        return self.quirk.value


_ROWS: Final = (
    QuirkInfo(
        Quirk.INCREMENTAL_AFTER_COPY,
        "an incremental backup fails at its logs if a copy backup came after earlier incrementals",
        "KB 828092 (fixed in the September 2003 rollup of Exchange 2000)",
        Grade.OBSERVED,
        _2000,
    ),
    QuirkInfo(
        Quirk.PRE_EXTENSION,
        "a database that grows while it is read fails at its end with -4001",
        "KB 889528 (Exchange 2003 SP1 extends files ahead of their use)",
        Grade.OBSERVED,
        ("exchange-2003-sp1",),
    ),
    QuirkInfo(
        Quirk.LOG_FILE_NOT_COPIED,
        "logs are truncated only after all of them were read to the end: else -616 and event 520",
        "ESE source backup.cxx, ErrBKTruncateLog; from which version on is not public",
        Grade.SOURCE,
        (*_2003, *_2007),
    ),
    QuirkInfo(
        Quirk.TRANSIENT_READS,
        "the first pages of every database can be read at the third try only (event 493)",
        "ESE source backup.cxx, ErrBKReadPages, and jetmsg.mc, event 493",
        Grade.SOURCE,
        (*_2000, *_2003, *_2007),
    ),
    QuirkInfo(
        Quirk.REMOTE_STREAMING_DISABLED,
        "clients on other computers are refused until the registry allows remote streaming",
        'SDK pages aa580485 and aa579161 ("Enable Remote Streaming Backup")',
        Grade.DOCUMENTED,
        ("exchange-2007-sp1",),
    ),
    QuirkInfo(
        Quirk.DATA_CONNECTION_BLOCKED,
        "every ReadFile fails with 0xC7FF1004: the server cannot connect back to the client",
        "Microsoft field report on 0xC7FF1004 (R. Hall, 2010)",
        Grade.OBSERVED,
        (*_2003, *_2007),
    ),
    QuirkInfo(
        Quirk.SHORT_READS,
        "a read returns fewer bytes than asked for although the file goes on",
        "Exchange 4.0-5.5 SDK on the predecessor of ReadFile (function_7x2c); not denied since",
        Grade.INFERRED,
        (*_2000, *_2003, *_2007),
    ),
)

QUIRKS: Final[Mapping[str, QuirkInfo]] = MappingProxyType({row.id: row for row in _ROWS})
"""Every quirk, by its name in a topology."""


def quirks_of(server: ServerSpec) -> frozenset[Quirk]:
    """The quirks of a server: its version's own, and those that its topology switches on."""
    quirks = PROFILES[server.profile].quirks | {QUIRKS[name].quirk for name in server.quirks}
    return quirks - {Quirk.REMOTE_STREAMING_DISABLED} if server.remote_streaming else quirks
