"""Every call of the API to bytes and back, at both ends and in both byte orders."""

from __future__ import annotations

import contextlib
import struct
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eseback import (
    CALL_BY_METHOD,
    BackupNode,
    DatabaseBackupInfo,
    DependencyInfo,
    EseBackupError,
    InstanceBackupInfo,
    NodeType,
    RestoreFile,
)
from eseback.constants import BackupType, RecoverStatus
from eseback.rpc import NULL_HANDLE, OPERATIONS, BadStubData, NotRepresentable
from eseback.rpc.backup_calls import (
    AT_FILE_LEVEL,
    decode_arguments,
    decode_result,
    encode_arguments,
    encode_error,
    encode_result,
)
from eseback.rpc.backup_types import flatten_nodes, unflatten_nodes
from tests.eseback.rpc.strategies import CALLS, HANDLE, NODE

pytestmark = pytest.mark.uncovered

CONTEXT = bytes(range(1, 21))
READ = "backup_read_file"


def test_every_call_has_an_operation_and_a_strategy() -> None:
    assert set(OPERATIONS) == set(CALL_BY_METHOD) == {*CALLS, READ}
    for method, operation in OPERATIONS.items():
        assert operation.opnum == CALL_BY_METHOD[method].opnum


@pytest.mark.parametrize("method", CALLS)
def test_round_trip_of_arguments(method: str) -> None:
    @settings(max_examples=25)
    @given(CALLS[method][0], st.booleans())
    def check(arguments: tuple[Any, ...], little: bool) -> None:
        stub = encode_arguments(method, arguments, little)
        decoded = decode_arguments(method, stub, little)
        assert decoded == arguments
        assert [type(value) for value in decoded] == [type(value) for value in arguments]
        assert decode_arguments(method, bytes(stub) + b"surplus", little) == arguments

    check()


@pytest.mark.parametrize("method", CALLS)
def test_round_trip_of_results(method: str) -> None:
    @settings(max_examples=25)
    @given(CALLS[method][1], st.booleans())
    def check(result: Any, little: bool) -> None:
        assert decode_result(method, encode_result(method, result, little), little) == result

    check()


ERRORS = st.builds(
    EseBackupError,
    st.integers(1, 0xFFFFFFFF).filter(lambda code: code != AT_FILE_LEVEL),
    st.none() | st.integers(-5000, -1),
    st.none(),
    st.text(max_size=10),
)


@pytest.mark.parametrize("method", [*CALLS, READ])
def test_errors_travel_with_everything_they_have(method: str) -> None:
    arguments = (
        CALLS[method][0] if method in CALLS else st.tuples(HANDLE, st.integers(0), st.just(9))
    )

    @settings(max_examples=20)
    @given(ERRORS, arguments, st.booleans())
    def check(error: EseBackupError, values: tuple[Any, ...], little: bool) -> None:
        with pytest.raises(EseBackupError) as caught:
            decode_result(method, encode_error(method, error, values, little), little)
        assert caught.value.hresult == error.hresult
        assert caught.value.jet == error.jet
        assert caught.value.call == method
        assert caught.value.detail == error.detail.replace("\0", "\N{SYMBOL FOR NULL}")

    check()


def test_setup_golden() -> None:
    stub = encode_arguments("backup_setup", (CONTEXT, -2, BackupType.FULL))
    assert bytes(stub).hex(" ", 4) == (
        "01020304 05060708 090a0b0c 0d0e0f10 11121314 00000000 feffffff ffffffff 01000000"
    )
    error = EseBackupError.from_jet(-505, "backup_setup", "SG")
    assert bytes(encode_error("backup_setup", error, ())).hex(" ", 4) == (
        "07feffff 00000200 03000000 00000000 03000000 53004700 00000000 f90100c8"
    )
    assert bytes(encode_result("backup_setup", None)) == bytes(12)


def test_prepare_golden() -> None:
    identity = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    database = DatabaseBackupInfo("M", ("E",), identity, 3)
    instance = InstanceBackupInfo(7, "S", 1, (database,))
    stub = bytes(encode_result("backup_prepare", (CONTEXT, (instance,))))
    assert stub.hex(" ", 4) == (
        "01020304 05060708 090a0b0c 0d0e0f10 11121314 "  # context
        "01000000 00000200 01000000 "  # count, pointer, size of the array
        "07000000 00000000 04000200 01000000 "  # id, name, icon index
        "01000000 08000200 00000000 00000000 "  # databases, icons
        "02000000 00000000 02000000 53000000 "  # "S"
        "01000000 0c000200 04000000 10000200 "  # array of databases: name, stream block
        "33221100 55447766 8899aabb ccddeeff 03000000 10000000 "
        "02000000 00000000 02000000 4d000000 "  # "M"
        "04000000 45000000 00000000 "  # "E" and three NULs
        "00000000 00000000 00000000"  # JET error, detail, HRESULT
    )


def test_a_failed_call_keeps_or_empties_its_outputs() -> None:
    error = EseBackupError.from_name("hrInvalidHandle")
    failed = bytes(encode_error("backup_end", error, (CONTEXT,)))
    assert failed[:20] == CONTEXT  # the context lives on
    assert bytes(encode_error("backup_prepare", error, ("s", "a")))[:20] == NULL_HANDLE
    sized = bytes(encode_error(READ, error, (CONTEXT, 1, 0x1234)))
    assert struct.unpack_from("<IIII", sized) == (0, 0x1234, 0, 0)


def test_restore_at_file_level_is_no_failure() -> None:
    stub = bytes(encode_result("restore_open_file", RestoreFile(None)))
    assert stub == bytes(16) + struct.pack("<I", AT_FILE_LEVEL)
    assert decode_result("restore_open_file", stub) == RestoreFile(None)
    with pytest.raises(EseBackupError, match="hrRestoreAtFileLevel"):
        decode_result("backup_end", bytes(28) + struct.pack("<I", AT_FILE_LEVEL))


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("backup_setup", (CONTEXT, 1, 7)),
        ("backup_instance_end", (CONTEXT, 2)),
        ("restore_close", (CONTEXT, 2)),
        ("restore_add_database", (CONTEXT, "n", uuid.uuid4(), "no end")),
        ("restore_add_database_ns", (CONTEXT, "n", uuid.uuid4(), "a\0\0", "")),
    ],
)
def test_nonsense_that_is_well_formed_is_an_answer_and_no_fault(
    method: str, values: tuple[Any, ...]
) -> None:
    stub = OPERATIONS[method].request.encode(values)
    with pytest.raises(EseBackupError) as caught:
        decode_arguments(method, stub)
    assert (caught.value.jet, caught.value.call) == (-1003, method)


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("get_nodes", (5,)),
        ("get_nodes", ("a\0b",)),
        ("backup_setup", (b"short handle", 1, "x")),
        ("backup_open_file", (CONTEXT, "f", -1, 1)),
        ("backup_setup", (CONTEXT, 1 << 64, 1)),
        ("restore_add_database", (CONTEXT, "n", uuid.uuid4(), ["a\0b"])),
        ("restore_add_database", (CONTEXT, "n", uuid.uuid4(), [""])),
        ("restore_add_database", (CONTEXT, "n", "no uuid", ["a"])),
        ("restore_add_database", (CONTEXT, "n", uuid.uuid4(), 5)),
        ("restore_add_database", (CONTEXT, "n")),
        ("restore_write_file", (CONTEXT, 1, "text")),
    ],
)
def test_arguments_that_cannot_travel(method: str, values: tuple[Any, ...]) -> None:
    with pytest.raises(NotRepresentable):
        encode_arguments(method, values)


@pytest.mark.parametrize(
    ("method", "outputs"),
    [
        ("get_nodes", ((),)),
        ("get_nodes", (((0, 1, "a", b""), (0, 1, "b", b"")),)),
        ("get_nodes", (((0, 1, "a", b""), (2, 1, "b", b"")),)),
        ("get_nodes", (((1, 1, "a", b""),),)),
        ("get_nodes", (tuple((depth, 1, "n", b"") for depth in (0, 1, 2, 1, 3)),)),
        ("backup_get_log_and_patch_files", ("",)),
        ("backup_get_log_and_patch_files", ("no end",)),
        ("backup_get_dependency_info", (b"", "")),
        ("restore_get_environment", (None,)),
    ],
)
def test_success_that_makes_no_sense(method: str, outputs: tuple[Any, ...]) -> None:
    stub = OPERATIONS[method].response.encode((*outputs, 0, None, 0))
    with pytest.raises(BadStubData):
        decode_result(method, stub)


def test_a_database_whose_streams_do_not_end() -> None:
    database = DatabaseBackupInfo("M", ("EDB",), uuid.uuid4())
    stub = bytes(
        encode_result("backup_prepare", (CONTEXT, (InstanceBackupInfo(1, "S", 0, (database,)),)))
    )
    block = "EDB\0\0\0".encode("utf-16-le")
    assert stub.count(block) == 1
    with pytest.raises(BadStubData, match="without an end"):
        decode_result("backup_prepare", stub.replace(block, b"x\0" * 6))


def test_a_recovery_status_that_does_not_exist_is_shown_as_invalid() -> None:
    from tests.eseback.test_structures import environment

    stub = bytes(encode_result("restore_get_environment", environment(status_last_recover=3)))
    changed = stub.replace(struct.pack("<qII", 0, 3, 0), struct.pack("<qII", 0, 99, 0))
    assert changed != stub
    found = decode_result("restore_get_environment", changed)
    assert found.status_last_recover is RecoverStatus.INVALID


@given(NODE)
def test_a_tree_as_a_list(root: BackupNode) -> None:
    rows = flatten_nodes(root)
    assert rows[0][2] == root.name
    assert unflatten_nodes(rows) == root


def test_a_deep_tree_takes_no_recursion() -> None:
    rows = [(depth, 1, "n", b"") for depth in range(100_000)]
    node = unflatten_nodes(rows)
    for _ in range(99_999):
        (node,) = node.children
    assert node == BackupNode("n", NodeType.MACHINE)


def test_dependency_info_of_exchange() -> None:
    stub = encode_result("backup_get_dependency_info", DependencyInfo())
    assert decode_result("backup_get_dependency_info", stub) == DependencyInfo()


@pytest.mark.parametrize("method", OPERATIONS)
def test_random_stubs(method: str) -> None:
    @settings(max_examples=25)
    @given(st.binary(max_size=120), st.booleans())
    def check(stub: bytes, little: bool) -> None:
        for decode in (decode_arguments, decode_result):
            with contextlib.suppress(BadStubData, EseBackupError):
                decode(method, stub, little)

    check()


@pytest.mark.parametrize("method", CALLS)
def test_mutated_stubs(method: str) -> None:
    """One byte changed, or the end cut off: decoded or refused, never anything else."""

    @settings(max_examples=25)
    @given(CALLS[method][1], st.data())
    def check(result: Any, data: st.DataObject) -> None:
        stub = bytearray(encode_result(method, result))
        position = data.draw(st.integers(0, len(stub) - 1))
        stub[position] = data.draw(st.integers(0, 255))
        for mutant in (bytes(stub), bytes(stub[:position])):
            with contextlib.suppress(BadStubData, EseBackupError):
                decode_result(method, mutant)

    check()
