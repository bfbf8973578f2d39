"""A topology from TOML: strict types, no unknown keys, and errors that say what to do.

cattrs turns the tables into the frozen classes of :mod:`.specs`; this module adds what a person who
edits such a file needs: keys as they stand in the file, sizes with units and near misses named.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, TypeVar

from attrs import fields
from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError, IterableValidationError
from cattrs.gen import make_dict_structure_fn, override

from .checks import completed
from .specs import (
    GroupSpec,
    ServerSpec,
    ServiceSpec,
    StoreSpec,
    Topology,
    TopologyError,
    WorkloadSpec,
)

T = TypeVar("T")
_UNITS: Final = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_SIZE: Final = re.compile(r"(\d+)\s*([A-Za-z]*)")
# Arrays of tables stand in the singular in the file: [[group]], [[group.store]], [[service]].
_KEYS: Final = {"groups": "group", "stores": "store", "services": "service"}
_CLASSES: Final = (WorkloadSpec, StoreSpec, GroupSpec, ServiceSpec, ServerSpec, Topology)
_TYPE_NAMES: Final = {
    str: "a text in quotes",
    int: "a whole number",
    bool: "true or false",
    list: "a list in brackets",
    dict: "a table",
}


class _WrongType(TypeError):
    """A value of the wrong type; the text says which is wanted and which was found."""


def parse_topology(text: str, origin: str = "topology") -> Topology:
    """The complete topology that ``text`` (TOML) describes; ``origin`` names it in errors.

    Raises TopologyError for anything wrong, naming the key.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TopologyError(f"{origin}: not valid TOML: {error}") from None
    common = document.pop("workload", {})
    try:
        _check_arrays(document)
        _spread_workload(document, common)
        return completed(_structured(document, Topology))
    except (ClassValidationError, IterableValidationError) as error:
        problems = list(_problems(error, ""))
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise TopologyError(f"{origin}: {problems[0]}{more}") from None
    except TopologyError as error:
        raise TopologyError(f"{origin}: {error}") from None


def parse_size(value: object) -> int:
    """A size in bytes from a number or from a text such as ``64 KiB``.

    Raises ValueError for anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(f'{value!r} is no size; write bytes (65536) or a unit ("64 KiB")')
    return int(match[1]) * _UNITS[match[2].upper()]


def _check_arrays(document: dict[str, Any]) -> None:
    """Tables that there may be several of stand in double brackets."""
    groups = document.get("group", [])
    stores = [
        (f"group[{n}].store", group["store"])
        for n, group in enumerate(groups if isinstance(groups, list) else [])
        if isinstance(group, dict) and "store" in group
    ]
    for key, value in [("group", groups), ("service", document.get("service", [])), *stores]:
        if not isinstance(value, list):
            name = "group.store" if key.endswith(".store") else key
            raise TopologyError(f"{key}: there may be several; write [[{name}]] for each")


def _spread_workload(document: dict[str, Any], common: object) -> None:
    """Put the keys of the top-level [workload] under each group that does not set them."""
    if not isinstance(common, dict):
        raise TopologyError("workload: must be a table; write [workload]")
    # Read for its own errors: they should name `workload`, even where no group takes a key from it.
    try:
        _structured(common, WorkloadSpec)
    except ClassValidationError as error:
        raise TopologyError(next(_problems(error, "workload"))) from None
    groups = document.get("group")
    for group in groups if isinstance(groups, list) else ():
        own = group.get("workload", {}) if isinstance(group, dict) else None
        if isinstance(own, dict):
            group["workload"] = {**common, **own}


def _structured(document: object, cls: type[T]) -> T:
    """An object of a class from its table. Raises ClassValidationError, IterableValidationError.

    Two converters that take the same: one that is made in half the time, and one that tells all
    that is wrong, where anything is.
    """
    try:
        return _converter(tells=False).structure(document, cls)
    except Exception:
        return _converter(tells=True).structure(document, cls)


@cache
def _converter(*, tells: bool) -> Converter:
    converter = Converter(forbid_extra_keys=True, detailed_validation=tells)
    for wanted in (str, int, bool):
        converter.register_structure_hook(wanted, _strictly(wanted))
    # A list of texts must be a list: a bare text would be taken letter by letter.
    converter.register_structure_hook_func(
        lambda wanted: wanted == tuple[str, ...],
        lambda value, _: tuple(_texts(value)),
    )
    for cls in _CLASSES:
        overrides: dict[str, Any] = {
            attribute.name: override(
                rename=_KEYS.get(attribute.name),
                struct_hook=(lambda value, _: parse_size(value))
                if attribute.metadata.get("size")
                else None,
            )
            for attribute in fields(cls)
        }
        structure = make_dict_structure_fn(
            cls, converter, _cattrs_forbid_extra_keys=True, **overrides
        )
        converter.register_structure_hook(cls, _from_table(structure))
    return converter


def _strictly(wanted: type[T]) -> Callable[[object, object], T]:
    def hook(value: object, _: object) -> T:
        # A bool is an int in Python, and is none in TOML.
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise _WrongType(_mismatch(wanted, value))
        return value

    return hook


def _texts(value: object) -> Iterator[str]:
    if not isinstance(value, list):
        raise _WrongType(_mismatch(list, value))
    for text in value:
        if not isinstance(text, str):
            raise _WrongType(_mismatch(str, text))
        yield text


def _from_table(structure: Callable[[Any, Any], T]) -> Callable[[object, Any], T]:
    def hook(value: object, cls: Any) -> T:
        if not isinstance(value, dict):
            raise _WrongType(_mismatch(dict, value))
        return structure(value, cls)

    return hook


def _mismatch(wanted: type, value: object) -> str:
    found = _TYPE_NAMES.get(type(value), "a value of another type")
    return f"must be {_TYPE_NAMES[wanted]}, not {found} ({value!r})"


def _problems(error: BaseException, path: str) -> Iterator[str]:
    """The single problems inside a tree of cattrs errors, each with its key."""
    if isinstance(error, ClassValidationError):
        noted, others = error.group_exceptions()
        for inner, note in noted:
            yield from _problems(inner, _joined(path, _KEYS.get(note.name, note.name)))
        for inner in others:
            yield from _problems(inner, path)
    elif isinstance(error, IterableValidationError):
        noted_items, others = error.group_exceptions()
        for inner, item in noted_items:
            yield from _problems(inner, f"{path}[{item.index}]")
        for inner in others:
            yield from _problems(inner, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [_KEYS.get(a.name, a.name) for a in fields(error.cl)]
        if error.cl is Topology:
            known.append("workload")
        for key in sorted(error.extra_fields):
            yield f"{_joined(path, key)}: unknown key; {_advice(key, known)}"
    elif isinstance(error, KeyError):
        yield f"{path}: is missing; every table of this kind needs it"
    else:
        yield f"{path or 'the file'}: {error}"


def _advice(key: str, known: list[str]) -> str:
    from difflib import get_close_matches  # only where somebody has made a mistake

    close = get_close_matches(key, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
