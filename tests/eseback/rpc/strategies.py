"""Hypothesis strategies for arguments and results of every call of `BackupApi`, as they travel.

A context is its handle here, and `backup_read_file` takes a size: see `eseback.rpc.backup_calls`.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from eseback.constants import (
    BackupType,
    DatabaseFlags,
    InstanceEnd,
    NodeType,
    RecoverStatus,
    RegisterFlags,
    RestoreClose,
    RestoreComplete,
)
from eseback.structures import (
    BackupNode,
    DatabaseBackupInfo,
    DependencyInfo,
    IconDescription,
    InstanceBackupInfo,
    OpenedFile,
    RegisteredInfo,
    RestoreDatabase,
    RestoreEnvironment,
    RestoreFile,
)

U32 = st.integers(0, 0xFFFFFFFF)
I64 = st.integers(-(1 << 63), (1 << 63) - 1)
TEXT = st.text(st.characters(exclude_characters="\0"), max_size=12)
NAME = TEXT.filter(bool)
MAYBE = st.none() | TEXT
HANDLE = st.binary(min_size=20, max_size=20)
FILES = st.lists(NAME, max_size=3).map(tuple)
DATA = st.binary(max_size=40)
ICON = st.builds(IconDescription, DATA)
ICONS = st.lists(ICON, max_size=2).map(tuple)

NODE = st.recursive(
    st.builds(BackupNode, TEXT, st.sampled_from(NodeType), ICON),
    lambda children: st.builds(
        BackupNode, TEXT, st.sampled_from(NodeType), ICON, st.lists(children, max_size=3).map(tuple)
    ),
    max_leaves=8,
)
REGISTERED = st.builds(
    RegisteredInfo, TEXT, st.integers(0, 63).map(RegisterFlags), TEXT, st.uuids()
)
DATABASE = st.builds(
    DatabaseBackupInfo,
    TEXT,
    st.lists(NAME, min_size=1, max_size=2).map(tuple),
    st.uuids(),
    U32,
    st.sampled_from((DatabaseFlags.MOUNTED, DatabaseFlags.UNMOUNTED)),
)
INSTANCE = st.builds(
    InstanceBackupInfo, I64, TEXT, U32, st.lists(DATABASE, max_size=3).map(tuple), ICONS
)
ENVIRONMENT = st.builds(
    RestoreEnvironment,
    TEXT,
    TEXT,
    st.lists(st.builds(RestoreDatabase, TEXT, st.uuids(), FILES, FILES), max_size=2).map(tuple),
    TEXT,
    TEXT,
    MAYBE,
    U32,
    U32,
    MAYBE,
    I64,
    st.sampled_from(RecoverStatus),
    U32,
    I64,
    TEXT,
    MAYBE,
)
NOTHING = st.none()

CALLS: dict[str, tuple[st.SearchStrategy[Any], st.SearchStrategy[Any]]] = {
    "get_nodes": (st.tuples(MAYBE), NODE),
    "get_registered": (
        st.tuples(TEXT, MAYBE, st.integers(0, 63).map(RegisterFlags)),
        st.lists(REGISTERED, max_size=3).map(tuple),
    ),
    "backup_prepare": (
        st.tuples(TEXT, TEXT),
        st.tuples(HANDLE, st.lists(INSTANCE, max_size=3).map(tuple)),
    ),
    "backup_get_dependency_info": (st.tuples(HANDLE), st.builds(DependencyInfo, DATA, FILES)),
    "backup_setup": (st.tuples(HANDLE, I64, st.sampled_from(BackupType)), NOTHING),
    "backup_open_file": (
        st.tuples(HANDLE, TEXT, U32, U32),
        st.lists(st.builds(OpenedFile, I64, I64), max_size=3).map(tuple),
    ),
    "backup_close_file": (st.tuples(HANDLE, I64), NOTHING),
    "backup_get_log_and_patch_files": (st.tuples(HANDLE), FILES),
    "backup_get_truncate_log_files": (st.tuples(HANDLE), FILES),
    "backup_truncate_logs": (st.tuples(HANDLE), NOTHING),
    "backup_instance_end": (st.tuples(HANDLE, st.sampled_from(InstanceEnd)), NOTHING),
    "backup_end": (st.tuples(HANDLE), HANDLE),
    "restore_open": (st.tuples(TEXT, TEXT, TEXT, MAYBE), HANDLE),
    "restore_reopen": (st.tuples(TEXT, MAYBE, TEXT), HANDLE),
    "restore_add_database": (st.tuples(HANDLE, TEXT, st.uuids(), FILES), FILES),
    "restore_add_database_ns": (st.tuples(HANDLE, TEXT, st.uuids(), FILES, FILES), NOTHING),
    "restore_open_file": (
        st.tuples(HANDLE, TEXT, U32),
        st.builds(RestoreFile, st.none() | st.integers(1, 1 << 62)),
    ),
    "restore_write_file": (st.tuples(HANDLE, I64, DATA), NOTHING),
    "restore_close_file": (st.tuples(HANDLE, I64), NOTHING),
    "restore_save_environment": (st.tuples(HANDLE), NOTHING),
    "restore_load_environment": (st.tuples(MAYBE, TEXT), ENVIRONMENT),
    "restore_get_environment": (st.tuples(HANDLE), ENVIRONMENT),
    "restore_complete": (
        st.tuples(HANDLE, TEXT, TEXT, MAYBE, st.sampled_from(RestoreComplete)),
        NOTHING,
    ),
    "restore_close": (st.tuples(HANDLE, st.sampled_from(RestoreClose)), HANDLE),
    "snapshot_start": (st.tuples(HANDLE, st.text(max_size=12), U32), NOTHING),
}
"""Arguments and results of every call but `backup_read_file`, which has a module of its own."""
