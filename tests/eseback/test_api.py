"""The protocol class against the table of calls, and the package against its own rules."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import eseback
from eseback import CALL_BY_METHOD, CALLS, BackupApi, CallInfo, CallKind

PACKAGE = Path(eseback.__file__).parent
ALLOWED_OUTSIDE = {
    "__future__", "attrs", "collections", "enum", "functools", "importlib", "operator", "re",
    "reprlib", "string", "struct", "typing", "uuid",
}  # fmt: skip


def _methods() -> list[str]:
    return [name for name in vars(BackupApi) if not name.startswith("_")]


def test_every_method_has_a_row_and_every_row_its_method() -> None:
    assert _methods() == [info.method for info in CALLS if info.method is not None]


def test_the_documented_calls_are_all_there() -> None:
    documented = {info.documented for info in CALLS}
    assert len(documented) == len(CALLS) == 32
    for name in ("HrESEBackupReadFile", "HrESERestoreComplete", "ESEBackupFree"):
        assert name in documented


def test_opnums_are_dense_and_memory_functions_have_none() -> None:
    assert [info.opnum for info in CALLS if info.method] == list(range(len(CALL_BY_METHOD)))
    for info in CALLS:
        assert (info.kind is CallKind.MEMORY) == (info.method is None) == (info.opnum is None)


@pytest.mark.parametrize("info", CALLS, ids=lambda info: info.documented)
def test_names_follow_the_documented_ones(info: CallInfo) -> None:
    if info.method is not None:
        native = info.documented.removeprefix("HrESE").removeprefix("BackupRestore")
        assert info.method.replace("_", "") == native.lower()
    assert info.link.startswith("https://learn.microsoft.com/")
    assert info.link.endswith((f"{info.page}(v=exchg.65)", f"{info.page}(v=exchg.80)"))


def test_what_is_freed_is_a_call() -> None:
    documented = {info.documented for info in CALLS if info.method}
    freed = [name for info in CALLS for name in info.frees]
    assert set(freed) <= documented
    assert len(set(freed)) == len(freed)


@pytest.mark.parametrize("name", _methods())
def test_every_method_is_documented_and_typed(name: str) -> None:
    method = getattr(BackupApi, name)
    assert inspect.getdoc(method)
    signature = inspect.signature(method)
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in list(signature.parameters.values())[1:]:
        assert parameter.annotation is not inspect.Parameter.empty


def test_an_implementation_is_recognised() -> None:
    class Half:
        def backup_end(self, context: int) -> None: ...

    whole = type("Whole", (), {name: lambda self: None for name in _methods()})
    assert isinstance(whole(), BackupApi)
    assert not isinstance(Half(), BackupApi)


def test_the_public_face_has_what_it_says() -> None:
    assert sorted(set(eseback.__all__)) == sorted(eseback.__all__)
    for name in eseback.__all__:
        assert hasattr(eseback, name)
    assert eseback.__version__ == "0.1.0"


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_the_contract_does_no_io(path: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported <= {*ALLOWED_OUTSIDE, "eseback"}


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
