"""Servers that break a rule, for tests of the exploration: does it find them, and in how few calls?

Each is a layer around a correct server. They stand at module level so that a snapshot of a server
can hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from eseback.api import BackupApi
from eseback.errors import EseBackupError, JetErr
from eseback.structures import OpenedFile
from esesim.layer import ApiLayer
from esesim.server import SimulatedServer

R = TypeVar("R")


class Broken(ApiLayer):
    """A server with a mistake."""

    def __init__(self, api: BackupApi, server: SimulatedServer) -> None:
        super().__init__(api)
        self.server = server


class BreaksDown(Broken):
    """Every call ends with an error that is none of the API's."""

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        raise ZeroDivisionError(method)


class WrongError(Broken):
    """Truncation before the list is refused with the wrong error."""

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        try:
            return function(**arguments)
        except EseBackupError as error:
            if method == "backup_truncate_logs" and error.jet == JetErr.INVALID_BACKUP_SEQUENCE:
                raise EseBackupError.from_jet(JetErr.NO_BACKUP, method) from error
            raise


class DatabaseAfterList(Broken):
    """A database can be opened after the logs were listed."""

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        wanted = arguments.get("file_name")
        for group in self.server.groups:
            instance = group.instance
            if (
                method == "backup_open_file"
                and group.backup_owner is not None
                and instance is not None
                and instance.backup.state.value == "logs"
                and any(wanted == database.edb for database in instance.databases.values())
            ):
                return (OpenedFile(handle=500, size=4096),)  # type: ignore[return-value]
        return function(**arguments)


class HolesInLogs(Broken):
    """The first records of each log are zeros: nobody notices until it is restored."""

    def __init__(self, api: BackupApi, server: SimulatedServer) -> None:
        super().__init__(api, server)
        self._logs: set[int] = set()

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        result = function(**arguments)
        if method == "backup_open_file" and arguments["file_name"].endswith(".log"):
            (opened,) = cast("tuple[OpenedFile]", result)
            self._logs.add(opened.handle)
        if method == "backup_read_file" and arguments["handle"] in self._logs:
            data = memoryview(arguments["buffer"])[4096:8192]
            data[:] = bytes(len(data))
        return result


class ForgetsTheLock(Broken):
    """Stores can be dismounted while a backup runs."""

    def __init__(self, api: BackupApi, server: SimulatedServer) -> None:
        super().__init__(api, server)
        for group in server.groups:
            group.running._check_no_backup = _allow  # type: ignore[method-assign]


class KeepsTheGroup(Broken):
    """A client whose connection is lost goes on holding its group."""

    def __init__(self, api: BackupApi, server: SimulatedServer) -> None:
        super().__init__(api, server)
        server.connection_lost = _ignore  # type: ignore[method-assign]


def _allow() -> None:
    """Stands where a check was."""


def _ignore(context: int) -> None:
    """Stands where contexts were ended."""
