"""Faults by plan: what shall go wrong, at which call, and whether it did.

A :class:`FaultPlan` is a list of rules. The :class:`FaultInjector` stands between a client and a
server and lets each rule fire at the calls that it matches. Every rule counts how often it matched
and fired: a run whose fault never fired has shown nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from fnmatch import fnmatchcase
from ntpath import basename
from typing import Any, Final, Protocol, TypeVar

from attrs import Attribute, field

from eseback.api import BackupApi
from eseback.calls import CALL_BY_METHOD
from eseback.data import define, frozen
from eseback.errors import ConnectionLost, EseBackupError

from .layer import ApiLayer, RestoreGroups

R = TypeVar("R")
_BY_DOCUMENTED_NAME: Final = {info.documented: name for name, info in CALL_BY_METHOD.items()}
_ENDS_CONTEXT: Final = frozenset({"backup_end", "restore_close"})
_CONCERNS_FILE: Final = frozenset(
    {
        "backup_open_file",
        "backup_read_file",
        "backup_close_file",
        "restore_open_file",
        "restore_write_file",
        "restore_close_file",
    }
)


class FaultAction(Enum):
    """What a rule does when it fires."""

    HRESULT = "hresult"  # the call fails with the rule's error; the server does not notice
    BAD_PAGE = "bad_page"  # a page of the file that the call concerns fails its checksum
    BAD_LOG = "bad_log"  # a record of the log that the call concerns fails its checksum
    DROP = "drop"  # the connection breaks, now and for good


class When(Enum):
    """Whether a rule fires before the call takes effect, or after it succeeded."""

    BEFORE = "before"
    AFTER = "after"


class FaultTarget(Protocol):
    """What faults need of a server."""

    def damage_page(self, file_name: str, page: int | None) -> None:
        """Make a page of a database (Windows path, mounted or restored) fail its checksum."""

    def damage_log(self, file_name: str) -> None:
        """Make a record of a log (Windows path) fail its checksum."""

    def connection_lost(self, context: int) -> None:
        """The client that holds this context is gone."""


def _method_of(name: str | None) -> str | None:
    """A call by its method or its documented name, as its method."""
    return _BY_DOCUMENTED_NAME.get(name, name) if name is not None else None


@frozen
class FaultRule:
    """One fault and when it happens.

    ``call`` (method or documented name), ``group`` (storage group; of a restore, the one that was
    backed up) and ``file`` (pattern such as ``priv1.edb`` or ``E00*.log``, against the last part of
    the path, in any case) say which calls match; None matches all. Of the matching calls the
    ``nth`` and the ``times - 1`` after it are hit (``times`` None: all after it); with ``when``
    AFTER only calls that succeeded count. ``hresult`` and ``jet`` are the error of HRESULT, either
    or both. ``page`` is the page number of BAD_PAGE; None lets the server choose one that the
    workload does not need.

    Raises ValueError for a rule that could never do what it says.
    """

    action: FaultAction
    call: str | None = field(default=None, converter=_method_of)
    group: str | None = None
    file: str | None = None
    nth: int = 1
    times: int | None = 1
    when: When = When.BEFORE
    hresult: int | None = None
    jet: int | None = None
    page: int | None = None

    @call.validator
    def _known_call(self, _: Attribute[str | None], call: str | None) -> None:
        if call is not None and call not in CALL_BY_METHOD:
            raise ValueError(f"{call!r} is no call of the API")

    def __attrs_post_init__(self) -> None:
        if self.nth < 1 or (self.times is not None and self.times < 1):
            raise ValueError("nth and times count from 1")
        has_error = self.hresult is not None or self.jet is not None
        if has_error != (self.action is FaultAction.HRESULT):
            raise ValueError("hresult or jet belongs to the action HRESULT, and only to it")
        damages = self.action in (FaultAction.BAD_PAGE, FaultAction.BAD_LOG)
        if damages and self.call not in _CONCERNS_FILE:
            raise ValueError(f"{self.action.value} needs a call that concerns a file, such as open")
        if self.file is not None and self.call is not None and self.call not in _CONCERNS_FILE:
            raise ValueError(f"no file is known at {self.call}")

    def matches(self, method: str, group: str | None, file_name: str | None) -> bool:
        """Whether a call is one of those that the rule is about."""
        return (
            self.call in (None, method)
            and (self.group is None or self.group == group)
            and (self.file is None or _same_file(self.file, file_name))
        )

    def hits(self, match: int) -> bool:
        """Whether the rule fires at its ``match``-th matching call."""
        return match >= self.nth and (self.times is None or match < self.nth + self.times)


def _same_file(pattern: str, file_name: str | None) -> bool:
    return file_name is not None and fnmatchcase(basename(file_name).casefold(), pattern.casefold())


@define
class FaultCount:
    """A rule and how often it matched a call and fired so far."""

    rule: FaultRule
    matched: int = 0
    fired: int = 0


class FaultPlan:
    """Rules in order, with their counts. May serve several injectors at once."""

    def __init__(self, rules: Iterable[FaultRule]) -> None:
        self.counts: tuple[FaultCount, ...] = tuple(FaultCount(rule) for rule in rules)
        self._lock = threading.Lock()

    @property
    def unfired(self) -> tuple[FaultRule, ...]:
        """The rules that never fired: what they were meant to show was not shown."""
        return tuple(count.rule for count in self.counts if not count.fired)

    def hit(
        self, when: When, method: str, group: str | None, file_name: str | None
    ) -> list[FaultCount]:
        """Count a call; returns the rules that are to fire at it, in order."""
        hit = []
        with self._lock:
            for count in self.counts:
                rule = count.rule
                if rule.when is when and rule.matches(method, group, file_name):
                    count.matched += 1
                    if rule.hits(count.matched):
                        hit.append(count)
        return hit

    def note_fired(self, count: FaultCount) -> None:
        """A rule did what it says."""
        with self._lock:
            count.fired += 1


class FaultInjector(ApiLayer):
    """A BackupApi that carries out a plan on the calls of one client."""

    def __init__(self, api: BackupApi, plan: FaultPlan, server: FaultTarget) -> None:
        super().__init__(api)
        self._plan = plan
        self._server = server
        self._contexts: dict[int, str | None] = {}  # to the group that each backs up
        self._restores = RestoreGroups()
        self._instances: dict[int, str] = {}
        self._files: dict[int, str] = {}
        self._dropped = False

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        """Make the call, with what the plan does to it before and after."""
        if self._dropped:
            raise ConnectionLost(call=method, detail="the connection was dropped before")
        group, file_name = self._concerns(method, arguments)
        for count in self._plan.hit(When.BEFORE, method, group, file_name):
            self._fire(count, method, file_name)
        result = function(**arguments)
        self._remember(method, arguments, result)
        for count in self._plan.hit(When.AFTER, method, group, file_name):
            self._fire(count, method, file_name)
        return result

    def _concerns(self, method: str, arguments: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Storage group and file of a call, as far as they can be known."""
        if method == "backup_setup":
            return self._instances.get(arguments["instance_id"]), None
        group = self._restores.of(method, arguments)
        if group is None and "context" in arguments:
            group = self._contexts.get(arguments["context"])
        if "handle" in arguments:
            return group, self._files.get(arguments["handle"])
        return group, arguments.get("file_name")

    def _remember(self, method: str, arguments: Mapping[str, Any], result: Any) -> None:
        self._restores.note(method, arguments, result)
        if method == "backup_prepare":
            context, instances = result
            self._contexts[context] = None
            self._instances.update((info.instance_id, info.instance_name) for info in instances)
        elif method in ("restore_open", "restore_reopen"):
            self._contexts[result] = None
        elif method in _ENDS_CONTEXT:
            self._contexts.pop(arguments["context"], None)
        elif method == "backup_setup":
            self._contexts[arguments["context"]] = self._instances.get(arguments["instance_id"])
        elif method == "backup_open_file":
            self._files.update((section.handle, arguments["file_name"]) for section in result)
        elif method == "restore_open_file" and result.handle is not None:
            self._files[result.handle] = arguments["file_name"]

    def _fire(self, count: FaultCount, method: str, file_name: str | None) -> None:
        rule = count.rule
        if rule.action is FaultAction.BAD_PAGE:
            self._server.damage_page(_known(file_name, rule), rule.page)
        elif rule.action is FaultAction.BAD_LOG:
            self._server.damage_log(_known(file_name, rule))
        elif rule.action is FaultAction.DROP:
            self._dropped = True
            for context in self._contexts:
                self._server.connection_lost(context)
        self._plan.note_fired(count)
        if rule.action is FaultAction.DROP:
            raise ConnectionLost(call=method, detail="injected fault: connection dropped")
        if rule.action is FaultAction.HRESULT:
            raise _injected(rule, method)


def _injected(rule: FaultRule, method: str) -> EseBackupError:
    if rule.hresult is not None:
        return EseBackupError(rule.hresult, rule.jet, method, "injected fault")
    assert rule.jet is not None  # a rule of this action has one of the two
    return EseBackupError.from_jet(rule.jet, method, "injected fault")


def _known(file_name: str | None, rule: FaultRule) -> str:
    if file_name is None:
        raise ValueError(f"{rule.action.value}: the call concerns no file that this client opened")
    return file_name
