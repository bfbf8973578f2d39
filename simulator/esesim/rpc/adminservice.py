"""The administration interface as a service: finds the computer, answers in pages, never faults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from eseback.errors import EseBackupError
from eseback.rpc.admin import (
    ADMIN_INTERFACE,
    ADMIN_OPERATIONS,
    ALL_GENERATIONS,
    OWN_RATE,
    failure_values,
    success_values,
)

from .control import E_INVALIDARG, Control
from .registry import Client, Handler, Service, plain

ROWS_MAX: Final = 1000
PAGE_CHARACTERS_MAX: Final = 1 << 19
"""Of one answer; it takes two bytes for each, and a single row may be longer."""
_MILLI: Final = 1000

Page = tuple[int, int, tuple[str, ...]]


def page(rows: Iterable[str | None], start: int, limit: int) -> Page:
    """What to ask for next, the number after the last row, and the rows of one answer.

    rows: all from number ``start`` on; None in place of one that is not wanted.
    """
    every = list(rows)
    taken: list[str] = []
    size = count = 0
    for row in every:
        if row is not None:
            if len(taken) >= min(limit, ROWS_MAX) or (taken and size > PAGE_CHARACTERS_MAX):
                break
            taken.append(row)
            size += len(row)
        count += 1
    return start + count, start + len(every), tuple(taken)


def _page_of(rows: Sequence[str], first: int, limit: int) -> Page:
    start = min(first, len(rows))
    return page(rows[start:], start, limit)


def _set_rate(control: Control, millisteps: int) -> None:
    control.set_rate(None if millisteps == OWN_RATE else millisteps / _MILLI)


def _crash(control: Control, seed: int) -> tuple[int, int]:
    report = control.crash(seed)
    return report.lost, report.torn


def _journal(control: Control, group: str, store: str, generation: int) -> Sequence[str]:
    return control.journal(group, store, None if generation == ALL_GENERATIONS else generation)


def _transcript(control: Control, client: int, first: int, limit: int) -> Page:
    start, lines = control.transcript(client, first)
    return page(lines, start, limit)


_WITHOUT_RESULT: Final[Mapping[str, Callable[..., None]]] = {
    "mount": Control.mount,
    "dismount": Control.dismount,
    "set_overwritable": Control.set_overwritable,
    "run_workload": Control.run_workload,
    "set_rate": _set_rate,
    "reset": Control.reset,
    "restore_snapshot": Control.restore_snapshot,
    "delete_snapshot": Control.delete_snapshot,
    "destroy_store": Control.destroy_store,
    "destroy_group": Control.destroy_group,
    "set_transcript": Control.set_transcript,
}
_WITH_NUMBER: Final[Mapping[str, Callable[..., int]]] = {
    "take_snapshot": Control.take_snapshot,
    "set_faults": Control.set_faults,
}
_LISTS: Final[Mapping[str, Callable[..., Sequence[str]]]] = {
    "get_state": Control.state,
    "get_faults": Control.faults,
    "get_events": Control.events,
    "get_ledger": Control.ledger,
    "get_journal": _journal,
}


def _carry_out(name: str, control: Control, arguments: Sequence[Any]) -> Sequence[Any]:
    """The outputs of an operation on one computer."""
    if name in _WITHOUT_RESULT:
        _WITHOUT_RESULT[name](control, *arguments)
        return ()
    if name in _WITH_NUMBER:
        return (_WITH_NUMBER[name](control, *arguments),)
    if name in _LISTS:
        *rest, first, limit = arguments
        return _page_of(_LISTS[name](control, *rest), first, limit)
    if name == "get_transcript":
        return _transcript(control, *arguments)
    assert name == "crash"
    return _crash(control, *arguments)


def _denial(name: str) -> Handler:
    """What a client that may not administer gets: an answer like any other."""
    text = "the user file has to say `admin = true` of the user"
    error = EseBackupError.from_name("ERROR_ACCESS_DENIED", name, text)
    values = failure_values(ADMIN_OPERATIONS[name], error)
    return plain(ADMIN_OPERATIONS[name], lambda *_: values)


class AdminService:
    """Serves the administration of several computers, the first of which need not be named.

    crashed: told that computers' clients have to go, but for the one that asked for the crash.
    """

    def __init__(self, controls: Sequence[Control], crashed: Callable[[Client], None]) -> None:
        self._controls = {control.name.casefold(): control for control in controls}
        self._first = controls[0]
        self._crashed = crashed

    def service(self) -> Service:
        """What to register."""
        handlers = {made.opnum: self._handler(name) for name, made in ADMIN_OPERATIONS.items()}
        denials = {made.opnum: _denial(name) for name, made in ADMIN_OPERATIONS.items()}
        return Service(ADMIN_INTERFACE, handlers, without_privilege=denials, is_admin=True)

    def _handler(self, name: str) -> Handler:
        made = ADMIN_OPERATIONS[name]

        def handle(client: Client, *arguments: Any) -> Sequence[Any]:
            try:
                if name == "get_computers":
                    return success_values(self._computers(*arguments))
                control = self._control(arguments[0])
                try:
                    return success_values(_carry_out(name, control, arguments[1:]))
                finally:
                    if name == "crash":
                        self._crashed(client)
            except EseBackupError as error:
                return failure_values(made, error)

        return plain(made, handle)

    def _computers(self, first: int, limit: int) -> Page:
        return _page_of([control.described() for control in self._controls.values()], first, limit)

    def _control(self, name: str | None) -> Control:
        if name is None:
            return self._first
        try:
            return self._controls[name.casefold()]
        except KeyError:
            known = ", ".join(control.name for control in self._controls.values())
            text = f"no computer {name!r} is served here; there are: {known}"
            raise EseBackupError(E_INVALIDARG, detail=text) from None
