"""Who may use a server: a user file in TOML.

    [[user]]
    domain = "EXAMPLE"        # left out: whatever domain a client names
    name = "backup"
    password = "..."
    backup = true             # the backup and restore privilege; without it every call is denied
    admin = true              # may use the administration interface, where there is one

Passwords do not stay in memory, only what NTLM makes of them, and are in no message.
"""

from __future__ import annotations

import logging
import os
import stat
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from attrs import field

from eseback.data import frozen
from eseback.rpc.ciphers import nt_hash

log: Final = logging.getLogger("esesim.rpc")
_TYPES: Final[Mapping[str, type]] = {
    "domain": str,
    "name": str,
    "password": str,
    "backup": bool,
    "admin": bool,
}
_REQUIRED: Final = ("name", "password")
_OTHERS: Final = stat.S_IRGRP | stat.S_IROTH


class UsersFileError(ValueError):
    """A user file that is no good; the text says where and how, and never holds a password."""


@frozen
class User:
    """Somebody who may come in. domain: empty for any. nt_hash: MD4 of the password."""

    domain: str
    name: str
    nt_hash: bytes = field(repr=False)
    may_back_up: bool = False
    may_administer: bool = False

    @classmethod
    def make(
        cls,
        domain: str,
        name: str,
        password: str,
        may_back_up: bool = False,
        may_administer: bool = False,
    ) -> Self:
        """From a password. Raises MissingLibraryError."""
        return cls(domain, name, nt_hash(password), may_back_up, may_administer)

    def __str__(self) -> str:
        return f"{self.domain}\\{self.name}" if self.domain else self.name


class Users:
    """All users of a server. Raises UsersFileError where two are the same."""

    def __init__(self, users: Iterable[User]) -> None:
        self._users: dict[tuple[str, str], User] = {}
        for user in users:
            key = user.domain.casefold(), user.name.casefold()
            if key in self._users:
                raise UsersFileError(f"user {user} is there twice")
            self._users[key] = user

    def __len__(self) -> int:
        return len(self._users)

    # ASSUMED(domain-of-a-user): a user of the user file without a domain is let in under any
    # domain, as a local account is on a Windows server that belongs to none.
    def find(self, domain: str, name: str) -> User | None:
        """The user whom a client names, upper or lower case; `name@domain` without a domain too.

        A user without a domain is found in any, as a local account is on a server of no domain.
        """
        if not domain and "@" in name:
            short, _, suffix = name.rpartition("@")
            found = self._users.get((suffix.casefold(), short.casefold()))
            if found is not None:
                return found
        name = name.casefold()
        return self._users.get((domain.casefold(), name)) or self._users.get(("", name))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a user file; warns in the log if others can read it too.

        Raises UsersFileError, OSError, MissingLibraryError.
        """
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & _OTHERS:
                log.warning("%s: others can read the passwords: chmod 600 it", path)
            try:
                data = tomllib.load(file)
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                # The decoder's text may quote the file; only where it failed is told.
                where = str(error).rpartition("(")[2].rstrip(")")
                raise UsersFileError(f"{path}: not TOML ({where})") from None
        try:
            return cls(_users(data))
        except UsersFileError as error:
            raise UsersFileError(f"{path}: {error}") from None


def _users(data: Mapping[str, Any]) -> list[User]:
    rows = data.get("user")
    if set(data) - {"user"} or not isinstance(rows, list) or not rows:
        raise UsersFileError("write a table [[user]] for each user, and nothing else")
    return [_user(row, number) for number, row in enumerate(rows, 1)]


def _user(row: Any, number: int) -> User:
    if not isinstance(row, dict):
        raise UsersFileError("write a table [[user]] for each user")
    for key, value in row.items():
        if key not in _TYPES:
            raise UsersFileError(f"user {number}: unknown key {key!r}: {', '.join(_TYPES)} are")
        if type(value) is not _TYPES[key]:
            what = "true or false" if _TYPES[key] is bool else "a text"
            raise UsersFileError(f"user {number}: {key} has to be {what}")
    for key in _REQUIRED:
        if not row.get(key):
            raise UsersFileError(f"user {number}: {key} is missing")
    name: str = row["name"]
    if "\\" in name:
        raise UsersFileError(f"user {number}: write the domain of {name!r} as domain = ...")
    return User.make(
        row.get("domain", ""),
        name,
        row["password"],
        row.get("backup", False),
        row.get("admin", False),
    )
