"""The operations of the administration interface, eseadmin.idl.

The interface is ours alone: a real server has nothing like it. Tests, and programs in any language,
use it to set a simulated server up, to disturb it, and to look at it from outside. It keeps to the
rules of `backup_interface`: what is refused is a return value with a text, never a fault. There are
no context handles; the computer is named by every operation.

What is read comes in pages. A row is one JSON object; ``first`` is the number of the first row that
is wanted, counted from 0, ``next`` what to ask for after these, and ``end`` the number after the
last row that there is now. A server gives fewer rows than asked for where they are long, but at
least one.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

from eseback.errors import EseBackupError
from eseback.rpc.backup_calls import failure_text
from eseback.rpc.backup_types import OPTIONAL_STRING
from eseback.rpc.interface import Operation, make_interface, operation
from eseback.rpc.ndr import HRESULT, HYPER, LONG, ULONG
from eseback.rpc.ndr_arrays import WSTRING, Array, Unique
from eseback.rpc.ndr_struct import Count, Field, Struct
from eseback.rpc.syntax import SyntaxId

__all__ = [
    "ADMIN_INTERFACE",
    "ADMIN_OPERATIONS",
    "ADMIN_STRUCTURES",
    "ADMIN_SYNTAX",
    "ALL_GENERATIONS",
    "OWN_RATE",
    "failure_values",
    "success_values",
    "take_outputs",
]

ADMIN_SYNTAX: Final = SyntaxId(uuid.UUID("86fde2cf-2db8-481a-b18d-74900c728a8f"), 1)

ALL_GENERATIONS: Final = -1
"""Generation of `EaGetJournal`: everything that was committed until now."""
OWN_RATE: Final = 0xFFFFFFFF
"""Rate of `EaSetRate`: users work as the topology says, so many steps at each call."""


def _take_row(text: str) -> tuple[Any, ...]:
    return (text,)


ROW: Final = Struct("EA_ROW", (("text", Unique(WSTRING, required=True)),), str, _take_row)
ADMIN_STRUCTURES: Final = (ROW,)

_OUTCOME: Final[tuple[Field, ...]] = (
    ("jetError", LONG),
    ("detail", Unique(WSTRING)),
    ("return", HRESULT),
)
_COMPUTER: Final[Field] = ("computer", OPTIONAL_STRING)
_GROUP: Final[tuple[Field, ...]] = (_COMPUTER, ("group", WSTRING))
_STORE: Final[tuple[Field, ...]] = (*_GROUP, ("store", WSTRING))
_FROM: Final[tuple[Field, ...]] = (("first", ULONG), ("limit", ULONG))
_ROWS: Final[tuple[Field, ...]] = (
    ("next", ULONG),
    ("end", ULONG),
    ("count", Count("rows")),
    ("rows", Unique(Array(ROW), empty=())),
)

_Shape = tuple[str, tuple[Field, ...], tuple[Field, ...]]
# In the order of their numbers.
_SHAPES: Final[tuple[_Shape, ...]] = (
    ("get_computers", _FROM, _ROWS),
    ("get_state", (_COMPUTER, *_FROM), _ROWS),
    ("mount", _STORE, ()),
    ("dismount", _STORE, ()),
    ("set_overwritable", (*_STORE, ("value", ULONG)), ()),
    ("run_workload", (*_GROUP, ("steps", ULONG)), ()),
    ("set_rate", (_COMPUTER, ("millisteps", ULONG)), ()),
    ("crash", (_COMPUTER, ("seed", ULONG)), (("lost", ULONG), ("torn", ULONG))),
    ("reset", (_COMPUTER,), ()),
    ("take_snapshot", (_COMPUTER,), (("snapshot", ULONG),)),
    ("restore_snapshot", (_COMPUTER, ("snapshot", ULONG)), ()),
    ("delete_snapshot", (_COMPUTER, ("snapshot", ULONG)), ()),
    ("destroy_store", _STORE, ()),
    ("destroy_group", _GROUP, ()),
    ("set_faults", (_COMPUTER, ("plan", WSTRING)), (("rules", ULONG),)),
    ("get_faults", (_COMPUTER, *_FROM), _ROWS),
    ("get_events", (_COMPUTER, *_FROM), _ROWS),
    ("get_ledger", (_COMPUTER, *_FROM), _ROWS),
    ("get_journal", (*_STORE, ("generation", HYPER), *_FROM), _ROWS),
    ("set_transcript", (_COMPUTER, ("recording", ULONG)), ()),
    ("get_transcript", (_COMPUTER, ("client", ULONG), *_FROM), _ROWS),
)


def _idl_name(name: str) -> str:
    return "Ea" + "".join(part.capitalize() for part in name.split("_"))


ADMIN_OPERATIONS: Final[dict[str, Operation]] = {
    name: operation(number, _idl_name(name), request, (*response, *_OUTCOME))
    for number, (name, request, response) in enumerate(_SHAPES)
}
"""Every operation by its name in Python: `set_rate` is EaSetRate."""

ADMIN_INTERFACE: Final = make_interface("eseadmin", ADMIN_SYNTAX, ADMIN_OPERATIONS.values())


def success_values(outputs: Sequence[Any]) -> tuple[Any, ...]:
    """All values of an answer, from those that the operation gives."""
    return (*outputs, 0, None, 0)


def failure_values(made: Operation, error: EseBackupError) -> tuple[Any, ...]:
    """All values of an answer that refuses: numbers are 0, lists empty."""
    outputs = (
        () if isinstance(kind, Unique) else 0
        for _, kind in made.response.fields[: -len(_OUTCOME)]
        if not isinstance(kind, Count)
    )
    return (*outputs, error.jet or 0, failure_text(error), error.hresult)


def take_outputs(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """What an operation gives, from all values of an answer.

    Raises EseBackupError where that refuses.
    """
    jet, detail, hresult = values[-len(_OUTCOME) :]
    if hresult:
        raise EseBackupError(hresult, jet or None, name, detail or "")
    return tuple(values[: -len(_OUTCOME)])
