"""Structures and constants: documented numbers, the working layout's counts, invariants."""

from __future__ import annotations

import uuid
from typing import Any

import attrs
import pytest

import eseback
from eseback import (
    ANNOTATIONS,
    BackupNode,
    BackupType,
    DatabaseBackupInfo,
    DatabaseFlags,
    InstanceEnd,
    NodeType,
    RecoverStatus,
    RegisterFlags,
    RestoreClose,
    RestoreComplete,
    RestoreDatabase,
    RestoreEnvironment,
    RestoreFile,
)

GUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
EDB, STM = "C:\\m\\priv1.edb", "C:\\m\\priv1.stm"


def test_numbers_of_the_sdk() -> None:
    assert [kind.value for kind in BackupType] == [1, 2, 3]
    assert (InstanceEnd.ERROR, InstanceEnd.SUCCESS) == (0, 1)
    assert (RestoreClose.NORMAL, RestoreClose.ABORT) == (0, 1)
    assert (RestoreComplete.ATTACH_DBS, RestoreComplete.NOWAIT) == (1, 0x10000)
    assert RestoreComplete.KEEP_LOG_FILES.value == 0x20000
    assert [flag.value for flag in RegisterFlags] == [1, 2, 4, 0x10, 0x20]
    assert [kind.value for kind in NodeType] == [1, 0x10, 0x100]
    assert (DatabaseFlags.UNMOUNTED, DatabaseFlags.MOUNTED) == (0, 0x10)
    assert [status.value for status in RecoverStatus] == [0, 1, 2, 3]
    assert eseback.RECOVER_STATUS_MAX == 4


def test_annotations_are_exact() -> None:
    assert ANNOTATIONS == (
        "Microsoft Information Store",
        "Microsoft Site Replication Service",
        "Microsoft Key Management Service",
    )


def test_stream_block_and_count_with_stm() -> None:
    database = DatabaseBackupInfo("Mailbox Store", (EDB, STM), GUID)
    assert database.stream_block == f"{EDB}\0{STM}\0\0"
    assert database.stream_characters == len(EDB) + len(STM) + 3


def test_stream_block_and_count_without_stm() -> None:
    database = DatabaseBackupInfo("Mailbox Store", (EDB,), GUID)
    assert database.stream_block == f"{EDB}\0\0\0"
    assert database.stream_characters == len(EDB) + 3


def test_stream_count_is_in_utf16_units() -> None:
    database = DatabaseBackupInfo("Store", ("C:\\\N{GRINNING FACE}.edb",), GUID)
    assert database.stream_characters == 3 + 2 + 4 + 3


def test_mounted() -> None:
    mounted = DatabaseBackupInfo("a", (EDB,), GUID)
    assert mounted.mounted
    assert not attrs.evolve(mounted, flags=DatabaseFlags.UNMOUNTED).mounted


def test_restore_at_file_level_is_an_answer() -> None:
    assert RestoreFile(None).at_file_level
    assert not RestoreFile(0).at_file_level


@pytest.mark.parametrize("name", [n for n in eseback.__all__ if n.endswith(("Info", "Node"))])
def test_structures_cannot_be_changed(name: str) -> None:
    cls = getattr(eseback, name)
    assert attrs.has(cls)
    assert cls.__setattr__ is not object.__setattr__


def test_frozen_in_fact() -> None:
    node = BackupNode("SERVER", NodeType.MACHINE)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        node.name = "OTHER"  # type: ignore[misc]


def environment(**changes: Any) -> RestoreEnvironment:
    """An environment with restored logs that breaks no rule, with changes."""
    good = RestoreEnvironment(
        "C:\\temp\\sg1",
        "First Storage Group",
        (RestoreDatabase("Mailbox Store", GUID, (EDB, STM), (EDB, STM)),),
        gen_low=5,
        gen_high=9,
        log_base_name="E00",
    )
    return attrs.evolve(good, **changes)


def test_a_sound_environment_has_no_problems() -> None:
    assert environment().problems() == ()
    assert environment(gen_low=0, gen_high=0, log_base_name=None).problems() == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"log_base_name": None},
        {"gen_low": 0},
        {"gen_low": 10},
        {"gen_low": 0, "gen_high": 0},
        {"databases": (RestoreDatabase("Store", GUID, (EDB, STM), (EDB,)),)},
    ],
)
def test_each_broken_rule_is_told(changes: dict[str, Any]) -> None:
    assert len(environment(**changes).problems()) == 1


def test_the_recovery_result_is_unsigned() -> None:
    assert environment(hr_last_recover=0xC8000208 - (1 << 32)).hr_last_recover == 0xC8000208
