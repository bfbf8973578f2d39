"""The zoo checks the harness: every mutant caught on its axis, no correct client blamed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from attrs import evolve

from eseconform import zoo
from eseconform.report.killmatrix import CLIENT_PAGE, client_page
from eseconform.report.killpage import kill_markdown
from eseconform.report.table import console_for
from eseconform.selftest import DEMO_MUTANTS, matrix_cases, run_selftest
from eseconform.sut import load_sut
from eseconform.verdicts import Axis, ExitCode, Verdict
from eseconform.zoo.matrix import Matrix, Row, run_matrix, run_row
from eseconform.zoo.mutants import DropsLog
from eseconform.zoo.reference import ReferenceClient, log_generation
from eseconform.zoo.specimens import CONTROL, MUTANTS, ODD, SPECIMENS, Specimen
from tests.support.conformance import case
from tests.support.killpages import CommittedPage

pytestmark = pytest.mark.uncovered

QUICK = [case("truncation")]


def test_the_zoo_has_its_inhabitants() -> None:
    assert len(MUTANTS) >= 60
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
    rows = (run_row(CONTROL, QUICK, seed=1),)
    assert Matrix(tuple(QUICK), rows).problems() == ["case truncation: catches no mutant"]
    assert Matrix(tuple(QUICK), rows, whole=False).problems() == []


def test_a_case_that_is_beyond_the_control_is_reported() -> None:
    (result,) = run_row(CONTROL, [case("copy-first")], seed=1).results
    assert Row(CONTROL, (result,)).problem == ""
    lacking = evolve(result, verdict=Verdict.NOT_APPLICABLE)
    assert Row(CONTROL, (lacking,)).problem == (
        "a correct client lacks what is asked for in copy-first"
    )


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
    assert kill_markdown(client_page(alone)) == kill_markdown(client_page(shared))


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
    "truncates_after_copy": "copy",
    "truncates_after_differential": "differential",
    "ignores_missing_full": "incremental-without-full",
    "takes_any_job_for_full": "honesty-probe",
    "partial_takes_first": "partial-copy",
    "swaps_databases": "two-stores",
    "ignores_patch_files": "exchange-2000-rtm",
    "logs_of_digits_only": "hexadecimal",
    "knows_five_digits": "exchange-2007",
    "assumes_streaming_file": "exchange-2007",
    "opens_dismounted_stores": "spare-store",
    "counts_in32_bits": "announced-beyond-4-gib",
    "trusts_end_of_file": "announced-too-much",
    "lets_errors_through": "setup-refused",
    "claims_every_group": "one-group-of-two",
    "shares_handle": "parallel-groups",
    "shares_context": "parallel-groups",
}
"""A case that catches a mutant, where chain-of-two-groups does not."""


@pytest.mark.parametrize("specimen", MUTANTS, ids=lambda specimen: specimen.name)
def test_every_mutant_is_caught_on_its_axis(specimen: Specimen) -> None:
    # One case that does; `make matrix` runs the whole.
    row = run_row(specimen, [case(CATCHING.get(specimen.name, "chain-of-two-groups"))], seed=1)
    assert row.problem == ""
    assert row.sentence


@pytest.mark.parametrize(
    ("name", "key"),
    [
        # What the server does next follows from what the client did wrong: no fault of the harness.
        ("opens_database_late", "dismount-while-reading"),
        ("opens_database_late", "dismount-before-setup"),
        ("opens_database_late", "another-tries"),
        ("truncates_after_copy", "incremental-after-copy"),
        ("truncates_after_copy", "exchange-2007-copy"),
        ("truncates_after_differential", "differential-after-incremental"),
    ],
)
def test_what_a_client_brings_upon_itself_is_not_the_harness_at_fault(name: str, key: str) -> None:
    specimen = next(specimen for specimen in MUTANTS if specimen.name == name)
    (result,) = run_row(specimen, [case(key)], seed=1).results
    assert result.verdict is Verdict.FAIL, result.note


@pytest.mark.parametrize("specimen", ODD, ids=lambda specimen: specimen.name)
def test_an_odd_client_passes_a_chain(specimen: Specimen) -> None:
    assert run_row(specimen, [case("chain-of-two-groups")], seed=1).problem == ""


KINDS = ("copy", "differential", "partial-copy", "nothing-runs", "parallel-groups")


@pytest.mark.parametrize("key", [*KINDS, "announced-too-much", "exchange-2007-groups"])
def test_the_control_does_every_kind_of_job(key: str) -> None:
    (result,) = run_row(CONTROL, [case(key)], seed=1).results
    assert result.verdict is Verdict.PASS, result.divergence or result.note
    good = [job.outcome == "success" for job in result.jobs]
    # Where there is nothing to back up, or less than was announced, the right thing is to say so.
    assert all(good) if key not in ("nothing-runs", "announced-too-much") else not any(good)


@pytest.mark.parametrize("seed", [2, 3])
def test_the_control_passes_with_other_seeds(seed: int) -> None:
    cases = [case("chain-of-two-groups"), case("streaming-files"), case("drop-at-truncation")]
    assert run_row(CONTROL, cases, seed=seed).problem == ""


def test_the_page_names_every_client_and_case() -> None:
    row = run_row(MUTANTS[0], QUICK, seed=1)
    page = client_page(Matrix(tuple(QUICK), (row, run_row(CONTROL, QUICK, seed=1))))
    text = kill_markdown(page)
    assert "| 1 | skips_streaming_file |" in text
    assert "| truncation | **D**" in text or "| truncation | P**D**" in text
    assert "1 of 1 broken clients caught on the right axis, 1 of 1 correct ones passed" in text
    assert "None." in text


def test_the_committed_page_is_about_these_clients_and_cases() -> None:
    # What `make matrix` has written; it takes too long to run here.
    page = CommittedPage.read(CLIENT_PAGE)
    mutants = [specimen.name for specimen in SPECIMENS if specimen.axis is not None]
    assert page.mutants == mutants
    assert page.correct == [specimen.name for specimen in SPECIMENS if specimen.axis is None]
    assert page.tests == [case.id for case in matrix_cases()]
    assert page.cells == len(mutants) + 1
    assert page.problems == "None."
