"""A small reader of eseback.idl, and the same facts taken from the table that the codec uses.

Both give plain tuples, so that a test can compare them and show where they differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from eseback.rpc.ndr import CONTEXT_HANDLE, GUID, HRESULT, HYPER, LONG, ULONG, NdrType
from eseback.rpc.ndr_arrays import BYTES, NAME, WCHARS, WSTRING, Array, Unique, VaryingArray
from eseback.rpc.ndr_struct import Count, Struct


@frozen
class Declaration:
    """A field or parameter: sorted attributes, type, number of stars, name."""

    attributes: tuple[str, ...]
    type: str
    stars: int
    name: str


@frozen
class Function:
    """An operation in the IDL: result type, name, parameters."""

    result: str
    name: str
    parameters: tuple[Declaration, ...]


@frozen
class Idl:
    """What the text declares. Structures keep their order, functions theirs."""

    attributes: dict[str, str]
    structures: dict[str, tuple[Declaration, ...]]
    context_handles: tuple[str, ...]
    aliases: dict[str, str]
    functions: tuple[Function, ...]


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)


def _declaration(text: str) -> Declaration:
    """`[in, string] wchar_t *name`, also with `[8]` after the name."""
    match = re.fullmatch(r"\s*(?:\[(.*?)\])?\s*([\w\s]+?)\s*(\**)\s*(\w+)\s*(\[\d+\])?\s*", text)
    assert match is not None, text
    attributes, kind, stars, name, array = match.groups()
    parts = re.split(r",(?![^()]*\))", attributes or "")
    tidy = tuple(sorted(re.sub(r"\s", "", part) for part in parts if part.strip()))
    return Declaration(tidy, " ".join(kind.split()) + (array or ""), len(stars), name)


def read_idl(text: str) -> Idl:
    """Parse the text; anything that is not understood fails an assertion."""
    text = _without_comments(text)
    head = re.match(r"\s*\[(.*?)\]\s*interface\s+(\w+)\s*\{(.*)\}\s*$", text, flags=re.DOTALL)
    assert head is not None
    attributes = dict(re.findall(r"(\w+)\(([^)]*)\)", head[1])) | {"interface": head[2]}
    structures: dict[str, tuple[Declaration, ...]] = {}
    handles, aliases, functions = [], {}, []
    for statement in _statements(head[3]):
        if match := re.fullmatch(
            r"typedef struct _(\w+)\s*\{(.*)\}\s*(\w+)", statement, flags=re.DOTALL
        ):
            assert match[1] == match[3]
            fields = match[2].strip().rstrip(";").split(";")
            structures[match[1]] = tuple(_declaration(field) for field in fields)
        elif match := re.fullmatch(r"typedef \[context_handle\] void \*(\w+)", statement):
            handles.append(match[1])
        elif match := re.fullmatch(r"typedef ([\w ]+?) (\w+)", statement):
            aliases[match[2]] = match[1]
        else:
            match = re.fullmatch(r"(\w+)\s+(\w+)\((.*)\)", statement, flags=re.DOTALL)
            assert match is not None, statement
            parameters = re.split(r",(?![^\[]*\])", match[3])
            functions.append(
                Function(match[1], match[2], tuple(_declaration(p) for p in parameters))
            )
    return Idl(attributes, structures, tuple(handles), aliases, tuple(functions))


def _statements(body: str) -> Iterator[str]:
    depth, start = 0, 0
    for position, character in enumerate(body):
        depth += (character == "{") - (character == "}")
        if character == ";" and not depth:
            yield body[start:position].strip()
            start = position + 1
    assert not body[start:].strip()


_SIMPLE = {
    id(LONG): "long",
    id(ULONG): "unsigned long",
    id(HYPER): "hyper",
    id(HRESULT): "EB_HRESULT",
    id(GUID): "EB_GUID",
}


def _element(kind: NdrType) -> str:
    if kind is WCHARS:
        return "wchar_t"
    if kind is BYTES:
        return "byte"
    assert isinstance(kind, Array)
    assert isinstance(kind.element, Struct)
    return kind.element.name


def structure_fields(structure: Struct) -> tuple[Declaration, ...]:
    """The fields of a structure as C declares them."""
    counts = {kind.of: name for name, kind in structure.fields if isinstance(kind, Count)}
    found = []
    for name, kind in structure.fields:
        if isinstance(kind, Count):
            found.append(Declaration((), "unsigned long", 0, name))
        elif not isinstance(kind, Unique):
            found.append(Declaration((), _SIMPLE[id(kind)], 0, name))
        elif kind.target in (NAME, WSTRING):
            found.append(Declaration(("string", "unique"), "wchar_t", 1, name))
        else:
            attributes = (f"size_is({counts[name]})", "unique")
            found.append(Declaration(attributes, _element(kind.target), 1, name))
    return tuple(found)


def parameters(
    request: tuple[tuple[str, NdrType], ...], response: tuple[tuple[str, NdrType], ...]
) -> tuple[Declaration, ...]:
    """The parameters of an operation as C declares them, without binding and return value."""
    both = {name for name, kind in request if kind is CONTEXT_HANDLE} & {
        name for name, _ in response
    }
    ins = [_parameter(name, kind, request, "in", name in both) for name, kind in request]
    outs = [
        _parameter(name, kind, response, "out", False)
        for name, kind in response[:-1]
        if name not in both
    ]
    return tuple(ins + outs)


def _parameter(
    name: str,
    kind: NdrType,
    fields: tuple[tuple[str, NdrType], ...],
    direction: str,
    both: bool,
) -> Declaration:
    counts = {k.of: n for n, k in fields if isinstance(k, Count)}
    out = direction == "out"

    def declare(kind_name: str, stars: int, *attributes: str) -> Declaration:
        directions = ("in", "out") if both else (direction,)
        return Declaration(tuple(sorted((*directions, *attributes))), kind_name, stars, name)

    if kind is CONTEXT_HANDLE:
        return declare("EB_" + name.upper(), int(out or both))
    if isinstance(kind, Count):
        return declare("unsigned long", int(out))
    if kind is GUID:
        return declare("EB_GUID", 1)
    if id(kind) in _SIMPLE:
        return declare(_SIMPLE[id(kind)], int(out))
    if isinstance(kind, VaryingArray):
        return declare("byte", 1, "size_is(size)", f"length_is(*{counts[name]})")
    if kind in (NAME, WSTRING):
        return declare("wchar_t", 1, "string")
    if kind in (WCHARS, BYTES):
        return declare(_element(kind), 1, f"size_is({counts[name]})")
    assert isinstance(kind, Unique)
    if isinstance(kind.target, Struct):
        return declare(kind.target.name, 2)
    if kind.target in (NAME, WSTRING):
        return declare("wchar_t", 2, "string") if out else declare("wchar_t", 1, "string", "unique")
    return declare(_element(kind.target), 2, f"size_is(,*{counts[name]})")
