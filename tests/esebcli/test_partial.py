"""Partial backups: some databases of a group."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from attrs import evolve

from esebcli.errors import UserError
from esebcli.job import BackupJob, BackupRequest, JobResult
from esebcli.manifest import Kind, Manifest, State
from esebcli.render import result_lines, set_lines
from esebcli.sets import open_set
from tests.esebcli.support_fake import SERVER, FakeServer
from tests.esebcli.support_jobs import manifest_of, rewrite_manifest, texts

FIRST = "First Storage Group"
PRIV, PUB = "Store priv1", "Store pub1"


def save(
    server: FakeServer,
    folder: Path,
    *databases: str,
    kind: Kind = Kind.FULL,
    groups: tuple[str, ...] = (FIRST,),
) -> JobResult:
    request = BackupRequest(SERVER, groups, kind, folder, databases=databases)
    return BackupJob(lambda: server.api, request).run()


@pytest.mark.parametrize("kind", [Kind.FULL, Kind.COPY, Kind.FULL_WITH_ALL_LOGS])
@pytest.mark.parametrize("name", [PUB, PUB.upper(), str(uuid.UUID(int=2))])
def test_one_of_two(server: FakeServer, tmp_path: Path, name: str, kind: Kind) -> None:
    result = save(server, tmp_path / "set", name, kind=kind)
    assert result.ok
    opened = [call.argument for call in server.calls_of("backup_open_file")]
    assert [str(path)[-8:] for path in opened[:2]] == ["pub1.edb", "pub1.stm"]
    assert not any("priv1" in str(path) for path in opened)
    group = manifest_of(tmp_path / "set").groups[0]
    assert group.partial and group.state is State.COMPLETE and group.warnings == ()
    assert [(d.display_name, d.chosen, d.saved) for d in group.databases] == [
        (PRIV, False, False),
        (PUB, True, True),
    ]
    expected = f"partial: made of '{PUB}', without '{PRIV}'"
    assert any(expected in line for line in result_lines(result))
    assert any(expected in line for line in set_lines(open_set(tmp_path / "set")))
    assert texts(tmp_path / "set") == []


def test_all_of_them_by_name_are_no_partial_backup(server: FakeServer, tmp_path: Path) -> None:
    assert save(server, tmp_path / "set", PUB, PRIV).ok
    group = manifest_of(tmp_path / "set").groups[0]
    assert not group.partial and all(database.saved for database in group.databases)
    # In the server's order, not in that of the names.
    assert [file.name for file in group.files[:4:2]] == ["priv1.edb", "pub1.edb"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("nonsense",), f"has no database 'nonsense' .it has: '{PRIV}', '{PUB}'."),
        ((PUB, "nonsense"), "has no database 'nonsense'"),
        ((PUB, PUB), "is named twice"),
        ((PUB, str(uuid.UUID(int=2))), "is named twice"),
        ((str(uuid.UUID(int=77)),), "has no database"),
    ],
)
def test_names_that_are_none(
    server: FakeServer, tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        save(server, tmp_path / "set", *names)
    assert server.methods() == ["backup_prepare", "backup_end"]
    assert not (tmp_path / "set").exists()


def test_a_name_that_two_databases_have(server: FakeServer, tmp_path: Path) -> None:
    group = server.groups[0]
    group.stores = (group.stores[0], evolve(group.stores[0], number=2, folder="D:\\"))
    with pytest.raises(UserError, match=r"several databases .*by its GUID \(0.*1, 0.*2\)"):
        save(server, tmp_path / "set", PRIV)
    assert save(server, tmp_path / "set", str(uuid.UUID(int=2))).ok


def test_a_database_that_is_not_mounted(server: FakeServer, tmp_path: Path) -> None:
    group = server.groups[0]
    group.stores = (group.stores[0], evolve(group.stores[1], mounted=False))
    with pytest.raises(UserError, match="not mounted"):
        save(server, tmp_path / "set", PUB)
    # Nobody asked for it: then it is no warning either.
    assert save(server, tmp_path / "set", PRIV).ok
    group_saved = manifest_of(tmp_path / "set").groups[0]
    assert group_saved.partial and group_saved.warnings == ()


@pytest.mark.parametrize(
    ("kind", "groups", "message"),
    [
        (Kind.INCREMENTAL, (FIRST,), "saves no databases"),
        (Kind.DIFFERENTIAL, (FIRST,), "saves no databases"),
        (Kind.FULL, (FIRST, "Second"), "one storage group at a time"),
    ],
)
def test_requests_that_make_no_sense(
    server: FakeServer, tmp_path: Path, kind: Kind, groups: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        save(server, tmp_path / "set", PUB, kind=kind, groups=groups)
    assert not server.calls and not (tmp_path / "set").exists()


def test_a_manifest_that_contradicts_itself(server: FakeServer, tmp_path: Path) -> None:
    """It says that a database is in the set, and names no file of it."""
    assert save(server, tmp_path / "set", PUB).ok

    def claim_all(manifest: Manifest) -> Manifest:
        group = manifest.groups[0]
        databases = tuple(evolve(database, chosen=True) for database in group.databases)
        return evolve(manifest, groups=(evolve(group, partial=False, databases=databases),))

    rewrite_manifest(tmp_path / "set", claim_all)
    found = texts(tmp_path / "set")
    assert len(found) == 2 and all("is said to be saved, its" in text for text in found)

    def claim_none(manifest: Manifest) -> Manifest:
        group = manifest.groups[0]
        databases = tuple(evolve(database, mounted=False) for database in group.databases)
        return evolve(manifest, groups=(evolve(group, databases=databases),))

    rewrite_manifest(tmp_path / "set", claim_none)
    found = texts(tmp_path / "set")
    assert [text.split(": ")[2:] for text in found] == [
        ["it is of no database that is said to be saved"]
    ] * 2
