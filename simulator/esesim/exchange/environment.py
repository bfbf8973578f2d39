"""restore.env: what a restore knows, as a file in its folder.

Three parts, all text: a line that names the format and its version, a line with the CRC-32 of the
rest, and the environment as JSON, by the names of ``eseback.RestoreEnvironment``.
"""

from __future__ import annotations

import zlib
from typing import Any, Final, TypeVar
from uuid import UUID

from attrs import asdict, fields

from eseback.constants import RecoverStatus
from eseback.structures import RestoreDatabase, RestoreEnvironment

from ..volume import Volume

# ASSUMED(restore-env-format): the format of the real file is in no public source; this one is a
# text of the simulator's own, so a restore.env of a real server is refused as foreign.
ENVIRONMENT_NAME: Final = "restore.env"
VERSION: Final = 1
_FORMAT: Final = "esesim restore environment"
_CRC: Final = "crc32 "

T = TypeVar("T")


class EnvironmentFileError(ValueError):
    """A file is no environment that this version can read; the message says why."""


def save_environment(volume: Volume, folder: str, environment: RestoreEnvironment) -> None:
    """Write restore.env into a folder (volume path), whole or not at all, and durably."""
    path = f"{folder}/{ENVIRONMENT_NAME}"
    file = volume.create(f"{path}.new")
    file.write(0, pack_environment(environment))
    file.sync()
    file.close()
    volume.rename(f"{path}.new", path)
    volume.sync_directory(folder)


def load_environment(volume: Volume, folder: str) -> RestoreEnvironment:
    """The environment saved in a folder (volume path).

    Raises FileNotFoundError where there is none, EnvironmentFileError for what is none.
    """
    path = f"{folder}/{ENVIRONMENT_NAME}"
    file = volume.open(path)
    try:
        return unpack_environment(file.read(0, file.size))
    except EnvironmentFileError as error:
        raise EnvironmentFileError(f"{path}: {error}") from None
    finally:
        file.close()


def pack_environment(environment: RestoreEnvironment) -> bytes:
    """The bytes of restore.env."""
    import json  # here and below, for the few servers that see a restore

    plain = asdict(environment, value_serializer=_plain)
    body = json.dumps(plain, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
    return f"{_FORMAT} {VERSION}\n{_CRC}{zlib.crc32(body):08x}\n".encode() + body


def unpack_environment(data: bytes) -> RestoreEnvironment:
    """The inverse of :func:`pack_environment`. Raises EnvironmentFileError."""
    import json

    first, _, rest = data.partition(b"\n")
    name, _, version = first.decode("ascii", "replace").rpartition(" ")
    if name != _FORMAT:
        raise EnvironmentFileError("is no restore environment of esesim; restore the set anew")
    if version != str(VERSION):
        raise EnvironmentFileError(
            f"is of version {version}, this esesim reads version {VERSION}; "
            "go on with the version that wrote it"
        )
    checksum, _, body = rest.partition(b"\n")
    if checksum != f"{_CRC}{zlib.crc32(body):08x}".encode():
        raise EnvironmentFileError("is damaged: its checksum is wrong; restore the set anew")
    try:
        return _environment(json.loads(body.decode("utf-8", "surrogatepass")))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise EnvironmentFileError(f"is damaged ({error}); restore the set anew") from None


def _plain(_owner: object, _attribute: object, value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def _environment(plain: dict[str, Any]) -> RestoreEnvironment:
    known = {attribute.name for attribute in fields(RestoreEnvironment)}
    if plain.keys() != known:
        raise ValueError(f"keys {', '.join(sorted(known ^ plain.keys()))}")
    databases = tuple(
        RestoreDatabase(
            display_name=_of(str, database["display_name"]),
            guid=UUID(database["guid"]),
            source_streams=_texts(database["source_streams"]),
            destination_streams=_texts(database["destination_streams"]),
        )
        for database in plain["databases"]
    )
    status = RecoverStatus(plain["status_last_recover"])
    found = RestoreEnvironment(**{**plain, "databases": databases, "status_last_recover": status})
    for attribute in fields(RestoreEnvironment):
        value = getattr(found, attribute.name)
        if not isinstance(value, str | int | tuple | None):
            raise TypeError(f"{attribute.name} is {value!r}")
    for problem in found.problems():
        raise ValueError(problem)
    return found


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(_of(str, value) for value in _of(list, values))


def _of(kind: type[T], value: Any) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
