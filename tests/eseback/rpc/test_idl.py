"""The published IDL and the table that the codec works from say the same."""

from __future__ import annotations

import importlib.resources
import subprocess
from pathlib import Path

import pytest

from eseback import CALLS
from eseback.rpc import BACKUP_SYNTAX, OPERATIONS
from eseback.rpc.backup_interface import idl_name
from eseback.rpc.backup_types import STRUCTURES
from tests.eseback.rpc.idl import Declaration, parameters, read_idl, structure_fields

TEXT = (importlib.resources.files("eseback") / "eseback.idl").read_text(encoding="ascii")
IDL = read_idl(TEXT)
BINDING = Declaration(("in",), "handle_t", 0, "binding")


def test_interface() -> None:
    assert IDL.attributes == {
        "interface": "eseback",
        "uuid": str(BACKUP_SYNTAX.uuid),
        "version": f"{BACKUP_SYNTAX.major}.{BACKUP_SYNTAX.minor}",
        "pointer_default": "unique",
    }
    assert IDL.context_handles == ("EB_BACKUP", "EB_RESTORE")
    assert IDL.aliases == {"EB_HRESULT": "long"}
    assert "import" not in TEXT.split("*/", 1)[1]


def test_structures() -> None:
    names = [name for name in IDL.structures if name != "EB_GUID"]
    assert names == [structure.name for structure in STRUCTURES]
    for structure in STRUCTURES:
        assert IDL.structures[structure.name] == structure_fields(structure), structure.name
    assert [(d.type, d.name) for d in IDL.structures["EB_GUID"]] == [
        ("unsigned long", "data1"),
        ("unsigned short", "data2"),
        ("unsigned short", "data3"),
        ("byte[8]", "data4"),
    ]


def test_operations_stand_in_the_order_of_their_numbers() -> None:
    ordered = sorted((call.opnum, call.method) for call in CALLS if call.opnum is not None)
    assert [number for number, _ in ordered] == list(range(len(ordered)))
    assert [function.name for function in IDL.functions] == [
        idl_name(method) for _, method in ordered if method is not None
    ]


@pytest.mark.parametrize("method", OPERATIONS)
def test_operation(method: str) -> None:
    operation = OPERATIONS[method]
    function = IDL.functions[operation.opnum]
    assert function.name == operation.name
    assert function.result == "EB_HRESULT"
    expected = parameters(operation.request.fields, operation.response.fields)
    has_context = any(d.type in IDL.context_handles and "in" in d.attributes for d in expected)
    assert function.parameters == (expected if has_context else (BINDING, *expected))


def test_every_operation_names_its_documented_function() -> None:
    for call in CALLS:
        if call.opnum is not None:
            assert f"/* Opnum {call.opnum}: {call.documented}" in TEXT


@pytest.mark.native
@pytest.mark.needs_tool("widl")
@pytest.mark.parametrize("side", ["-c", "-s", "-h"])
def test_widl_takes_it(side: str, tmp_path: Path) -> None:
    source = tmp_path / "eseback.idl"
    source.write_text(TEXT, encoding="ascii")
    subprocess.run(
        [
            "x86_64-w64-mingw32-widl",
            "--win64",
            "-Oif",
            side,
            "-o",
            str(tmp_path / "out"),
            str(source),
        ],
        check=True,
    )
    assert "EbSnapshotStart" in (tmp_path / "out").read_text(encoding="ascii")
