"""All kinds of backup on simulated servers of every era, and partial backups of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eseback.formats.trailer import Trailer
from esebcli.contents import Depth
from esebcli.job import BackupJob, BackupRequest
from esebcli.manifest import FileKind, Kind, Manifest, State, Truncation
from esebcli.verify import verify_sets
from esesim.server import SimulatedServer
from esesim.topology import PROFILES
from tests.esebcli.support_jobs import findings_of, flip, manifest_of, rehash
from tests.esebcli.support_simulator import FIRST, is_busy, logs_on, save, topology_of

pytestmark = pytest.mark.uncovered

MAILBOX, PUBLIC = "Mailbox Store", "Public Store"
TOPOLOGY = """
[server]
name = "EXCHSRV1"
profile = "{profile}"
seed = 5

[workload]
messages = 30
steps_per_call = 3

[[group]]
name = "First Storage Group"
log_size = "64 KiB"

[[group.store]]
name = "Mailbox Store"

[[group.store]]
name = "Public Store"
"""
ERAS = sorted(PROFILES)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def server_of(profile: str) -> SimulatedServer:
    text = TOPOLOGY.format(profile=profile)
    if PROFILES[profile].log_size_min > 64 * 1024:
        text = text.replace('"64 KiB"', f"{PROFILES[profile].log_size_min}")
    return SimulatedServer(topology_of(text))


def kinds_in(manifest: Manifest) -> set[FileKind]:
    return {file.kind for file in manifest.groups[0].files}


@pytest.mark.parametrize("profile", ERAS)
def test_a_chain_of_every_kind(tmp_path: Path, profile: str) -> None:
    with server_of(profile) as server:
        for name, kind in (
            ("full", Kind.FULL),
            ("inc", Kind.INCREMENTAL),
            ("copy", Kind.COPY),
            ("diff", Kind.DIFFERENTIAL),
            ("all", Kind.FULL_WITH_ALL_LOGS),
        ):
            on_disk = logs_on(server)
            result = save(server, tmp_path / name, kind)
            assert result.ok, result.reasons
            group = result.manifest.groups[0]
            assert group.logs is not None
            expected = Truncation.DONE if kind.truncates else Truncation.NOT_ASKED
            assert group.truncation is expected
            server.run_workload(FIRST, 30)
            if kind is Kind.FULL_WITH_ALL_LOGS:
                # What is inferred of it: from the oldest log on disk on.
                assert group.logs.low == min(on_disk)
    report = verify_sets([tmp_path / name for name in ("full", "inc", "diff")])
    assert report.ok, findings_of(report)
    last = manifest_of(tmp_path / "diff").groups[0].logs
    assert last is not None and report.restorable_to(FIRST) == last.high
    for name in ("copy", "all"):
        assert verify_sets([tmp_path / name]).ok


@pytest.mark.parametrize("profile", ["exchange-2000-rtm", "exchange-2000-sp1"])
def test_patch_files_stand_for_the_trailers(tmp_path: Path, profile: str) -> None:
    with server_of(profile) as server:
        server.run_workload(FIRST, 50)
        assert save(server, tmp_path / "full").ok
    manifest = manifest_of(tmp_path / "full")
    group = manifest.groups[0]
    patches = [file for file in group.files if file.kind is FileKind.PATCH]
    images = [file for file in group.files if file.kind is FileKind.DATABASE]
    assert len(patches) == len(images) == 2
    for image in images:
        last = (tmp_path / "full" / group.folder / image.name).read_bytes()[-4096:]
        assert int.from_bytes(last[4:8], "little") or not any(last), "no trailer, but a page"
    for patch in patches:
        data = (tmp_path / "full" / group.folder / patch.name).read_bytes()
        assert group.logs is not None
        assert Trailer.unpack(data[:4096]).bkinfo.gen_high == group.logs.high


@pytest.mark.parametrize(
    ("damage", "layer"),
    [("missing", "file"), ("header", "header"), ("page", "page"), ("size", "file")],
)
def test_without_a_good_patch_file_an_image_is_worthless(
    tmp_path: Path, damage: str, layer: str
) -> None:
    with server_of("exchange-2000-rtm") as server:
        assert save(server, tmp_path / "full").ok
    group = manifest_of(tmp_path / "full").groups[0]
    first = next(file for file in group.files if file.kind is FileKind.PATCH)
    path = tmp_path / "full" / group.folder / first.name
    if damage == "missing":
        path.unlink()
    elif damage == "header":
        flip(path, 50)
        rehash(tmp_path / "full")
    else:
        path.write_bytes(path.read_bytes() + b"\1" * 4096)
        if damage == "page":
            rehash(tmp_path / "full")
    report = verify_sets([tmp_path / "full"])
    found = findings_of(report)
    assert any(f"[{layer}] {first.name}: " in text for text in found), found
    assert report.restorable_to(FIRST) is None
    # The other database has a patch file of its own.
    reaches = report.chains[0].reach.databases
    assert sorted(reach.restorable_to is None for reach in reaches) == [False, True]


def test_2007(tmp_path: Path) -> None:
    with server_of("exchange-2007") as server:
        assert save(server, tmp_path / "full").ok
    manifest = manifest_of(tmp_path / "full")
    assert kinds_in(manifest) == {FileKind.DATABASE, FileKind.LOG}
    logs = [file for file in manifest.groups[0].files if file.kind is FileKind.LOG]
    assert all(len(file.name) == len("E0000000001.log") for file in logs)
    image = manifest.groups[0].files[0]
    path = tmp_path / "full" / FIRST / image.name
    assert image.size % 8192 == 0
    flip(path, 6 * 8192 + 500)
    rehash(tmp_path / "full")
    assert any("wrong checksum of 1 page(s): 5" in text for text in findings_of_set(tmp_path))


def findings_of_set(tmp_path: Path) -> list[str]:
    return findings_of(verify_sets([tmp_path / "full"]))


# --- partial backups: what is deleted is the server's business


def test_a_partial_full_keeps_the_logs_that_others_need(tmp_path: Path) -> None:
    with server_of("exchange-2003-sp1") as server:
        server.run_workload(FIRST, 40)
        before = logs_on(server)
        # The other database was never backed up: nothing may be deleted.
        first = save(server, tmp_path / "p1", databases=(PUBLIC,))
        assert first.ok and before <= logs_on(server)
        assert first.manifest.groups[0].deletable_logs == ()
        assert save(server, tmp_path / "full").ok
        server.run_workload(FIRST, 60)
        low = min(logs_on(server))
        second = save(server, tmp_path / "p2", databases=(MAILBOX,))
        assert second.ok, second.reasons
        assert second.manifest.groups[0].truncation is Truncation.DONE
        # Up to where the other one's full reaches, at most.
        full = manifest_of(tmp_path / "full").groups[0].logs
        assert full is not None
        kept = logs_on(server)
        assert min(kept) > low and min(kept) <= full.high
        assert save(server, tmp_path / "inc", Kind.INCREMENTAL).ok
    report = verify_sets([tmp_path / name for name in ("full", "p2", "inc")])
    assert report.ok, findings_of(report)
    bases = {reach.name: reach.base for reach in report.chains[0].reach.databases}
    assert bases == {MAILBOX: "p2", PUBLIC: "full"}


# --- several groups at once


@pytest.mark.parametrize("depth", Depth)
def test_parallel_groups_are_saved_as_one_after_the_other(tmp_path: Path, depth: Depth) -> None:
    """Threads and sessions of their own change nothing but ids and times."""
    groups = ("First Storage Group", "Second Storage Group")
    found = []
    for parallel in (1, 2):
        folder = tmp_path / str(parallel)
        with SimulatedServer(topology_of("demo")) as server:
            for name, kind in (("full", Kind.FULL), ("inc", Kind.INCREMENTAL)):
                request = BackupRequest(
                    server.topology.server.name,
                    groups,
                    kind,
                    folder / name,
                    parallel=parallel,
                    depth=depth,
                )
                result = BackupJob(server.session, request).run()
                assert result.ok, result.reasons
                assert result.manifest.state is State.COMPLETE
            assert not any(is_busy(server, group) for group in groups)
            left = {group: logs_on(server, group) for group in groups}
        files = {
            path.relative_to(folder): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != "manifest.json"
        }
        manifests = [manifest_of(folder / name).groups for name in ("full", "inc")]
        found.append((files, manifests, left))
    serial, threaded = found
    assert len(serial[0]) > 12
    assert serial == threaded
