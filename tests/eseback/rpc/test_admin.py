"""The administration interface: its IDL and the table say the same, and its messages travel."""

from __future__ import annotations

import importlib.resources
import subprocess
from pathlib import Path

import pytest

from eseback.errors import EseBackupError, JetErr
from eseback.rpc import BACKUP_SYNTAX, ENDPOINT_MAPPER, MANAGEMENT
from eseback.rpc.admin import (
    ADMIN_INTERFACE,
    ADMIN_OPERATIONS,
    ADMIN_STRUCTURES,
    ADMIN_SYNTAX,
    failure_values,
    success_values,
    take_outputs,
)
from tests.eseback.rpc.idl import Declaration, parameters, read_idl, structure_fields

TEXT = (importlib.resources.files("eseback") / "eseadmin.idl").read_text(encoding="ascii")
IDL = read_idl(TEXT)
BINDING = Declaration(("in",), "handle_t", 0, "binding")


def test_interface() -> None:
    assert IDL.attributes == {
        "interface": "eseadmin",
        "uuid": str(ADMIN_SYNTAX.uuid),
        "version": f"{ADMIN_SYNTAX.major}.{ADMIN_SYNTAX.minor}",
        "pointer_default": "unique",
    }
    others = (BACKUP_SYNTAX, ENDPOINT_MAPPER.syntax, MANAGEMENT.syntax)
    assert ADMIN_SYNTAX.uuid not in [syntax.uuid for syntax in others]
    assert IDL.context_handles == ()
    assert IDL.aliases == {"EA_HRESULT": "long"}
    assert "import" not in TEXT.split("*/", 1)[1]


def test_structures() -> None:
    assert list(IDL.structures) == [structure.name for structure in ADMIN_STRUCTURES]
    for structure in ADMIN_STRUCTURES:
        assert IDL.structures[structure.name] == structure_fields(structure)


def test_operations() -> None:
    assert len(IDL.functions) == len(ADMIN_OPERATIONS) == len(ADMIN_INTERFACE.operations)
    for number, (operation, function) in enumerate(
        zip(ADMIN_OPERATIONS.values(), IDL.functions, strict=True)
    ):
        assert f"/* Opnum {operation.opnum}: " in TEXT
        assert (operation.opnum, function.name) == (number, operation.name)
        assert function.result == "EA_HRESULT"
        expected = parameters(operation.request.fields, operation.response.fields)
        assert function.parameters == (BINDING, *expected)


@pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
@pytest.mark.parametrize("name", ADMIN_OPERATIONS)
def test_what_is_refused_travels(name: str, little: bool) -> None:
    operation = ADMIN_OPERATIONS[name]
    error = EseBackupError.from_jet(JetErr.BACKUP_IN_PROGRESS, name, "a backup runs")
    stub = operation.response.encode(failure_values(operation, error), little)
    values = operation.response.decode(stub, little)
    assert not any(values[:-3]), "other outputs are 0, NULL or empty"
    with pytest.raises(EseBackupError) as caught:
        take_outputs(name, values)
    assert (caught.value.jet, caught.value.detail) == (JetErr.BACKUP_IN_PROGRESS, "a backup runs")


def test_rows_travel() -> None:
    operation = ADMIN_OPERATIONS["get_events"]
    rows = ("{}", '{"text":"№ 1"}')
    stub = operation.response.encode(success_values((2, 7, rows)))
    assert take_outputs("get_events", operation.response.decode(stub)) == (2, 7, rows)


@pytest.mark.native
@pytest.mark.needs_tool("widl")
@pytest.mark.parametrize("side", ["-c", "-s", "-h"])
def test_widl_takes_it(side: str, tmp_path: Path) -> None:
    source, out = tmp_path / "eseadmin.idl", tmp_path / "out"
    source.write_text(TEXT, encoding="ascii")
    widl = ("x86_64-w64-mingw32-widl", "--win64", "-Oif", side, "-o", str(out), str(source))
    subprocess.run(widl, check=True)
    assert "EaGetTranscript" in out.read_text(encoding="ascii")
