"""Several processes find what one finds, and none of them outlives the command."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from esebcli import workers
from esebcli.cli import main
from esebcli.contents import Depth
from esebcli.manifest import FileKind, SavedFile
from esebcli.pages import BadPages, PageRange
from esebcli.reading import READ_SIZE, FileTask, read_pages
from esebcli.verify import verify_sets
from esebcli.workers import WorkerError, read_files
from tests.esebcli.support_fake import FakeServer
from tests.esebcli.support_files import PAGE_SIZE, Image
from tests.esebcli.support_jobs import back_up, findings_of, flip, rehash, rewrite_manifest

GROUP = "First Storage Group"
PAGES = 1500  # enough for several ranges
NO_HASH = 64 * "0"

on_linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@pytest.fixture
def full(server: FakeServer, tmp_path: Path) -> Path:
    """A full backup with a database of several megabytes."""
    folder = tmp_path / "full"
    assert back_up(server, folder, groups=(GROUP,)).ok
    image = Image(server.groups[0].stream, 4, 6, pages=PAGES)
    (folder / GROUP / "priv1.edb").write_bytes(image.edb())
    rehash(folder)
    return folder


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Workers for sets of any size; collects the tasks that they are given."""
    given: list[object] = []
    give = workers._Worker.give

    def noted(self: workers._Worker, task: object, *rest: object) -> None:
        given.append(task)
        give(self, task, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(workers, "_BYTES_PER_PROCESS", 1)
    monkeypatch.setattr(workers._Worker, "give", noted)
    return given


def _bad_pages(folder: Path) -> None:
    """Bad pages in several ranges, the last one first; one of them with two wrong bits."""
    for pgno in (PAGES, 1200, 300, 299, 2):
        flip(folder / GROUP / "priv1.edb", (pgno + 1) * PAGE_SIZE + 100)
    flip(folder / GROUP / "priv1.edb", (299 + 1) * PAGE_SIZE + 900)
    rehash(folder)


def _files_of_all_kinds(folder: Path) -> None:
    """Whatever can be wrong with whole files."""
    (folder / GROUP / "E0000004.log").unlink()
    flip(folder / GROUP / "E0000005.log", 4200)
    with (folder / GROUP / "priv1.stm").open("ab") as file:
        file.write(b"x")
    flip(folder / GROUP / "priv1.edb", 700 * PAGE_SIZE)


def _database_gone(folder: Path) -> None:
    (folder / GROUP / "priv1.edb").unlink()


@pytest.mark.parametrize(
    ("damage", "least"),
    [(lambda _: None, 0), (_bad_pages, 1), (_files_of_all_kinds, 5), (_database_gone, 2)],
    ids=["good", "bad pages", "files of all kinds", "no database"],
)
@pytest.mark.parametrize("jobs", [2, 3])
def test_several_processes_find_what_one_finds(
    full: Path, eager: list[object], jobs: int, damage: Callable[[Path], None], least: int
) -> None:
    damage(full)
    alone = verify_sets([full])
    assert eager == []
    assert len(findings_of(alone)) >= least and alone.ok is not bool(least)
    assert verify_sets([full], jobs=jobs) == alone
    ranges = [task for task in eager if not isinstance(task, FileTask)]
    assert ranges and len(eager) > len(ranges), "both pages and whole files are shared out"
    assert multiprocessing.active_children() == []


def test_bad_pages_are_told_in_order_whoever_found_them(full: Path, eager: list[object]) -> None:
    _bad_pages(full)
    (text,) = findings_of(verify_sets([full], jobs=2))
    assert eager and text.endswith("of 5 page(s): 2, 299, 300, ... (4 with a single wrong bit)")


def test_a_small_set_is_read_by_one_process(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_start", lambda: pytest.fail("a worker was started"))
    assert verify_sets([full], jobs=8).ok


def test_what_is_found_can_be_added_in_any_order() -> None:
    one, two = BadPages(2, (7, 9), 1), BadPages(3, (1, 2, 8), 0)
    assert one + two == two + one == BadPages(5, (1, 2, 7), 1)
    assert str(one) == "wrong checksum of 2 page(s): 7, 9 (1 with a single wrong bit)"
    assert str(two + one).startswith("wrong checksum of 5 page(s): 1, 2, 7, ... (1")


# --- what goes wrong with workers


def test_a_worker_that_dies(
    full: Path, eager: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    give = workers._Worker.give

    def deadly(self: workers._Worker, *arguments: object) -> None:
        give(self, *arguments)  # type: ignore[arg-type]
        self.process.kill()
        self.process.join()

    monkeypatch.setattr(workers._Worker, "give", deadly)
    with pytest.raises(WorkerError, match=r"ended before its work was done \(exit code -?\d+\)"):
        verify_sets([full], jobs=2)
    assert multiprocessing.active_children() == []


def test_a_worker_that_can_not_be_started(
    full: Path, eager: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    start, calls = workers._start, 0

    def only_once() -> workers._Worker:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(11, "Resource temporarily unavailable")
        return start()

    monkeypatch.setattr(workers, "_start", only_once)
    with pytest.raises(WorkerError, match=r"can't be started \(Resource temp.*--jobs 1"):
        verify_sets([full], jobs=3)
    assert multiprocessing.active_children() == []


class _Deaf:
    """Workers that take everything and can't read it."""

    def offer(self, task: object, size: int, deliver: Callable[[object], None]) -> bool:
        deliver(OSError(5, "Input/output error"))
        return True

    def finish(self) -> None:
        pass


def test_pages_that_a_worker_can_not_read(full: Path) -> None:
    path = full / GROUP / "priv1.edb"
    file = SavedFile("x", FileKind.DATABASE, path.name, path.stat().st_size, NO_HASH)
    reader = workers._Reader([FileTask(path, file, Depth.PAGES)], _Deaf())  # type: ignore[arg-type]
    (result,) = reader.run()
    assert [f.text for f in result.findings] == ["it can't be read: Input/output error"]
    assert result.facts is None


def test_pages_of_a_file_that_became_shorter(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(3 * PAGE_SIZE))
    assert read_pages(path, PageRange(PAGE_SIZE, 2 * PAGE_SIZE, 1, PAGE_SIZE)) == BadPages()
    with pytest.raises(OSError, match="cut off"):
        read_pages(path, PageRange(2 * PAGE_SIZE, 2 * PAGE_SIZE, 2, PAGE_SIZE))


def _large(folder: Path, server: FakeServer, size: int) -> None:
    """Make the database so large (unused pages at the end, which take no space on disk)."""
    path = folder / GROUP / "priv1.edb"
    os.truncate(path, size)

    def grown(file: SavedFile) -> SavedFile:
        return evolve(file, size=size) if file.name == path.name else file

    rewrite_manifest(
        folder,
        lambda m: evolve(
            m,
            groups=tuple(evolve(g, files=tuple(map(grown, g.files))) for g in m.groups),
        ),
    )


def _members(group: int) -> set[int]:
    """The living processes of a process group."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, pgrp = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(pgrp) == group and state != "Z":
                found.add(int(entry.name))
    return found


def _until(condition: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.02)


@on_linux
@pytest.mark.slow
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGKILL"])
def test_nothing_is_left_behind(full: Path, server: FakeServer, how: str) -> None:
    _large(full, server, 64 << 30)  # would take minutes
    command = [sys.executable, "-m", "esebcli.cli", "verify", "--jobs", "3", str(full)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        group = process.pid
        try:
            # Itself, two workers, and the one that multiprocessing keeps for itself.
            _until(lambda: len(_members(group)) >= 4, "no workers were started")
            if how == "Ctrl-C":
                os.killpg(group, signal.SIGINT)  # as a terminal does
            else:
                os.kill(group, signal.Signals[how])
            out, err = process.communicate(timeout=60)
            _until(lambda: not _members(group), "processes are left behind")
        finally:
            for left in _members(group):
                os.kill(left, signal.SIGKILL)
    assert out == ""
    if how == "Ctrl-C":
        assert (process.returncode, err) == (1, "esebcli: interrupted\n")
    else:
        assert process.returncode == -signal.Signals[how]


def test_memory_does_not_grow_with_the_files(full: Path, server: FakeServer) -> None:
    _large(full, server, 96 << 20)
    path = full / GROUP / "priv1.edb"
    file = SavedFile("x", FileKind.DATABASE, path.name, 96 << 20, NO_HASH)
    tracemalloc.start()
    try:
        read_files([FileTask(path, file, Depth.PAGES)], 1)
        assert tracemalloc.get_traced_memory()[1] < 4 * READ_SIZE
    finally:
        tracemalloc.stop()


# --- the option


@pytest.mark.parametrize(
    ("option", "jobs"), [((), workers.available_cores()), (("--jobs", "5"), 5)]
)
def test_the_option_says_how_many(
    full: Path, monkeypatch: pytest.MonkeyPatch, option: tuple[str, ...], jobs: int
) -> None:
    asked: list[int] = []

    def noted(folders: list[Path], *, jobs: int) -> object:
        asked.append(jobs)
        return verify_sets(folders)

    monkeypatch.setattr("esebcli.verify.verify_sets", noted)
    with pytest.raises(SystemExit) as exit_:
        main(["verify", *option, str(full)])
    assert exit_.value.code == 0 and asked == [jobs]


def test_no_process_at_all_is_refused(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["verify", "--jobs", "0", str(full)])
    assert exit_.value.code == 2 and "--jobs" in capsys.readouterr().err
