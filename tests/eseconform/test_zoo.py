"""The zoo checks the harness: every mutant caught on its axis, no correct client blamed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from attrs import evolve

from eseconform import zoo
from eseconform.cases import Case
from eseconform.report.killmatrix import kill_matrix_markdown
from eseconform.report.table import console_for
from eseconform.selftest import DEMO_MUTANTS, matrix_cases, run_selftest
from eseconform.sut import load_sut
from eseconform.verdicts import Axis, ExitCode
from eseconform.zoo.matrix import Matrix, run_matrix, run_row
from eseconform.zoo.mutants import DropsLog
from eseconform.zoo.reference import ReferenceClient, log_generation
from eseconform.zoo.specimens import CONTROL, MUTANTS, ODD, SPECIMENS, Specimen
from tests.support.conformance import case

QUICK = [case("truncation")]


def test_the_zoo_has_its_inhabitants() -> None:
    assert len(MUTANTS) >= 25
    assert len(ODD) >= 8
    assert len({specimen.name for specimen in SPECIMENS}) == len(SPECIMENS)
    assert all(specimen.axis is not None for specimen in MUTANTS)
    assert {specimen.axis for specimen in MUTANTS} == set(Axis)


def test_every_inhabitant_is_a_system_under_test() -> None:
    for specimen in SPECIMENS:
        assert load_sut(specimen.sut).factory is specimen
    with pytest.raises(AttributeError, match="no client named 'unicorn'"):
        zoo.__getattr__("unicorn")


def test_log_names_are_hexadecimal() -> None:
    assert log_generation("C:\\mdbdata\\E0000012.log") == 0x12
    assert log_generation("C:\\mdbdata\\E00.log") is None
    assert log_generation("C:\\mdbdata\\E00ghijk.log") is None
    assert log_generation("C:\\mdbdata\\priv1.edb") is None


# --- the matrix itself must not be gullible


def test_a_mutant_without_a_bug_survives_and_is_reported() -> None:
    fake = Specimen(ReferenceClient, Axis.DATA, "Claims to have a bug.")
    row = run_row(fake, QUICK, seed=1)
    assert row.problem == "survives: no case catches it"


def test_a_mutant_caught_on_another_axis_is_reported() -> None:
    misfiled = Specimen(DropsLog, Axis.TEARDOWN, "Filed under the wrong axis.")
    row = run_row(misfiled, QUICK, seed=1)
    assert row.problem == "is caught, but never on the axis teardown"


def test_a_correct_client_that_is_blamed_is_reported() -> None:
    wronged = Specimen(DropsLog, None, "Said to be correct.")
    row = run_row(wronged, QUICK, seed=1)
    assert row.problem == "a correct client is blamed in truncation"


def test_a_case_that_catches_nothing_is_reported() -> None:
    matrix = Matrix(tuple(QUICK), (run_row(CONTROL, QUICK, seed=1),))
    assert matrix.problems() == ["case truncation: catches no mutant"]
    assert matrix.problems(every_case_must_catch=False) == []


def test_problems_of_the_harness_fail_the_selftest(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = [evolve(CONTROL, axis=Axis.DATA)]
    monkeypatch.setattr("eseconform.selftest.SPECIMENS", fake)
    monkeypatch.setattr("eseconform.selftest.matrix_cases", lambda: QUICK)
    out = io.StringIO()
    code = run_selftest(console_for(out), demo=False, seed=1, processes=1, out=None)
    assert code is ExitCode.OUR_ERROR
    assert "survives" in out.getvalue()


def test_other_processes_give_the_same_matrix() -> None:
    two = [CONTROL, MUTANTS[0]]
    alone = run_matrix(QUICK, seed=1, specimens=two)
    shared = run_matrix(QUICK, seed=1, specimens=two, processes=2)
    assert kill_matrix_markdown(alone) == kill_matrix_markdown(shared)


# --- the real thing


def test_the_demo_explains_three_mutants(tmp_path: Path) -> None:
    out = io.StringIO()
    code = run_selftest(console_for(out), demo=True, seed=1, processes=1, out=tmp_path)
    assert code is ExitCode.OK
    text = out.getvalue()
    assert "3 of 3 broken clients caught on the right axis" in text
    assert all(name in text for name in DEMO_MUTANTS)
    assert (tmp_path / "kill-matrix.md").is_file()


CATCHING = {
    "ignores_read_error": "bad-page",
    "leaves_group_locked": "bad-page",
    "claims_success_after_lost_connection": "drop-at-end",
    "overwrites_same_name": "names",
    "skips_group_silently": "bad-page",
    "always_success": "bad-page",
    "success_after_failed_read": "bad-page",
    "ends_failure_as_success": "bad-page",
    "ignores_end_error": "end-fails",
    "goes_on_after_error": "bad-page",
}
"""A case that catches a mutant, where chain-of-two-groups does not."""


@pytest.mark.parametrize("specimen", MUTANTS, ids=lambda specimen: specimen.name)
def test_every_mutant_is_caught_on_its_axis(specimen: Specimen) -> None:
    # One case that does; `eseconform selftest` runs the whole matrix.
    row = run_row(specimen, [case(CATCHING.get(specimen.name, "chain-of-two-groups"))], seed=1)
    assert row.problem == ""
    assert row.sentence


@pytest.mark.parametrize("specimen", ODD, ids=lambda specimen: specimen.name)
def test_an_odd_client_passes_a_chain(specimen: Specimen) -> None:
    assert run_row(specimen, [case("chain-of-two-groups")], seed=1).problem == ""


@pytest.mark.matrix
@pytest.mark.parametrize("specimen", [CONTROL, *ODD], ids=lambda specimen: specimen.name)
def test_no_correct_client_is_blamed(specimen: Specimen) -> None:
    assert run_row(specimen, matrix_cases(), seed=1).problem == ""


@pytest.mark.matrix
@pytest.mark.parametrize("one", matrix_cases(), ids=lambda one: one.id)
def test_every_case_catches_a_mutant(one: Case) -> None:
    assert any(run_row(specimen, [one], seed=1).caught_by for specimen in MUTANTS)


@pytest.mark.parametrize("seed", [2, 3])
def test_the_control_passes_with_other_seeds(seed: int) -> None:
    cases = [case("chain-of-two-groups"), case("streaming-files"), case("drop-at-truncation")]
    assert run_row(CONTROL, cases, seed=seed).problem == ""


def test_the_page_names_every_client_and_case() -> None:
    row = run_row(MUTANTS[0], QUICK, seed=1)
    page = kill_matrix_markdown(Matrix(tuple(QUICK), (row, run_row(CONTROL, QUICK, seed=1))))
    assert "| SSF | skips_streaming_file |" in page
    assert "| truncation | " in page
    assert "**D**" in page
    assert "1 of 1" in page
    assert "None." in page
