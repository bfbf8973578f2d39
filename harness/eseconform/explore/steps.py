"""Steps: what clients, administrators and the server do, as data that can be kept and run again.

A step says what is done and by whom, never with which handle or file name: those follow from what
the client has been given so far. So every list of steps can be run, which is what makes lists of
steps easy to draw, to shrink and to enumerate.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final

from attrs import asdict, field, frozen

from eseback.calls import CALL_BY_METHOD
from eseconform.errors import UsageError
from eseconform.transports import Transport


class Act(Enum):
    """What is done. The first part are calls of a client, the rest is what others do."""

    PREPARE = "prepare"  # a new context, for a client whose last one has ended
    SETUP_FULL = "setup_full"
    SETUP_ALL_LOGS = "setup_full_with_all_logs"
    SETUP_LOGS = "setup_logs_only"
    SETUP_NO_INSTANCE = "setup_no_instance"  # of an instance that no server has
    SETUP_NO_KIND = "setup_no_kind"  # of a backup type that there is none
    OPEN_EDB = "open_edb"
    OPEN_STM = "open_stm"
    OPEN_LOG = "open_log"  # of those listed the first not read yet, else some log
    OPEN_UNKNOWN = "open_unknown"
    OPEN_EMPTY = "open_empty"  # an empty file name
    READ = "read"  # a few pages
    READ_SOME = "read_some"  # a quarter of a MiB: a large file takes several
    READ_REST = "read_rest"  # all there is
    READ_NOTHING = "read_nothing"  # into an empty buffer
    READ_STRANGE = "read_strange_handle"
    READ_OTHERS = "read_others_handle"  # with the handle of the next client
    CLOSE = "close"
    CLOSE_STRANGE = "close_strange_handle"
    CLOSE_OTHERS = "close_others_handle"
    LOG_LIST = "log_list"
    TRUNCATE_LIST = "truncate_list"
    TRUNCATE = "truncate"
    END_SUCCESS = "instance_end_success"
    END_ERROR = "instance_end_error"
    END_NO_FLAG = "instance_end_no_flag"  # with a flag that there is none
    END = "end"
    DEPENDENCIES = "dependencies"
    HANG_UP = "hang_up"  # the client's connection is lost
    STOP = "stop"  # the server asks the backup of a group to stop
    MOUNT = "mount"
    DISMOUNT = "dismount"

    # Members are single objects; hashing their names costs much on every step.
    __hash__ = object.__hash__

    @property
    def method(self) -> str | None:
        """The method of BackupApi that is called; None for what is no call of a client."""
        return _METHODS.get(self)


def _methods() -> dict[Act, str]:
    words = {
        "prepare": "backup_prepare",
        "setup": "backup_setup",
        "open": "backup_open_file",
        "read": "backup_read_file",
        "close": "backup_close_file",
        "log_list": "backup_get_log_and_patch_files",
        "truncate_list": "backup_get_truncate_log_files",
        "truncate": "backup_truncate_logs",
        "instance_end": "backup_instance_end",
        "end": "backup_end",
        "dependencies": "backup_get_dependency_info",
    }
    # The first word that fits: "truncate_list" stands before "truncate".
    found = (
        (act, next((m for w, m in words.items() if act.value.startswith(w)), "")) for act in Act
    )
    return {act: method for act, method in found if method}


_METHODS: Final = _methods()
SETUPS: Final = (Act.SETUP_FULL, Act.SETUP_ALL_LOGS, Act.SETUP_LOGS)
STORE_ACTS: Final = (Act.OPEN_EDB, Act.OPEN_STM, Act.MOUNT, Act.DISMOUNT)
GROUP_ACTS: Final = (*SETUPS, Act.STOP, Act.MOUNT, Act.DISMOUNT)
WHO_MAX: Final = 2
_SESSIONS: Final = (0, 0, 1)


def session_of(who: int) -> int:
    """The session of a client: the first two contexts share one, the third has its own."""
    return _SESSIONS[who]


@frozen
class Step:
    """One thing done: by client ``who``, or to ``group``; ``store`` where files or mounts are
    meant. All count from 0 and are taken modulo what the topology has.
    """

    act: Act
    who: int = 0
    group: int = 0
    store: int = 0

    def __str__(self) -> str:
        words = [self.act.value]
        if self.act.method is not None or self.act is Act.HANG_UP:
            words.insert(0, f"client {self.who}:")
        if self.act in GROUP_ACTS:
            words.append(f"group {self.group}")
        if self.act in STORE_ACTS:
            words.append(f"store {self.store}")
        return " ".join(words)

    def pack(self) -> str:
        """As one short text; see :func:`unpack_step`."""
        return f"{self.act.value} {self.who} {self.group} {self.store}"


def unpack_step(text: str) -> Step:
    """The inverse of :meth:`Step.pack`. Raises UsageError."""
    act, *numbers = text.split()
    try:
        who, group, store = map(int, numbers)
        if not 0 <= who <= WHO_MAX or group < 0 or store < 0:
            raise ValueError("a number is out of range")
        return Step(Act(act), who, group, store)
    except ValueError as error:
        raise UsageError(
            f"step {text!r}: {error}; it reads 'open_edb 0 0 1', for example"
        ) from None


def _transport(name: str) -> Transport:
    try:
        return Transport(name)
    except ValueError:
        raise UsageError(f"transport {name!r}: {', '.join(Transport)} are there") from None


@frozen
class Shape:
    """The server: 1 or 2 groups of 1 or 2 stores each, ``steps_per_call`` of their users.

    ``backed_up``: a full backup of every store was made before, and logs were deleted.
    ``transport``: how clients reach it.
    """

    groups: int = field(default=1)
    stores: int = field(default=1)
    steps_per_call: int = 0
    backed_up: bool = False
    transport: Transport = field(default=Transport.INPROC, converter=_transport)

    def __attrs_post_init__(self) -> None:
        if self.groups not in (1, 2) or self.stores not in (1, 2) or self.steps_per_call < 0:
            raise UsageError(f"{self}: groups and stores are 1 or 2, steps_per_call 0 or more")


@frozen
class Fault:
    """The ``nth`` call of a method in a session fails with the JET error ``jet``.

    ``after``: the server has carried the call out, and only its answer is lost; such calls are
    counted among those that succeed. ``jet`` None: the connection is lost instead, and with it the
    session's contexts.
    """

    session: int
    method: str
    nth: int = 1
    after: bool = False
    jet: int | None = None

    def __attrs_post_init__(self) -> None:
        if self.method not in CALL_BY_METHOD or self.nth < 1 or self.session not in _SESSIONS:
            raise UsageError(f"{self}: no such call, session or count")


@frozen
class Scenario:
    """A server, its faults, and what is done to it: all that a run depends on."""

    shape: Shape = Shape()
    faults: tuple[Fault, ...] = ()
    steps: tuple[Step, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain data: what a ``repro.toml`` holds."""
        faults = [
            {key: value for key, value in asdict(fault).items() if value is not None}
            for fault in self.faults
        ]
        steps = [step.pack() for step in self.steps]
        return {"shape": asdict(self.shape), "fault": faults, "steps": steps}

    def to_toml(self) -> str:
        """As the text of a ``repro.toml``."""
        plain = self.to_dict()
        lines = ["steps = [", *(f'    "{step}",' for step in plain["steps"]), "]"]
        for name, table in (
            ("[shape]", plain["shape"]),
            *(("[[fault]]", f) for f in plain["fault"]),
        ):
            lines += ["", name, *(f"{key} = {_toml(value)}" for key, value in table.items())]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Scenario:
        """The inverse of :meth:`to_dict`. Raises UsageError for anything else."""
        try:
            shape = Shape(**plain.get("shape", {}))
            faults = tuple(Fault(**fault) for fault in plain.get("fault", ()))
            return cls(shape, faults, tuple(map(unpack_step, plain["steps"])))
        except (TypeError, KeyError, AttributeError) as error:
            raise UsageError(f"this is no scenario: {error}") from None

    @classmethod
    def from_toml(cls, text: str) -> Scenario:
        """The inverse of :meth:`to_toml`. Raises UsageError for anything else."""
        try:
            return cls.from_dict(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"this is no scenario: {error}") from None

    def to_test(self, name: str = "test_repro") -> str:
        """A pytest file that plays the scenario and fails as long as model and server differ."""
        return (
            "from eseconform.explore import Scenario, play\n\n"
            f'REPRO = """\n{self.to_toml()}"""\n\n\n'
            f"def {name}() -> None:\n    play(Scenario.from_toml(REPRO))\n"
        )


def describe(steps: Iterable[Step]) -> str:
    """Steps as a numbered list."""
    return "\n".join(f"  {number:>3}. {step}" for number, step in enumerate(steps, 1))


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
