"""Damage at every layer of a set is found, named, and nothing is written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from esebcli.manifest import Kind, LogRange, Manifest, SavedGroup, State
from esebcli.verify import verify_sets
from tests.esebcli.support_fake import FakeServer, Group
from tests.esebcli.support_files import Image, LogStream
from tests.esebcli.support_jobs import (
    back_up,
    edit_raw,
    findings_of,
    flip,
    manifest_of,
    rehash,
    rewrite_manifest,
    texts,
)

FIRST = "First Storage Group"
GROUPS = (FIRST,)


@pytest.fixture
def full(server: FakeServer, tmp_path: Path) -> Path:
    """A good full backup of the first group."""
    folder = tmp_path / "full"
    assert back_up(server, folder, groups=GROUPS).ok
    return folder


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def _change(folder: Path, change: Callable[[SavedGroup], SavedGroup]) -> None:
    rewrite_manifest(folder, lambda m: evolve(m, groups=tuple(map(change, m.groups))))


def test_a_good_set(full: Path) -> None:
    report = verify_sets([full])
    assert report.ok and findings_of(report) == []
    assert report.restorable_to(FIRST) == 6
    assert report.chains[0].reach.base == "full" and report.chains[0].reach.reason == ""


def _damage(name: str, offset: int) -> Callable[[Path], None]:
    return lambda folder: flip(folder / name, offset)


def _cut(name: str, count: int) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:-count])

    return cut


def _swap_logs(folder: Path) -> None:
    (folder / "E0000004.log").rename(folder / "x")
    (folder / "E0000005.log").rename(folder / "E0000004.log")
    (folder / "x").rename(folder / "E0000005.log")


DAMAGE = [
    (
        _damage("priv1.edb", 12365),
        "priv1.edb: wrong checksum of 1 page(s): 2 (1 with a",
        "page",
    ),
    (_damage("priv1.edb", 100), "priv1.edb: the two copies of the header differ", "header"),
    (_damage("priv1.edb", 10 * 4096 + 50), "priv1.edb: checksum of the trailer page", "trailer"),
    (_damage("priv1.stm", 300), "priv1.stm: the two copies of the header differ", "header"),
    (_damage("E0000005.log", 20), "E0000005.log: checksum of the log header is wrong", "header"),
    (_damage("E0000005.log", 4150), "E0000005.log: log ends at offset 4096", "log"),
    (_cut("E0000005.log", 512), "E0000005.log: its size is 11776", "file"),
    (_cut("priv1.edb", 4096), "priv1.edb: it ends without a trailer", "trailer"),
    (_cut("priv1.edb", 1), "priv1.edb: its size 45055 is no multiple", "file"),
    (_swap_logs, "E0000004.log: its header says generation 5, its name 4", "header"),
]


@pytest.mark.parametrize(("damage", "message", "layer"), DAMAGE)
def test_damage_is_found_by_hash_and_by_what_the_file_says(
    full: Path, damage: Callable[[Path], None], message: str, layer: str
) -> None:
    damage(full / FIRST)
    found = texts(full)
    assert any("SHA-256 differs" in text or "the manifest says" in text for text in found)
    # Again, with a manifest that agrees with the damage: the files speak for themselves.
    rehash(full)
    found = texts(full)
    assert any(text.startswith(f"{FIRST}: [{layer}] {message}") for text in found), found
    report = verify_sets([full])
    assert not report.ok
    assert report.restorable_to(FIRST) != 6


def test_verify_writes_nothing(full: Path) -> None:
    flip(full / FIRST / "priv1.edb", 9000)
    before = _snapshot(full)
    stamps = {path: path.stat().st_mtime_ns for path in full.rglob("*")}
    verify_sets([full])
    assert _snapshot(full) == before
    assert {path: path.stat().st_mtime_ns for path in full.rglob("*")} == stamps


@pytest.mark.parametrize("name", ["priv1.edb", "priv1.stm", "E0000005.log"])
def test_a_missing_file(full: Path, name: str) -> None:
    (full / FIRST / name).unlink()
    report = verify_sets([full])
    assert f"{FIRST}: [file] {name}: it is missing" in findings_of(report)
    assert not report.ok
    assert report.restorable_to(FIRST) is None


def test_a_missing_log_that_the_databases_need(full: Path) -> None:
    (full / FIRST / "E0000006.log").unlink()
    # The images need it: log 6 was current when their last page was read.
    report = verify_sets([full])
    assert report.restorable_to(FIRST) is None
    assert report.chains[0].reach.reason == (
        "Store priv1: its image in full needs the logs 4 to 6, and log 6 in full is damaged or "
        "missing"
    )


@pytest.mark.parametrize("name", ["priv1.edb", "E0000005.log"])
@pytest.mark.parametrize("delta", [-1, 1])
def test_another_size_than_in_the_manifest(full: Path, name: str, delta: int) -> None:
    path = full / FIRST / name
    data = path.read_bytes()
    path.write_bytes(data[:-1] if delta < 0 else data + b"x")
    size = len(data)
    expected = f"{FIRST}: [file] {name}: it has {size + delta} bytes, the manifest says {size}"
    assert expected in texts(full)


def test_a_file_that_is_a_link_or_no_file(full: Path, tmp_path: Path) -> None:
    path = full / FIRST / "priv1.edb"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert any("priv1.edb: it can't be read: not a regular file" in text for text in texts(full))
    path.unlink()
    os.mkfifo(path)  # to open it would wait for ever
    assert any("priv1.edb: it can't be read: not a regular file" in text for text in texts(full))
    path.unlink()
    path.mkdir()
    assert any("priv1.edb: it can't be read" in text for text in texts(full))


def test_a_folder_that_is_a_link(full: Path, tmp_path: Path) -> None:
    (full / FIRST).rename(tmp_path / "elsewhere")
    (full / FIRST).symlink_to(tmp_path / "elsewhere")
    assert texts(full) == [f"{FIRST}: [file] folder {FIRST} is a link"]


def test_files_that_do_not_belong_to_the_set_are_noted(full: Path) -> None:
    (full / FIRST / "stray.txt").write_text("?")
    report = verify_sets([full])
    assert report.ok
    assert report.sets[0].groups[0].notes == (f"{FIRST}/stray.txt is not part of the set",)


def test_an_incomplete_set_can_not_be_restored(full: Path) -> None:
    _change(full, lambda g: evolve(g, state=State.INCOMPLETE, error="the disk was full"))
    report = verify_sets([full])
    assert not report.ok and report.restorable_to(FIRST) is None
    assert findings_of(report) == [
        f"{FIRST}: [state] the backup is incomplete and can't be restored (the disk was full)"
    ]


# --- the manifest


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), "is no backup set: it has no manifest.json"),
        (lambda f: (f / "manifest.json").write_bytes(b"\0\xff"), "it is not JSON"),
        (lambda f: (f / "manifest.json").write_bytes(b""), "it is not JSON"),
        (lambda f: (f / "manifest.json").write_text("{}"), "no schema number"),
        (lambda f: edit_raw(f, lambda d: d.update(schema=2)), "newer than this program"),
        (lambda f: edit_raw(f, lambda d: d.update(kind="copy")), "SHA-256 is wrong"),
        (
            lambda f: (
                (f / "manifest.json").rename(f / "m") and (f / "manifest.json").symlink_to(f / "m")
            ),
            "can't be read",
        ),
    ],
)
def test_a_manifest_that_is_none(
    full: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(full)
    report = verify_sets([full])
    assert not report.ok and report.chains == ()
    assert len(findings_of(report)) == 1 and message in findings_of(report)[0]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "is no backup set" in texts(tmp_path / "nowhere")[0]


def test_the_manifest_lies_about_the_logs(full: Path, server: FakeServer) -> None:
    signature = server.groups[0].stream.signature.pack().hex()
    _change(full, lambda g: evolve(g, logs=LogRange("E00", 4, 7, signature)))
    short = signature[:8]
    assert texts(full) == [
        f"{FIRST}: [manifest] the manifest says E00 logs 4 to 7 of stream {short}; "
        f"the files hold E00 logs 4 to 6 of stream {short}"
    ]


def test_the_manifest_hides_a_log(full: Path) -> None:
    """Without its log 5 the set is worthless, whatever hash the manifest has."""
    _change(full, lambda g: evolve(g, files=tuple(f for f in g.files if "05" not in f.name)))
    found = texts(full)
    assert f"{FIRST}: [chain] E0000006.log: log 5 is missing before it" in found


def test_the_manifest_calls_an_incremental_a_full(server: FakeServer, tmp_path: Path) -> None:
    back_up(server, tmp_path / "inc", Kind.INCREMENTAL, GROUPS)
    rewrite_manifest(tmp_path / "inc", lambda m: evolve(m, kind=Kind.FULL))
    assert texts(tmp_path / "inc") == [f"{FIRST}: [chain] a full backup without a database"]


def test_the_manifest_calls_a_full_an_incremental(full: Path) -> None:
    rewrite_manifest(full, lambda m: evolve(m, kind=Kind.INCREMENTAL))
    assert f"{FIRST}: [chain] a database in a incremental backup" in texts(full)


# --- files that are good, but do not belong together


def _replace(folder: Path, name: str, data: bytes) -> None:
    (folder / FIRST / name).write_bytes(data)
    rehash(folder)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("E0000005.log", lambda s: LogStream.numbered(9).log(5), "another log stream"),
        (
            "E0000005.log",
            lambda s: s.log(5, previous=s.created(3)),
            "E0000005.log: it does not continue log 4 (creation times differ)",
        ),
        ("priv1.edb", lambda s: Image(s, 4, 6, seed=9).edb(), "its streaming file (.stm) was not"),
        ("priv1.stm", lambda s: Image(s, 4, 6, seed=9).stm(), "belongs to none of the databases"),
        (
            "priv1.edb",
            lambda s: Image(s, 2, 6).edb(),
            "priv1.edb: it needs logs from 2 on; the first one here is 4",
        ),
        (
            "priv1.edb",
            lambda s: Image(s, 4, 8).edb(),
            "priv1.edb: it needs logs up to 8; the last one here is 6",
        ),
        (
            "priv1.edb",
            lambda s: Image(LogStream.numbered(9), 4, 6).edb(),
            "priv1.edb: it belongs to another log stream",
        ),
        (
            "priv1.edb",
            lambda s: Image(s, 4, 6).edb()[:-4096] + Image(s, 4, 6, seed=9).edb()[-4096:],
            "header and trailer are of different databases",
        ),
        (
            "priv1.edb",
            lambda s: Image(s, 4, 6).edb()[:-4096] + Image(s, 5, 6).edb()[-4096:],
            "header and trailer are of different backups",
        ),
        ("priv1.edb", lambda s: Image(s, 0, 0).edb(), "not that of a backup (no bkinfoFullCur)"),
    ],
)
def test_good_files_that_do_not_belong_together(
    full: Path, server: FakeServer, name: str, make: Callable[[LogStream], bytes], message: str
) -> None:
    _replace(full, name, make(server.groups[0].stream))
    found = texts(full)
    assert any(message in text for text in found), found
    assert verify_sets([full]).restorable_to(FIRST) is None


# --- chains of sets


def _incremental(
    server: FakeServer, tmp_path: Path, name: str, kind: Kind = Kind.INCREMENTAL, logs: int = 2
) -> Path:
    for group in server.groups:
        group.work(logs)
    folder = tmp_path / name
    assert back_up(server, folder, kind, GROUPS).ok
    return folder


def test_a_chain_in_any_order(server: FakeServer, full: Path, tmp_path: Path) -> None:
    first = _incremental(server, tmp_path, "inc1")
    second = _incremental(server, tmp_path, "inc2")
    for order in ([full, first, second], [second, full, first], [first, second, full]):
        report = verify_sets(order)
        assert report.ok and report.restorable_to(FIRST) == 12
        assert report.chains[0].reach.base == "full"


def test_a_differential_needs_the_incremental_before_it(
    server: FakeServer, full: Path, tmp_path: Path
) -> None:
    """Full, incremental, differential: the differential alone does not reach back to the full."""
    incremental = _incremental(server, tmp_path, "inc", logs=4)
    differential = _incremental(server, tmp_path, "diff", Kind.DIFFERENTIAL)
    assert verify_sets([full, incremental, differential]).restorable_to(FIRST) == 14
    report = verify_sets([full, differential])
    assert not report.ok and report.restorable_to(FIRST) == 6
    reason = (
        "logs 7 to 8 are in none of the sets: diff (differential) starts with log 9, and the "
        "incremental or full made between, which a differential needs, was not given"
    )
    assert report.chains[0].reach.reason == f"Store priv1: {reason}"
    assert f"chain: [chain] logs up to 14 were saved, but {reason}" in findings_of(report)


def test_a_damaged_log_limits_the_chain_unless_another_set_holds_it(
    server: FakeServer, full: Path, tmp_path: Path
) -> None:
    first = _incremental(server, tmp_path, "inc1")
    second = _incremental(server, tmp_path, "inc2")
    overlap = {p.name for p in (first / FIRST).iterdir()} & {
        p.name for p in (second / FIRST).iterdir()
    }
    assert overlap == {"E0000007.log", "E0000008.log", "E0000009.log"}
    flip(first / FIRST / "E0000008.log", 4200)
    report = verify_sets([full, first, second])
    assert not report.ok and report.restorable_to(FIRST) == 12
    flip(second / FIRST / "E0000008.log", 4200)
    report = verify_sets([full, first, second])
    assert report.restorable_to(FIRST) == 7
    assert "log 8 in inc" in report.chains[0].reach.reason


def test_a_log_missing_beside_the_databases_may_be_in_another_set(
    server: FakeServer, full: Path, tmp_path: Path
) -> None:
    incremental = _incremental(server, tmp_path, "inc")
    (full / FIRST / "E0000006.log").unlink()
    report = verify_sets([full, incremental])
    assert not report.ok and report.restorable_to(FIRST) == 9
    assert report.chains[0].reach.base == "full"


def test_logs_alone_are_undamaged_but_not_restorable(
    server: FakeServer, full: Path, tmp_path: Path
) -> None:
    folder = _incremental(server, tmp_path, "inc")
    report = verify_sets([folder])
    assert report.ok and report.restorable_to(FIRST) is None
    assert report.sets[0].notes == ()
    assert "none of the sets holds a database of this group" in report.chains[0].reach.reason


def test_a_set_before_it_that_was_not_given_is_named(
    server: FakeServer, full: Path, tmp_path: Path
) -> None:
    server.groups[0].work(2)
    assert back_up(server, tmp_path / "inc", Kind.INCREMENTAL, GROUPS, previous=full).ok
    note = f"it continues set {manifest_of(full).set_id}, which was not given"
    assert verify_sets([tmp_path / "inc"]).sets[0].notes == (note,)
    assert verify_sets([tmp_path / "inc", full]).sets[0].notes == ()


def test_a_damaged_full_is_no_base_but_an_older_one_is(
    server: FakeServer, full: Path, tmp_path: Path
) -> None:
    inc = _incremental(server, tmp_path, "inc")
    newer = _incremental(server, tmp_path, "full2", Kind.FULL)
    report = verify_sets([full, inc, newer])
    assert report.ok and report.restorable_to(FIRST) == 12
    assert report.chains[0].reach.base == "full2"
    flip(newer / FIRST / "pub1.edb", 3 * 4096)
    report = verify_sets([full, inc, newer])
    assert not report.ok
    # Only the one database that is damaged has to be taken from the older set.
    databases = report.chains[0].reach.databases
    assert [(d.name, d.base) for d in databases] == [
        ("Store priv1", "full2"),
        ("Store pub1", "full"),
    ]
    assert report.chains[0].reach.base is None and report.restorable_to(FIRST) == 12


def test_two_logs_of_one_generation_that_differ(
    server: FakeServer, full: Path, tmp_path: Path
) -> None:
    folder = _incremental(server, tmp_path, "inc")
    _replace(folder, "E0000005.log", server.groups[0].stream.log(5, records=2))
    report = verify_sets([full, folder])
    assert "chain: [chain] log 5 in inc is not the one in full" in findings_of(report)
    assert not report.ok


def test_a_set_of_another_stream_does_not_continue(
    server: FakeServer, full: Path, tmp_path: Path
) -> None:
    stores = server.groups[0].stores
    server.groups = (Group(FIRST, LogStream.numbered(7), stores, first=7, current=9, checkpoint=7),)
    folder = tmp_path / "inc"
    assert back_up(server, folder, Kind.INCREMENTAL, GROUPS).ok
    report = verify_sets([full, folder])
    assert not report.ok and report.restorable_to(FIRST) == 6
    assert "log 7 in inc can't follow: it belongs to another log stream" in (
        report.chains[0].reach.reason
    )


def test_groups_of_different_servers_are_not_mixed(
    server: FakeServer, full: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(full, other)
    rewrite_manifest(other, lambda m: evolve(m, server="EXCH2"))
    report = verify_sets([full, other])
    assert [chain.chain.server for chain in report.chains] == ["EXCH1", "EXCH2"]


def test_a_hostile_manifest_with_a_good_digest(full: Path, tmp_path: Path) -> None:
    """Names that lead out of the set are refused before any of them is opened."""
    secret = tmp_path / "secret"
    secret.write_text("secret")

    def hostile(manifest: Manifest) -> Manifest:
        group = manifest.groups[0]
        file = group.files[0]
        object.__setattr__(file, "name", "../../secret")
        return manifest

    rewrite_manifest(full, hostile)
    found = texts(full)
    assert len(found) == 1 and "not a plain file name" in found[0]
