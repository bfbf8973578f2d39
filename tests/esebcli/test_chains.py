"""How far chains of sets can be restored: a table of situations, and the words for each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from attrs import define, evolve

from esebcli.chains import DatabaseReach, Stop
from esebcli.job import BackupJob, BackupRequest
from esebcli.manifest import Kind, Manifest, State
from esebcli.reports import Report
from esebcli.verify import verify_sets
from tests.esebcli.support_fake import SERVER, FakeServer, Group
from tests.esebcli.support_files import LogStream
from tests.esebcli.support_jobs import flip, manifest_of, rehash, rewrite_manifest

FIRST = "First Storage Group"
PRIV, PUB = "Store priv1", "Store pub1"


@define
class Shelf:
    """Makes sets of one group of the scripted server, and damages them."""

    server: FakeServer
    folder: Path

    @property
    def group(self) -> Group:
        return self.server.groups[0]

    def save(
        self,
        name: str,
        kind: Kind = Kind.FULL,
        *,
        logs: int = 3,
        databases: tuple[str, ...] = (),
        previous: str | None = None,
    ) -> None:
        """Let some logs be written, then back up."""
        self.group.work(logs)
        request = BackupRequest(
            SERVER,
            [FIRST],
            kind,
            self.folder / name,
            previous=self.folder / previous if previous else None,
            databases=databases,
        )
        assert BackupJob(lambda: self.server.api, request).run().ok

    def file(self, name: str, file: str) -> Path:
        return self.folder / name / FIRST / file

    def restart_stream(self, number: int, current: int, started: int = 0) -> None:
        """The group was restored: its logs are of another stream now."""
        stores = self.group.stores
        stream = evolve(LogStream.numbered(number), started=started)
        group = Group(FIRST, stream, stores, first=current - 2, current=current)
        self.server.groups = (evolve(group, checkpoint=current - 1), *self.server.groups[1:])

    def verify(self, *names: str) -> Report:
        report = verify_sets([self.folder / name for name in names])
        assert len(report.chains) == 1
        return report


@pytest.fixture
def shelf(server: FakeServer, tmp_path: Path) -> Shelf:
    return Shelf(server, tmp_path)


def by_name(report: Report) -> Mapping[str, DatabaseReach]:
    return {reach.name: reach for reach in report.chains[0].reach.databases}


Make = Callable[[Shelf], tuple[str, ...]]


def _whole(shelf: Shelf) -> tuple[str, ...]:
    """Full to 9, incrementals to 15 and 19; the first one lets go of the logs up to 12."""
    shelf.save("full")
    shelf.save("inc1", Kind.INCREMENTAL, previous="full", logs=5)
    shelf.save("inc2", Kind.INCREMENTAL, previous="inc1")
    return "full", "inc1", "inc2"


def _without_the_middle(shelf: Shelf) -> tuple[str, ...]:
    _whole(shelf)
    return "full", "inc2"


def _without_the_middle_and_no_link(shelf: Shelf) -> tuple[str, ...]:
    _whole(shelf)
    rewrite_manifest(shelf.folder / "inc2", lambda m: evolve(m, previous=None))
    return "full", "inc2"


def _damaged_log(shelf: Shelf) -> tuple[str, ...]:
    names = _whole(shelf)
    flip(shelf.file("inc1", "E000000B.log"), 4200)
    return names


def _log_gone_from_its_set(shelf: Shelf) -> tuple[str, ...]:
    names = _whole(shelf)
    shelf.file("inc1", "E000000B.log").unlink()
    return names


def _differential_alone(shelf: Shelf) -> tuple[str, ...]:
    shelf.save("full")
    shelf.save("inc", Kind.INCREMENTAL, logs=5)
    shelf.save("diff", Kind.DIFFERENTIAL)
    return "full", "diff"


def _differential_with_its_incremental(shelf: Shelf) -> tuple[str, ...]:
    return *_differential_alone(shelf), "inc"


def _no_full(shelf: Shelf) -> tuple[str, ...]:
    _whole(shelf)
    return "inc1", "inc2"


def _incomplete_full(shelf: Shelf) -> tuple[str, ...]:
    names = _whole(shelf)
    rewrite_manifest(
        shelf.folder / "full",
        lambda m: evolve(m, groups=(evolve(m.groups[0], state=State.INCOMPLETE),)),
    )
    return names


def _damaged_image(shelf: Shelf) -> tuple[str, ...]:
    names = _whole(shelf)
    flip(shelf.file("full", "priv1.stm"), 100)
    return names


def _another_stream(shelf: Shelf) -> tuple[str, ...]:
    shelf.save("full")
    shelf.restart_stream(7, 11)
    shelf.save("inc", Kind.INCREMENTAL, logs=2)
    return "full", "inc"


def _broken_link(shelf: Shelf) -> tuple[str, ...]:
    names = _whole(shelf)
    stream = shelf.group.stream
    # All logs of the incremental are those of a history that went another way after log 9.
    for file in manifest_of(shelf.folder / "inc1").groups[0].files:
        generation = int(file.name[3:8], 16)
        if generation == 10:
            data = stream.log(10, previous=stream.created(3))
            (shelf.folder / "inc1" / FIRST / file.name).write_bytes(data)
        elif generation < 10:
            (shelf.folder / "inc1" / FIRST / file.name).unlink()

    def drop(manifest: Manifest) -> Manifest:
        group = manifest.groups[0]
        assert group.logs is not None
        files = tuple(f for f in group.files if int(f.name[3:8], 16) >= 10)
        return evolve(
            manifest, groups=(evolve(group, files=files, logs=evolve(group.logs, low=10)),)
        )

    rewrite_manifest(shelf.folder / "inc1", drop)
    rehash(shelf.folder / "inc1")
    return names[:2]


def _log_of_the_full_gone(shelf: Shelf) -> tuple[str, ...]:
    shelf.save("full")
    shelf.file("full", "E0000008.log").unlink()
    return ("full",)


# Situation: what of the group can be restored, why not more, and the sentence for its mailboxes.
SITUATIONS: list[tuple[Make, int | None, Stop, str]] = [
    (_whole, 19, Stop.END, "restorable to log generation 19 (0x13) from full, the last that was"),
    (
        _without_the_middle,
        9,
        Stop.MISSING_SET,
        "restorable to log generation 9 (0x9) from full and no further, because logs 10 to 12 are "
        "in none of the sets: inc2 (incremental) starts with log 13, and set {inc1}, which it "
        "continues, was not given",
    ),
    (
        _without_the_middle_and_no_link,
        9,
        Stop.MISSING_SET,
        "starts with log 13, and the backup before it was not given",
    ),
    (
        _damaged_log,
        10,
        Stop.DAMAGE,
        "restorable to log generation 10 (0xA) from full and no further, because log 11 in inc1 "
        "is damaged or missing",
    ),
    (_log_gone_from_its_set, 10, Stop.DAMAGE, "because log 11 in inc1 is damaged or missing"),
    (
        _differential_alone,
        9,
        Stop.MISSING_SET,
        "because logs 10 to 12 are in none of the sets: diff (differential) starts with log 13, "
        "and the incremental or full made between, which a differential needs, was not given",
    ),
    (_differential_with_its_incremental, 19, Stop.END, "restorable to log generation 19"),
    (
        _incomplete_full,
        None,
        Stop.NO_IMAGE,
        "not restorable, because no set holds a usable image of it (the backup in full is "
        "incomplete)",
    ),
    (
        _damaged_image,
        None,
        Stop.NO_IMAGE,
        "not restorable, because no set holds a usable image of it (its image in full is damaged "
        "or incomplete)",
    ),
    (
        _another_stream,
        9,
        Stop.OTHER_STREAM,
        "and no further, because log 10 in inc can't follow: it belongs to another log stream "
        "(the group was restored or made anew between)",
    ),
    (
        _broken_link,
        9,
        Stop.BROKEN_LINK,
        "because log 10 in inc1 can't follow: it does not continue log 9 (creation times differ)",
    ),
    (
        _log_of_the_full_gone,
        None,
        Stop.DAMAGE,
        "not restorable, because its image in full needs the logs 7 to 9, and log 8 in full is "
        "damaged or missing",
    ),
]


@pytest.mark.parametrize(
    ("make", "restorable_to", "stop", "sentence"),
    SITUATIONS,
    ids=[make.__name__[1:] for make, *_ in SITUATIONS],
)
def test_situations(
    shelf: Shelf, make: Make, restorable_to: int | None, stop: Stop, sentence: str
) -> None:
    report = shelf.verify(*make(shelf))
    reach = by_name(report)[PRIV]
    assert (reach.restorable_to, reach.stop) == (restorable_to, stop)
    if "{inc1}" in sentence:
        sentence = sentence.format(inc1=manifest_of(shelf.folder / "inc1").set_id)
    assert sentence in reach.sentence and "\n" not in reach.sentence
    assert report.restorable_to(FIRST) == restorable_to
    assert report.restorable_to(FIRST, PRIV) == restorable_to
    assert report.ok is (stop is Stop.END)


def test_every_kind_of_reason_is_in_the_table_or_below() -> None:
    shown = {stop for _, _, stop, _ in SITUATIONS}
    assert {*shown, Stop.GAP} == set(Stop)  # GAP: test_a_gap_before_a_later_full


def test_logs_alone(shelf: Shelf) -> None:
    report = shelf.verify(*_no_full(shelf))
    reach = report.chains[0].reach
    assert reach.databases == () and reach.restorable_to is None
    assert reach.reason == (
        "none of the sets holds a database of this group; give the full backup too"
    )


def test_a_damaged_image_is_no_business_of_the_other_databases(shelf: Shelf) -> None:
    report = shelf.verify(*_damaged_image(shelf))
    assert report.restorable_to(FIRST, PUB) == 19
    assert report.restorable_to(FIRST) is None and not report.ok


def test_a_gap_before_a_later_full(shelf: Shelf) -> None:
    """The older image of a database that the later, partial full does not hold."""
    shelf.save("full")
    shelf.save("partial", databases=(PUB,), logs=6)
    report = shelf.verify("full", "partial")
    reaches = by_name(report)
    assert reaches[PUB].restorable_to == 16 and reaches[PUB].base == "partial"
    assert (reaches[PRIV].restorable_to, reaches[PRIV].stop) == (9, Stop.GAP)
    assert reaches[PRIV].reason == "logs 10 to 13 are in none of the sets"
    assert report.restorable_to(FIRST) == 9 and not report.ok
    # An incremental made before the partial full joins them.
    assert report.chains[0].reach.base is None


def test_a_partial_full_joins_the_chain_of_an_older_full(shelf: Shelf) -> None:
    shelf.save("full")
    shelf.save("inc", Kind.INCREMENTAL)
    shelf.save("partial", databases=(PUB,), logs=2)
    report = shelf.verify("full", "inc", "partial")
    assert report.ok and report.restorable_to(FIRST) == 16
    assert {name: reach.base for name, reach in by_name(report).items()} == {
        PRIV: "full",
        PUB: "partial",
    }


def test_a_partial_full_alone(shelf: Shelf) -> None:
    shelf.save("partial", databases=(PUB,))
    report = shelf.verify("partial")
    assert report.ok and report.restorable_to(FIRST) == 9
    assert by_name(report)[PRIV].sentence == (
        "not restorable, because no set holds a usable image of it (partial is partial and was "
        "made without it)"
    )


def test_a_database_that_was_never_mounted(shelf: Shelf) -> None:
    stores = shelf.group.stores
    shelf.group.stores = (stores[0], evolve(stores[1], mounted=False))
    shelf.save("full")
    report = shelf.verify("full")
    assert report.ok and report.restorable_to(FIRST) == 9
    assert "it was not mounted when full was made" in by_name(report)[PUB].sentence
    assert report.restorable_to(FIRST, PUB) is None


@pytest.mark.parametrize(
    ("current", "started", "base", "to"),
    [
        (6, 90_000, "new", 7),
        (40, 90_000, "new", 41),
        (40, -90_000, "old", 9),
    ],
    ids=["newer, lower numbers", "newer, higher numbers", "older, higher numbers"],
)
def test_of_two_streams_the_newer_one_is_used(
    shelf: Shelf, current: int, started: int, base: str, to: int
) -> None:
    """Generations of two streams say nothing about each other; times do."""
    shelf.save("old")
    shelf.restart_stream(7, current, started)
    shelf.save("new", logs=1)
    report = shelf.verify("old", "new")
    assert report.ok
    assert report.chains[0].reach.base == base and report.restorable_to(FIRST) == to


def test_equal_generations_of_two_streams_are_no_twins(shelf: Shelf) -> None:
    shelf.save("old")
    shelf.restart_stream(7, 7)
    shelf.save("new", logs=1)
    report = shelf.verify("old", "new")
    assert report.chains[0].reach.findings == ()


def test_an_image_whose_logs_are_only_in_another_set(shelf: Shelf) -> None:
    shelf.save("full")
    shutil.copytree(shelf.folder / "full", shelf.folder / "copy")
    for file in ("E0000007.log", "E0000008.log"):
        shelf.file("full", file).unlink()
    flip(shelf.file("copy", "priv1.edb"), 20_000)
    flip(shelf.file("copy", "pub1.edb"), 20_000)
    report = shelf.verify("full", "copy")
    assert not report.ok and report.restorable_to(FIRST) == 9
    assert report.chains[0].reach.base == "full"
