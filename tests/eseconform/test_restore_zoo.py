"""The zoo's restore clients: every mutant caught on its axis, no correct client blamed."""

from __future__ import annotations

import pytest

from eseconform.cases import Case, catalogue
from eseconform.sut import load_sut
from eseconform.task import Capability
from eseconform.verdicts import Axis, Verdict
from eseconform.zoo.matrix import left_out, run_row
from eseconform.zoo.restorers import RESTORE_CONTROL, RESTORE_MUTANTS, RESTORE_ODD
from eseconform.zoo.specimen import Specimen
from tests.support.conformance import case

pytestmark = pytest.mark.uncovered

CATCHING = {
    "restore_increments_first": "restore-chain",
    "restore_announces_no_logs": "restore-file-level",
    "restore_one_folder_for_all": "restore-two-groups",
    "restore_overwrites_mounted_database": "restore-file-level-in-use",
    "restore_closes_unsaved": "restore-part-of-chain",
    "restore_forgets_patch_files": "restore-exchange-2000-rtm",
    "restore_forgets_abort": "restore-in-use",
    "restore_insists_on_handle": "restore-file-level",
    "restore_always_plays_forward": "restore-over-existing",
    "restore_mixes_groups": "restore-two-groups",
    "restore_splits_sets": "restore-part-of-chain",
    "restore_loses_patience": "restore-in-use",
    "restore_retries_blindly": "restore-write-middle-error",
    "restore_success_after_failed_complete": "restore-complete-error",
    "restore_success_after_lost_connection": "restore-complete-drop",
    "restores_what_is_there": "restore-lost-log-of-increment",
    "restores_damaged_set": "restore-damaged-page",
    "restore_only_first_database": "restore-two-stores",
    "restore_only_first_group": "restore-two-groups",
    "restore_only_full_set": "restore-part-of-chain",
    "restore_swaps_destinations": "restore-two-stores",
    "restore_ignores_refusal": "restore-one-not-overwritable",
    "restores_every_database": "restore-one-of-two-at-rest",
    "restore_ignores_target": "restore-elsewhere",
    "restore_forgets_play_forward": "play-forward",
    "restore_always_succeeds": "restore-in-use",
    "restore_gives_up_quietly": "restore-in-use",
}
"""A case that catches a mutant, where restore-full does not."""
ODD_CASES = (
    *("restore-mounted", "restore-part-of-chain", "restore-two-stores", "restore-parallel"),
    *("restore-file-level-chain", "restore-in-use", "play-forward-running", "restore-elsewhere"),
    *("restore-write-middle-error", "restore-crash-at-files", "restore-recovery-group"),
)
"""What the odd clients are put before here; the whole of it in the kill matrix."""


def restore_cases() -> list[Case]:
    return [c for c in catalogue().cases.values() if Capability.RESTORE in c.needs]


def test_the_zoo_has_its_restorers() -> None:
    assert len(RESTORE_MUTANTS) >= 15
    assert len(RESTORE_ODD) >= 6
    assert {specimen.axis for specimen in RESTORE_MUTANTS} == set(Axis)
    for specimen in (RESTORE_CONTROL, *RESTORE_MUTANTS, *RESTORE_ODD):
        assert load_sut(specimen.sut).factory is specimen
        assert specimen.explanation.endswith(".")
        assert Capability.RESTORE in specimen.capabilities


@pytest.mark.parametrize("specimen", RESTORE_MUTANTS, ids=lambda specimen: specimen.name)
def test_every_mutant_is_caught_on_its_axis(specimen: Specimen) -> None:
    # One case that does; `eseconform selftest` runs the whole matrix.
    row = run_row(specimen, [case(CATCHING.get(specimen.name, "restore-full"))], seed=1)
    assert row.problem == ""
    assert row.sentence


@pytest.mark.slow
@pytest.mark.parametrize("specimen", RESTORE_ODD, ids=lambda specimen: specimen.name)
def test_odd_clients_pass(specimen: Specimen) -> None:
    assert run_row(specimen, [case(name) for name in ODD_CASES], seed=1).problem == ""


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted({c.family for c in restore_cases()}))
def test_the_control_passes(family: str) -> None:
    cases = [c for c in restore_cases() if c.family == family]
    assert run_row(RESTORE_CONTROL, cases, seed=1).problem == ""


@pytest.mark.parametrize("seed", [2, 3])
def test_the_control_passes_with_other_seeds(seed: int) -> None:
    cases = [case("restore-chain"), case("restore-two-groups"), case("restore-elsewhere")]
    assert run_row(RESTORE_CONTROL, cases, seed=seed).problem == ""


def test_clients_are_put_before_the_cases_that_they_are_for() -> None:
    mutant, odd = RESTORE_MUTANTS[0], RESTORE_ODD[0]
    assert not mutant.meets(case("chain"))
    assert mutant.meets(case("restore-chain"))
    assert RESTORE_CONTROL.meets(case("chain"))
    assert left_out(case("chain")).verdict is Verdict.SKIP
    assert odd.meets(case("restore-add-error"))
    names = next(s for s in RESTORE_ODD if s.name == "restore_names_destinations")
    assert not names.meets(case("restore-add-error"))


@pytest.mark.matrix
@pytest.mark.parametrize("specimen", RESTORE_ODD, ids=lambda specimen: specimen.name)
def test_no_correct_client_is_blamed(specimen: Specimen) -> None:
    assert run_row(specimen, restore_cases(), seed=1).problem == ""


@pytest.mark.matrix
@pytest.mark.parametrize("one", restore_cases(), ids=lambda one: one.id)
def test_every_case_catches_a_mutant(one: Case) -> None:
    assert any(run_row(specimen, [one], seed=1).caught_by for specimen in RESTORE_MUTANTS[::-1])
