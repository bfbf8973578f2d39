"""What calls share: checks of arguments, and the engine's errors as those of the API."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TypeVar

from eseback.errors import EseBackupError, JetErr

from ..engine.errors import JetError
from ..engine.quirk import Quirk
from ..exchange import InformationStore
from ..windows_path import WindowsPathError, to_volume_path

E = TypeVar("E", bound=Enum)


def check_server(store: InformationStore, name: object, method: str) -> None:
    """The name of a server is the one that runs here. Raises -1003, hrCouldNotConnect."""
    if not is_text(name):
        raise EseBackupError.from_jet(
            JetErr.INVALID_PARAMETER, method, "the name of the server is missing"
        )
    assert isinstance(name, str)
    if not store.is_server(name):
        server = store.topology.server
        raise EseBackupError.from_name(
            "hrCouldNotConnect", method, f"{name!r} does not answer; here runs {server.name!r}"
        )


def check_remote(store: InformationStore, remote: bool, method: str) -> None:
    """Clients of other computers are let in. Raises ERROR_ACCESS_DENIED."""
    if remote and Quirk.REMOTE_STREAMING_DISABLED in store.quirks:
        # ASSUMED(remote-streaming-error): the pages say that remote backup is off, not with
        # which error it is refused, nor by which call.
        raise EseBackupError.from_name(
            "ERROR_ACCESS_DENIED", method, "remote streaming backup is not enabled on this server"
        )


def is_text(value: object) -> bool:
    """Whether a value is a text that a C string can hold, and not empty."""
    return isinstance(value, str) and bool(value) and "\0" not in value


def path_problem(value: object, what: str) -> str:
    """What is wrong with a full Windows path to something on a drive; empty if nothing."""
    if not isinstance(value, str) or not value:
        return f"{what} is missing"
    try:
        if "/" not in to_volume_path(value):
            return f"{what} {value!r} is a whole drive"
    except WindowsPathError as error:
        return f"{what}: {error}"
    return ""


def streams_problem(value: object, what: str) -> str:
    """What is wrong with the files of a database: one or two full paths; empty if nothing."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return f"{what} are no list of files"
    if not 1 <= len(value) <= 2:
        return f"{what}: {len(value)} files; a database has one or two"
    for path in value:
        if problem := path_problem(path, what):
            return problem
    return ""


def member(kind: type[E], value: object) -> E | None:
    """``value`` as a member of an enumeration, None if it is none."""
    try:
        return kind(value)
    except ValueError:
        return None


def translated(error: JetError, method: str) -> EseBackupError:
    """The engine's error as that of the API."""
    return EseBackupError.from_jet(error.err, method, error.detail)
