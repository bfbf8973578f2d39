"""The manifest of a backup set: what was saved, from where, and how far the job came.

``manifest.json`` is the only truth about a set. It is data (frozen attrs) with a JSON form that
has a schema number and a SHA-256 over itself, so that a manifest that was cut off, damaged or
edited by hand is never taken for a good one. Reading and writing files is in :mod:`esebcli.sets`.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from enum import Enum
from types import GenericAlias
from typing import Any, Final, get_args, get_origin

from attrs import evolve, field, frozen, validators
from cattrs import Converter, transform_error
from cattrs.errors import BaseValidationError
from cattrs.v import format_exception

from eseback.constants import BackupType
from esebcli.errors import SetError
from esebcli.names import is_safe_name

SCHEMA: Final = 1
"""Schema that this program writes; raised when an older program could misread the file."""
MANIFEST_NAME: Final = "manifest.json"
MANIFEST_BYTES_MAX: Final = 64 << 20


class Kind(Enum):
    """Kinds of backup; the names are those that administrators use.

    What the server is told is a backup type; copy and differential are a full and an incremental
    that do not ask for truncation (ESE source backup.cxx; SDK page ms878545). The SDK names a third
    type, "full with all logs", and does not say what it does: from the name it is inferred to be a
    full whose list of logs starts with the oldest on disk instead of the checkpoint's.
    """

    FULL = "full"
    COPY = "copy"
    INCREMENTAL = "incremental"
    DIFFERENTIAL = "differential"
    FULL_WITH_ALL_LOGS = "full-with-all-logs"

    @property
    def backup_type(self) -> BackupType:
        """What Setup is told."""
        if self is Kind.FULL_WITH_ALL_LOGS:
            return BackupType.FULL_WITH_ALL_LOGS
        return BackupType.FULL if self.has_databases else BackupType.LOGS_ONLY

    @property
    def has_databases(self) -> bool:
        """Whether the set holds database images, so that a chain can start with it."""
        return self in (Kind.FULL, Kind.COPY, Kind.FULL_WITH_ALL_LOGS)

    @property
    def truncates(self) -> bool:
        """Whether the job asks the server to delete logs."""
        # ASSUMED(full-with-all-logs-truncates): a full with all logs ends like any full, with a
        # truncation; no source says what a client does after this backup type.
        return self in (Kind.FULL, Kind.INCREMENTAL, Kind.FULL_WITH_ALL_LOGS)


class State(Enum):
    """Whether a group of a set holds everything that the job was to save."""

    INCOMPLETE = "incomplete"
    COMPLETE = "complete"


class Truncation(Enum):
    """What is known about the logs that the server was asked to delete."""

    NOT_ASKED = "not asked"
    UNKNOWN = "unknown"
    DONE = "done"


class FileKind(Enum):
    """What a saved file is."""

    DATABASE = "database"
    STREAMING = "streaming"
    LOG = "log"
    PATCH = "patch"


def _safe(_: object, attribute: Any, value: str) -> None:
    if not is_safe_name(value):
        raise ValueError(f"{attribute.name} {value!r} is not a plain file name")


@frozen
class SavedFile:
    """One file of a group. ``name`` is its file name in the folder of the group, ``size`` in bytes,
    ``sha256`` in lower case hexadecimal digits."""

    original_name: str
    kind: FileKind
    name: str = field(validator=_safe)
    size: int = field(validator=validators.ge(0))
    sha256: str = field(validator=validators.matches_re(r"[0-9a-f]{64}"))


@frozen
class SavedDatabase:
    """A database as the server described it.

    ``chosen`` is False for one that a partial backup left out. ``original_names`` are the paths of
    its files on the server.
    """

    display_name: str
    guid: uuid.UUID
    mounted: bool
    original_names: tuple[str, ...]
    chosen: bool = True

    @property
    def saved(self) -> bool:
        """Whether its files are in the set, once the set is complete."""
        return self.mounted and self.chosen


@frozen
class LogRange:
    """The log generations of a group, both ends included, and the stream they belong to.

    ``signature`` is the packed log signature (28 bytes) in hexadecimal digits.
    """

    base_name: str
    low: int = field(validator=validators.ge(1))
    high: int = field(validator=validators.ge(1))
    signature: str = field(validator=validators.matches_re(r"[0-9a-f]{56}"))

    def __attrs_post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"log range {self.low} to {self.high} is upside down")

    def __str__(self) -> str:
        return f"{self.base_name} logs {self.low} to {self.high} of stream {self.signature[:8]}"


@frozen
class SavedGroup:
    """A storage group's part of a set.

    Attributes:
        name: name of the group (instance) on the server.
        folder: folder of its files inside the set.
        state: complete only once every file is on disk and the whole has been checked.
        truncation: see :class:`Truncation`; DONE only if the server confirmed every last call.
        error: why the job failed, or None.
        warnings: what the user should know although the job did not fail.
        partial: only some databases of the group were asked for; ``databases`` says which.
        databases: all of the group, of which those that are ``saved`` have files here.
        logs, files: what was saved, in the order in which it was saved.
        deletable_logs: the logs that the server said it would delete, by their original names.
    """

    name: str
    folder: str = field(validator=_safe)
    state: State = State.INCOMPLETE
    truncation: Truncation = Truncation.NOT_ASKED
    error: str | None = None
    warnings: tuple[str, ...] = ()
    partial: bool = False
    databases: tuple[SavedDatabase, ...] = ()
    logs: LogRange | None = None
    files: tuple[SavedFile, ...] = ()
    deletable_logs: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        if self.state is State.COMPLETE and self.logs is None:
            raise ValueError(f"group {self.name!r} is complete but has no logs")
        if self.partial == all(database.chosen for database in self.databases):
            said = "is called partial" if self.partial else "is not called partial"
            raise ValueError(f"group {self.name!r} {said}, and its databases say otherwise")
        names = {file.name.casefold() for file in self.files}
        if len(names) != len(self.files):
            raise ValueError(f"group {self.name!r} has two files of the same name")

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


@frozen
class Manifest:
    """A backup set: one job over one or more storage groups of one service.

    ``previous`` is the ``set_id`` of the set that this one continues; times are ISO 8601 in UTC.
    """

    set_id: uuid.UUID
    kind: Kind
    server: str
    annotation: str
    program: str
    started: str
    groups: tuple[SavedGroup, ...]
    previous: uuid.UUID | None = None
    finished: str | None = None

    def __attrs_post_init__(self) -> None:
        for what, values in (
            ("name", {group.name for group in self.groups}),
            ("folder", {group.folder.casefold() for group in self.groups}),
        ):
            if len(values) != len(self.groups):
                raise ValueError(f"two groups have the same {what}")

    @property
    def state(self) -> State:
        """Complete if every group is."""
        complete = all(group.state is State.COMPLETE for group in self.groups)
        return State.COMPLETE if complete and self.groups else State.INCOMPLETE

    def group(self, name: str) -> SavedGroup | None:
        """The group of that name, or None."""
        return next((group for group in self.groups if group.name == name), None)

    def with_group(self, group: SavedGroup) -> Manifest:
        """The manifest with the group of the same name replaced."""
        groups = tuple(group if old.name == group.name else old for old in self.groups)
        return evolve(self, groups=groups)


def _make_converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(uuid.UUID, str)
    converter.register_structure_hook(uuid.UUID, lambda value, _: uuid.UUID(value))
    # Without these, a number would be taken for a text, a text for a number, and anything empty
    # for an empty list.
    for plain in (str, int, bool):
        converter.register_structure_hook(plain, _exactly)

    def from_list(value: Any, kind: Any) -> tuple[Any, ...]:
        as_list: Any = GenericAlias(list, get_args(kind)[:1])
        return tuple(converter.structure(_exactly(value, list), as_list))

    converter.register_structure_hook_func(_is_tuple, from_list)
    return converter


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _exactly(value: Any, wanted: type) -> Any:
    if type(value) is not wanted:
        raise ValueError(f"{value!r} is no {wanted.__name__}")
    return value


_CONVERTER: Final = _make_converter()


def to_plain(thing: object) -> Any:
    """attrs data of this module as dictionaries, lists, strings and numbers, for JSON."""
    return _CONVERTER.unstructure(thing)


def encode(manifest: Manifest) -> bytes:
    """The contents of ``manifest.json``."""
    body = {"schema": SCHEMA, **to_plain(manifest)}
    text = json.dumps({"sha256": _digest(body), **body}, indent=1)
    return text.encode("ascii") + b"\n"


def decode(data: bytes) -> Manifest:
    """Read the contents of ``manifest.json``.

    Raises:
        SetError: it is no manifest, was changed or damaged, or was written by a newer program.
    """
    document = _parse(data)
    schema = document.get("schema")
    if type(schema) is not int or schema < 1:
        raise SetError("it is not the manifest of a backup set (no schema number)")
    if schema > SCHEMA:
        raise SetError(
            f"its schema {schema} is newer than this program understands ({SCHEMA}); "
            "use the version of esebcli that wrote it, or a later one"
        )
    body = {key: value for key, value in document.items() if key != "sha256"}
    if document.get("sha256") != _digest(body):
        raise SetError("it was changed or damaged after it was written (its SHA-256 is wrong)")
    del body["schema"]
    try:
        return _CONVERTER.structure(body, Manifest)
    except BaseValidationError as error:
        problems = transform_error(error, format_exception=_describe)
        raise SetError("it is not valid: " + "; ".join(problems)) from error


def _describe(error: BaseException, kind: type | None) -> str:
    # attrs' validators put the attribute and the value behind the text.
    if isinstance(error, ValueError) and error.args:
        return str(error.args[0])
    return format_exception(error, kind)


def _parse(data: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SetError(f"it is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise SetError("it is not the manifest of a backup set (no JSON object)")
    return document


def _digest(body: Mapping[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
