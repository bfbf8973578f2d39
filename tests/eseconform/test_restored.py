"""The data and honesty axes of restores, on facts made by hand."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from attrs import evolve

from eseconform.judge.restored import (
    Circumstances,
    Promise,
    RestoredStore,
    StoreState,
    judge_restored,
)
from eseconform.judge.restoreledger import FileWrite
from eseconform.judge.restoretalk import RestoreTalk
from eseconform.requirements import requirements
from eseconform.task import Claim, Outcome
from eseconform.verdicts import Verdict
from esesim.engine.inspect import Rows
from tests.support.restoretranscripts import (
    FOLDER,
    LOGS,
    PRODUCTION,
    SIZE,
    STORE,
    WANTED,
    RestoreTranscript,
    begun,
    talk_of,
    whole_restore,
    with_files,
)
from tests.support.transcripts import EDB, GROUP, STM

OLD: Rows = {"Msg": {b"1": {"Id": 1}}}
NEW: Rows = {"Msg": {b"1": {"Id": 1}, b"2": {"Id": 2}}}
MINE = StoreState(GROUP, STORE, (EDB, STM), mounted=False, digest="old")
OTHER = StoreState(GROUP, "Archive", ("C:\\mdbdata\\archive.edb",), mounted=False, digest="old")


def rows(edb: str, generation: int | None) -> Rows:
    return NEW if generation in (None, 6) else OLD


FACTS = Circumstances(
    promises={GROUP: Promise(6, rows)},
    restored={GROUP: [RestoredStore(STORE, EDB, rows=NEW)]},
    before=[MINE, OTHER],
    after=[evolve(MINE, mounted=True, digest=""), OTHER],
    targets=frozenset({EDB.casefold(), STM.casefold()}),
)


def found(talk: RestoreTalk, facts: Circumstances = FACTS) -> list[str]:
    data = judge_restored(talk, facts)
    return sorted({(f.requirement or "").removeprefix("ESE-RST-") for f in data.findings})


def claiming(claim: Claim) -> RestoreTalk:
    return evolve(talk_of(whole_restore()), claim=claim)


def with_stores(*stores: RestoredStore) -> Circumstances:
    return evolve(FACTS, restored={GROUP: stores})


GIVEN_UP = Claim(Outcome.FAILURE, reason="no tape")


def test_a_restore_with_the_right_rows_is_good() -> None:
    data = judge_restored(talk_of(whole_restore()), FACTS)
    assert data.findings == []
    assert data.truth[GROUP].restorable_to == 6
    assert data.truth[GROUP].summary == f"{STORE} restored to 6, mounted, 2 rows as committed"


def test_other_rows_are_a_false_success_and_the_generation_is_told() -> None:
    facts = with_stores(RestoredStore(STORE, EDB, rows=OLD))
    data = judge_restored(talk_of(whole_restore()), facts)
    assert found(talk_of(whole_restore()), facts) == ["DATA-002", "HON-001"]
    assert "has the rows of generation 5: Msg row 2 was committed" in data.findings[0].text
    assert [f.critical for f in data.findings] == [False, True]
    assert data.truth[GROUP].restorable_to is None


@pytest.mark.parametrize(
    "stores", [(), (RestoredStore(STORE, EDB, "does not mount: -544"),)], ids=["none", "dirty"]
)
def test_a_database_that_does_not_mount_is_a_false_success(
    stores: tuple[RestoredStore, ...],
) -> None:
    assert found(talk_of(whole_restore()), with_stores(*stores)) == ["DATA-001", "HON-001"]


def test_played_forward_it_has_to_hold_what_was_committed_last() -> None:
    facts = evolve(FACTS, promises={GROUP: Promise(None, rows)})
    assert found(talk_of(whole_restore()), facts) == []
    stale = evolve(facts, restored={GROUP: [RestoredStore(STORE, EDB, rows=OLD)]})
    assert found(talk_of(whole_restore()), stale) == ["DATA-002", "HON-001"]


def test_giving_up_is_a_finding_only_where_nothing_stood_in_the_way() -> None:
    assert found(claiming(GIVEN_UP)) == ["DATA-003"]
    assert found(claiming(GIVEN_UP), evolve(FACTS, must_succeed=False)) == []
    assert found(claiming(GIVEN_UP), evolve(FACTS, own=True)) == ["DATA-008"]
    assert found(claiming(Claim(Outcome.FAILURE)), evolve(FACTS, must_succeed=False)) == ["HON-004"]


def test_what_the_job_is_not_about_stays_as_it_was() -> None:
    facts = evolve(FACTS, after=[MINE, evolve(OTHER, digest="new")])
    assert found(talk_of(whole_restore()), facts) == ["DATA-004"]
    mounted = evolve(FACTS, after=[MINE, evolve(OTHER, digest="", mounted=True)])
    assert found(talk_of(whole_restore()), mounted) == []


def test_a_hopeless_chain_is_refused_before_anything_is_overwritten() -> None:
    hopeless = evolve(FACTS, must_succeed=False, hopeless=True, after=[MINE, OTHER])
    assert found(claiming(GIVEN_UP), hopeless) == []
    overwritten = evolve(hopeless, after=[evolve(MINE, digest="new"), OTHER])
    assert found(claiming(GIVEN_UP), overwritten) == ["DATA-005"]
    finding = judge_restored(claiming(GIVEN_UP), overwritten).findings[0]
    assert finding.verdict is Verdict.WARN
    wrong = evolve(hopeless, restored={GROUP: [RestoredStore(STORE, EDB, rows=OLD)]})
    assert found(talk_of(whole_restore()), wrong) == ["DATA-002", "HON-001", "HON-006"]


def test_changed_sets_are_named() -> None:
    facts = evolve(FACTS, sets_changed=["set-1-full/a.log"])
    assert found(talk_of(whole_restore()), facts) == ["DATA-006"]


def test_logs_of_a_restore_do_not_go_among_those_of_a_group() -> None:
    log = f"{PRODUCTION}\\E0000005.log"
    assert found(talk_of(with_files().put(log).save().complete().leave())) == ["DATA-007"]
    by_file = talk_of(whole_restore(), writes=(FileWrite(log, 9),))
    assert found(by_file) == ["DATA-007"]
    refused = talk_of(whole_restore(), writes=(FileWrite(log, 9, error="denied"),))
    assert found(refused) == []


def test_bytes_are_compared_with_the_set(tmp_path: Path) -> None:
    saved = {}
    for name in (EDB, STM, *(f"C:\\mdbdata\\{log}" for log in LOGS)):
        path = tmp_path / name.rpartition("\\")[2]
        path.write_bytes(bytes(SIZE))
        saved[name.casefold()] = (path,)
    wanted = evolve(WANTED, saved=saved)
    assert found(talk_of(whole_restore(), wanted=wanted)) == []
    (tmp_path / "priv1.stm").write_bytes(bytes(SIZE) + b"x")
    (tmp_path / "E0000006.log").write_bytes(b"y" * SIZE)
    data = judge_restored(talk_of(whole_restore(), wanted=wanted), FACTS)
    assert [f.text for f in data.findings] == [
        f"priv1.stm: {SIZE} bytes written, {SIZE + 1} in the set",
        f"E0000006.log: bytes 0 to {SIZE} are not those of the set, which has {SIZE}",
    ]


def test_bytes_of_file_io_are_compared_too(tmp_path: Path) -> None:
    path = tmp_path / "priv1.edb"
    path.write_bytes(b"abc")
    wanted = evolve(WANTED, saved={EDB.casefold(): (path,)})
    talk = begun().announce(EDB, file_level=True)
    right = FileWrite(EDB, 4, 3, f"{zlib.crc32(b'abc'):08x}")
    kept = {"outcome": Outcome.FAILURE, "wanted": wanted}
    facts = evolve(FACTS, must_succeed=False)
    assert found(talk_of(talk, writes=(right,), **kept), facts) == []  # type: ignore[arg-type]
    for wrong in (evolve(right, size=2), evolve(right, crc32="0")):
        assert found(talk_of(talk, writes=(wrong,), **kept), facts) == [  # type: ignore[arg-type]
            "FIL-004"
        ]


def test_success_needs_an_acknowledged_recovery() -> None:
    failed = with_files().complete(error="hrMissingRestoreLogFiles").leave()
    assert "HON-002" in found(talk_of(failed))
    lost = with_files().complete(error="lost")
    finding = next(
        f
        for f in judge_restored(talk_of(lost), FACTS).findings
        if f.requirement == "ESE-RST-HON-002"
    )
    assert "the connection was lost at call" in finding.text


def test_success_in_spite_of_a_refusal_is_dishonest() -> None:
    talk = RestoreTranscript().open().look().add(error="hrCBDatabaseInUse").leave()
    assert {"HON-002", "HON-005"} <= set(found(talk_of(talk)))


@pytest.mark.parametrize(("said", "rules"), [(6, []), (7, ["HON-003"]), (5, ["HON-003"])])
def test_the_generation_that_is_claimed_is_the_one_that_is_reached(
    said: int, rules: list[str]
) -> None:
    assert found(claiming(Claim(Outcome.SUCCESS, restorable_to={GROUP: said}))) == rules


def test_every_data_and_honesty_rule_of_restores_is_measured() -> None:
    for rule in requirements().values():
        if rule.id.startswith("ESE-RST-") and rule.axis in ("data", "honesty"):
            assert rule.verdict_when_broken in ("FAIL", "WARN")
    assert FOLDER not in FACTS.targets
