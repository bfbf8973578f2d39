"""Names that never change: GUIDs and instance numbers derived from names and the seed.

A restore names its databases by GUID, possibly to a server that was started again in the meantime.
Deriving them makes them stable without keeping them anywhere.
"""

from __future__ import annotations

import uuid
from typing import Final

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "esesim.exchange")
# ASSUMED(instance-numbers): hInstanceId is 64 bits wide and opaque; ours do not fit into 32 bits,
# so that a client that cuts them off is found.
_INSTANCE_BASE: Final = 1 << 32


def database_guid(seed: int, server: str, group: str, store: str) -> uuid.UUID:
    """The GUID of a store's database. Case does not count, as in the names themselves."""
    return _derived(seed, "database", server, group, store)


def service_guid(seed: int, server: str, annotation: str) -> uuid.UUID:
    """The GUID under which a service registered for backup."""
    return _derived(seed, "service", server, annotation)


def instance_id(position: int) -> int:
    """``hInstanceId`` of the storage group at ``position`` (from 0)."""
    return _INSTANCE_BASE + position + 1


def _derived(seed: int, *names: str) -> uuid.UUID:
    # NUL cannot occur in a name, so no two lists of names give the same text.
    return uuid.uuid5(_NAMESPACE, "\0".join((str(seed), *(name.casefold() for name in names))))
