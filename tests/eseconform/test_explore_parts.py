"""The parts of exploration: scenarios as text, snapshots of servers, the law, the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from eseback.errors import JetErr
from eseconform.cli import run
from eseconform.errors import UsageError
from eseconform.explore import (
    Act,
    Divergence,
    Fault,
    Player,
    Scenario,
    Shape,
    Step,
    play,
    shrink,
)
from eseconform.explore.digest import digest
from eseconform.explore.player import next_by_the_book
from eseconform.explore.steps import unpack_step
from esesim.server.snapshot import Snapshot
from esesim.volume import MemoryVolume
from tests.support.brokenservers import BreaksDown, WrongError

FULL = Scenario(
    Shape(2, 2, 1, True),
    (Fault(0, "backup_setup", 2, True), Fault(1, "backup_end", jet=int(JetErr.DISK_IO))),
    (Step(Act.PREPARE), Step(Act.SETUP_FULL, 0, 1), Step(Act.OPEN_EDB, 0, 0, 1)),
)


def test_scenarios_survive_as_text() -> None:
    assert Scenario.from_toml(FULL.to_toml()) == FULL
    assert Scenario.from_dict(FULL.to_dict()) == FULL


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps = [", "no scenario"),
        ("", "no scenario: 'steps'"),
        ("steps = ['dance 0 0 0']", "'dance 0 0 0'.*reads 'open_edb 0 0 1'"),
        ("steps = ['read 3 0 0']", "out of range"),
        ("steps = ['read 0 0']", "'read 0 0'"),
        ("steps = []\n[shape]\ngroups = 3", "groups and stores are 1 or 2"),
        ("steps = []\n[shape]\ncolour = 3", "no scenario.*colour"),
        ("steps = []\n[[fault]]\nsession = 0\nmethod = 'lunch'", "no such call"),
    ],
)
def test_nonsense_is_no_scenario(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Scenario.from_toml(text)


def test_every_act_can_be_written_and_read() -> None:
    for act in Act:
        assert unpack_step(Step(act, 1, 1, 1).pack()) == Step(act, 1, 1, 1)
        assert act.value in str(Step(act))


def book(player: Player, *, full: bool, who: int = 0) -> None:
    """One backup of the first group by the book."""
    while True:
        step = next_by_the_book(player, who, 0, full=full, truncate=True)
        answer, _ = player.play(step)
        assert not answer.hresult, step
        if step.act is Act.END_SUCCESS:
            return


@pytest.mark.parametrize("steps_per_call", [0, 1])
@pytest.mark.parametrize("who", [0, 1], ids=["whole files", "pieces"])
def test_a_chain_is_recovered_link_by_link(steps_per_call: int, who: int) -> None:
    player = Player(Shape(stores=2, steps_per_call=steps_per_call))
    for full in (True, False, False, True, False):
        book(player, full=full, who=who)
    assert player.seen["backup recovered"] == 5
    assert player.model.groups[0].backed_up_to.keys() == {0, 1}


def test_what_was_not_read_is_not_held_to_be_saved() -> None:
    player = Player(Shape())
    acts = (Act.PREPARE, Act.SETUP_FULL, Act.OPEN_EDB, Act.READ, Act.CLOSE, Act.LOG_LIST)
    for act in (*acts, Act.TRUNCATE, Act.END_SUCCESS):
        player.play(Step(act))
    assert player.seen["backup recovered"] == 0
    assert player.model.groups[0].backed_up_to == {}
    with_setup = Step(Act.SETUP_LOGS)
    assert player.play(with_setup)[0].jet == JetErr.MISSING_FULL_BACKUP


def test_logs_that_a_failed_backup_deleted_are_missed() -> None:
    player = Player(Shape(backed_up=True))
    player.stage.server.run_workload("G0", 400)
    player.stage.group(0).running.update_checkpoint()
    for act in (Act.PREPARE, Act.SETUP_LOGS, Act.LOG_LIST, Act.TRUNCATE, Act.END_ERROR):
        player.play(Step(act))
    player.play(Step(Act.SETUP_LOGS))
    assert player.play(Step(Act.LOG_LIST))[0].jet == JetErr.MISSING_FILE_TO_BACKUP


def test_faults_are_predicted() -> None:
    faults = (
        Fault(0, "backup_open_file", nth=1, after=True, jet=int(JetErr.DISK_IO)),
        Fault(0, "backup_end", nth=1),
    )
    player = Player(Shape(), faults)
    acts = (Act.PREPARE, Act.SETUP_FULL, Act.OPEN_EDB, Act.READ, Act.OPEN_EDB, Act.END)
    jets = [player.play(Step(act))[0].jet for act in acts]
    expected = [None, None, JetErr.DISK_IO, JetErr.INVALID_PARAMETER, JetErr.OUT_OF_MEMORY, None]
    assert jets == expected
    assert player.play(Step(Act.END))[0].lost
    assert not player.play(Step(Act.PREPARE))[0].lost  # over a new connection
    assert player.play(Step(Act.SETUP_FULL))[0].hresult == 0


def test_a_backup_that_the_client_does_not_know_of_is_its_own() -> None:
    faults = (Fault(0, "backup_setup", nth=2, after=True, jet=int(JetErr.DISK_IO)),)
    player = Player(Shape(groups=2, backed_up=True), faults)
    for step in (Step(Act.PREPARE), Step(Act.SETUP_LOGS), Step(Act.LOG_LIST), Step(Act.END_ERROR)):
        player.play(step)
    assert player.play(Step(Act.SETUP_LOGS, 0, 1))[0].jet == JetErr.DISK_IO
    book(player, full=False)
    assert player.stage.clients[0].taken.group == 1
    assert player.seen["backup recovered"] == 1


def test_what_is_no_answer_is_a_finding() -> None:
    with pytest.raises(Divergence, match="breaks the server: ZeroDivisionError"):
        play(Scenario(steps=(Step(Act.PREPARE),)), BreaksDown)


# -- snapshots


def test_a_snapshot_and_its_original_go_different_ways() -> None:
    player = Player(Shape(backed_up=True))
    for act in (Act.PREPARE, Act.SETUP_FULL, Act.OPEN_EDB, Act.READ):
        player.play(Step(act))
    snapshot, key = Snapshot(player), digest(player)
    files = contents(player)
    first = snapshot.restore()
    assert digest(first) == key
    for copy in (player, first):
        copy.play(Step(Act.READ_REST))
        copy.play(Step(Act.CLOSE))
        copy.stage.server.run_workload("G0", 200)
        copy.play(Step(Act.LOG_LIST))
        copy.play(Step(Act.END_SUCCESS))
        assert digest(copy) != key
        assert contents(copy) != files
    # Both made the same calls; what a third one finds has not been touched by either.
    assert contents(player) == contents(first)
    third = snapshot.restore()
    assert digest(third) == key
    assert contents(third) == files
    assert player.stage.server.groups[0].lock is not third.stage.server.groups[0].lock


def contents(player: Player) -> dict[str, bytes]:
    """All files of the first group."""
    volume = player.stage.server.volume
    assert isinstance(volume, MemoryVolume)
    folder = player.stage.group(0).running.files.directory
    found = {}
    for name in volume.list(folder):
        file = volume.open(f"{folder}/{name}")
        found[name] = file.read(0, file.size)
        file.close()
    return found


# -- shrinking and the commands


def test_shrinking_leaves_nothing_out_that_matters() -> None:
    acts = (Act.PREPARE, Act.SETUP_FULL, Act.OPEN_EDB, Act.READ, Act.CLOSE, Act.STOP, Act.READ)
    noise = (Step(Act.PREPARE, 2), Step(Act.SETUP_LOGS, 2, 1), *(Step(act, 1) for act in acts))
    bad = (Step(Act.END, 1), Step(Act.PREPARE, 1), Step(Act.SETUP_FULL, 1), Step(Act.TRUNCATE, 1))
    faults = (Fault(1, "backup_end", nth=4),)
    with pytest.raises(Divergence) as caught:
        play(Scenario(Shape(2, 2, 1, True), faults, (*noise, *bad)), WrongError)
    small = shrink(caught.value, WrongError).scenario
    assert small.shape == Shape()
    assert not small.faults
    assert [step.act for step in small.steps] == [Act.PREPARE, Act.SETUP_FULL, Act.TRUNCATE]


def test_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["enumerate", "--length", "2"]) == 0
    assert "1,024 sequences of 2 calls out of 32" in capsys.readouterr().out
    assert run(["fuzz", "--examples", "3", "--steps", "20", "--seed", "5"]) == 0
    first = capsys.readouterr().out
    assert "3 servers, 20 steps on each, seed 5" in first
    assert "no rule was broken" in first
    assert run(["fuzz", "--examples", "0"]) == 4
    assert run(["enumerate", "--length", "9"]) == 4


def test_a_found_mistake_is_written_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eseconform.explore.enumerate.enumerate_calls.__defaults__", defaults())
    assert run(["enumerate", "--length", "2", "--out", str(tmp_path / "out")]) == 1
    assert "client 0: truncate" in capsys.readouterr().out
    scenario = Scenario.from_toml((tmp_path / "out" / "repro.toml").read_text("utf-8"))
    assert scenario.to_test() == (tmp_path / "out" / "test_repro.py").read_text("utf-8")
    assert len(scenario.steps) == 3


def defaults() -> tuple[object, ...]:
    """The defaults of `enumerate_calls`, with a broken server."""
    from eseconform.explore.enumerate import ALPHABET, SMALLEST

    return SMALLEST, ALPHABET, WrongError
