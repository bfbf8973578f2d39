"""Fault plans as text: TOML or JSON, checked, with errors that name rule and key.

    [[fault]]
    action = "hresult"          # or "bad_page", "bad_log", "drop"
    call = "HrESEBackupReadFile"
    file = "priv1.edb"
    nth = 3
    times = 0                   # 0: at every match from the nth on
    error = "hrCouldNotConnect"

In JSON the same: ``{"fault": [{"action": "drop", "call": "backup_open_file"}]}``.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from attrs import fields

from eseback.errors import ROW_BY_HRESULT, ROW_BY_NAME

from .faults import FaultAction, FaultPlan, FaultRule, When

_TEXTS: Final = frozenset({"call", "group", "file", "error"})
_NUMBERS: Final[Mapping[str, range]] = {
    "nth": range(1, 1 << 31),
    "times": range(1 << 31),
    "hresult": range(-(1 << 31), 1 << 32),
    "jet": range(-(1 << 31), 1 << 31),
    "page": range(1 << 31),
}
_CHOICES: Final[Mapping[str, type[FaultAction] | type[When]]] = {
    "action": FaultAction,
    "when": When,
}
_KNOWN: Final = _TEXTS.union(_CHOICES, _NUMBERS)


class FaultPlanError(ValueError):
    """A text is no fault plan; the message says where and why."""


def read_fault_plan(text: str) -> FaultPlan:
    """The plan that a text describes; an empty text is a plan without rules.

    Raises FaultPlanError.
    """
    if not text.strip():
        return FaultPlan(())
    document = _document(text)
    rows = document.pop("fault", None)
    if document or not isinstance(rows, list):
        raise FaultPlanError("write a table [[fault]] for each rule, and nothing else")
    return FaultPlan(_rule(row, number) for number, row in enumerate(rows, 1))


def plain_rule(rule: FaultRule) -> dict[str, Any]:
    """A rule as it would be written in a plan, without what is usual."""
    plain: dict[str, Any] = {"action": rule.action.value}
    for attribute in fields(FaultRule):
        value = getattr(rule, attribute.name)
        if attribute.name == "times" and value is None:
            plain["times"] = 0
        elif attribute.name != "action" and value != attribute.default:
            plain[attribute.name] = value.value if isinstance(value, When) else value
    row = ROW_BY_HRESULT.get(plain.get("hresult", -1))
    if row is not None and rule.jet is None:
        plain["error"] = row.name
        del plain["hresult"]
    return plain


def _document(text: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FaultPlanError(f"not valid JSON: {error}") from None
        assert isinstance(found, dict)  # it begins with a brace
        return found
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise FaultPlanError(f"not valid TOML: {error}") from None


def _rule(row: object, number: int) -> FaultRule:
    try:
        if not isinstance(row, dict):
            raise ValueError("is no table")
        return FaultRule(**_arguments(row))
    except ValueError as error:
        raise FaultPlanError(f"fault {number}: {error}") from None


def _arguments(row: dict[str, Any]) -> dict[str, Any]:
    """What FaultRule takes. Raises ValueError."""
    if "action" not in row:
        raise ValueError("action is missing")
    found: dict[str, Any] = {}
    for key, value in row.items():
        if key not in _KNOWN:
            raise ValueError(f"unknown key {key!r}; {', '.join(sorted(_KNOWN))} are known")
        if key in _NUMBERS and (type(value) is not int or value not in _NUMBERS[key]):
            low, high = _NUMBERS[key][0], _NUMBERS[key][-1]
            raise ValueError(f"{key} has to be a whole number from {low} to {high}")
        if key not in _NUMBERS and not isinstance(value, str):
            raise ValueError(f"{key} has to be a text")
        found[key] = _choice(key, value) if key in _CHOICES else value
    if "times" in found:
        found["times"] = found["times"] or None
    if "error" in found:
        error = found.pop("error")
        if error not in ROW_BY_NAME:
            raise ValueError(f"there is no error {error!r}")
        if "hresult" in found or "jet" in found:
            raise ValueError("error stands for hresult and jet: leave those out")
        found["hresult"] = ROW_BY_NAME[error].hresult
    return found


def _choice(key: str, value: str) -> FaultAction | When:
    kind = _CHOICES[key]
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise ValueError(f"{key} {value!r} is none of {known}") from None
