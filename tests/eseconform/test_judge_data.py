"""The data axis on a real set, as it is and damaged in every way; and the honesty that follows."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from attrs import evolve

from eseconform.errors import HarnessError
from eseconform.judge.chains import JobRecord
from eseconform.judge.data import DataResult, judge_data
from eseconform.judge.honesty import judge_honesty
from eseconform.judge.teardown import GroupState, Leftovers, judge_teardown
from eseconform.task import Claim, Outcome, SavedFile
from eseconform.verdicts import Axis, Finding, Verdict
from tests.support.conformance import Job, run_full


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return run_full(tmp_path, steps=40)


def rules(findings: list[Finding]) -> list[str]:
    return sorted({f.requirement or "" for f in findings})


def judged(job: Job, record: JobRecord | None = None) -> DataResult:
    return judge_data([record or job.record], job.facts)


def dishonest(job: Job, record: JobRecord | None = None) -> list[Finding]:
    record = record or job.record
    return list(judge_honesty(record.talk, judged(job, record).truth))


def without(job: Job, ending: str) -> JobRecord:
    files = tuple(f for f in job.claim.files if not f.name.endswith(ending))
    return job.claiming(evolve(job.claim, files=files))


def last_log(job: Job) -> SavedFile:
    return max((f for f in job.claim.files if f.name.endswith(".log")), key=lambda f: f.name)


# --- the set as it is


def test_a_good_set_restores_with_its_rows(job: Job) -> None:
    result = judged(job)
    truth = result.truth[job.group]
    assert result.findings == []
    assert truth.restorable_to == job.claim.generation_claimed(job.group)
    assert "rows as committed" in truth.summary
    assert dishonest(job) == []


def test_rows_are_really_compared(job: Job) -> None:
    # With the truth shifted under it, the very same set must be found wrong. No byte of it is the
    # client's doing, so the harness blames itself.
    facts = job.facts[job.group]
    shifted = evolve(facts, committed=lambda edb, generation: facts.committed(edb, generation - 2))
    with pytest.raises(HarnessError, match="other rows than were committed"):
        judge_data([job.record], {job.group: shifted})


def test_wrong_rows_are_blamed_on_a_set_with_a_flaw(job: Job) -> None:
    with job.saved(".stm").open("ab") as file:
        file.write(bytes(4096))
    facts = job.facts[job.group]
    shifted = evolve(facts, committed=lambda edb, generation: facts.committed(edb, generation - 2))
    result = judge_data([job.record], {job.group: shifted})
    assert {"ESE-BKP-DATA-002", "ESE-BKP-DATA-003"} <= set(rules(result.findings))
    assert result.truth[job.group].restorable_to is None


# --- damage


def test_a_missing_streaming_file(job: Job) -> None:
    record = without(job, ".stm")
    assert rules(judged(job, record).findings) == [
        "ESE-BKP-DATA-001",
        "ESE-BKP-DATA-004",
        *(["ESE-BKP-TRN-004"] if record.deleted[job.group] else []),
    ]
    findings = dishonest(job, record)
    assert "ESE-BKP-HON-001" in rules(findings)
    assert any(f.critical for f in findings)


def test_a_missing_log(job: Job) -> None:
    name = last_log(job).name
    result = judged(job, without(job, name))
    assert {"ESE-BKP-DATA-001", "ESE-BKP-DATA-004"} <= set(rules(result.findings))
    assert result.truth[job.group].reason.startswith("recovery fails with")


def test_a_file_cut_short(job: Job) -> None:
    path = job.saved(".edb")
    path.write_bytes(path.read_bytes()[:-4096])
    result = judged(job)
    assert {"ESE-BKP-DATA-001", "ESE-BKP-DATA-003"} <= set(rules(result.findings))
    assert any("bytes saved" in f.text for f in result.findings)
    assert rules(dishonest(job)) == ["ESE-BKP-HON-001", "ESE-BKP-HON-003", "ESE-BKP-HON-004"]


def test_a_file_too_long(job: Job) -> None:
    with job.saved(".log").open("ab") as file:
        file.write(b"more")
    texts = [f.text for f in judged(job).findings if f.requirement == "ESE-BKP-DATA-003"]
    assert texts and texts[0].endswith("sent by the server")


def test_one_wrong_byte_in_a_page(job: Job) -> None:
    path = job.saved(".edb")
    data = bytearray(path.read_bytes())
    data[4096 * 3 + 100] ^= 0xFF
    path.write_bytes(data)
    result = judged(job)
    assert "ESE-BKP-DATA-003" in rules(result.findings)
    assert "bytes 0 to 65536 are not those that the server sent" in result.findings[0].text


@pytest.mark.parametrize("seed", range(8))
def test_noise_never_breaks_the_judge(job: Job, seed: int) -> None:
    # Whatever the bytes are, the judge must come to a verdict about the client.
    rng = random.Random(seed)
    for file in job.claim.files:
        assert file.path is not None
        data = bytearray(file.path.read_bytes())
        for _ in range(rng.randrange(1, 40)):
            start = rng.randrange(len(data))
            data[start : start + rng.randrange(600)] = rng.randbytes(rng.randrange(600))
        file.path.write_bytes(data)
    result = judged(job)
    assert "ESE-BKP-DATA-003" in rules(result.findings)
    assert result.truth[job.group].restorable_to is None


def test_an_empty_file(job: Job) -> None:
    job.saved(".edb").write_bytes(b"")
    assert "ESE-BKP-DATA-001" in rules(judged(job).findings)


def test_a_vanished_file(job: Job) -> None:
    job.saved(".log").unlink()
    result = judged(job)
    assert "ESE-BKP-DATA-001" in rules(result.findings)
    assert any("there is no file" in f.text for f in result.findings)
    assert "ESE-BKP-HON-004" in rules(dishonest(job))


def test_a_file_that_nobody_listed(job: Job) -> None:
    extra = SavedFile("C:\\autoexec.bat", 0, None)
    record = job.claiming(evolve(job.claim, files=(*job.claim.files, extra)))
    findings = judged(job, record).findings
    assert rules(findings) == ["ESE-BKP-DATA-004"]
    assert "autoexec.bat" in findings[0].text


def test_a_file_twice(job: Job) -> None:
    record = job.claiming(evolve(job.claim, files=(*job.claim.files, job.claim.files[0])))
    findings = judged(job, record).findings
    assert rules(findings) == ["ESE-BKP-DATA-004"]
    assert "more than once" in findings[0].text


def test_bytes_out_of_reach_are_inconclusive(job: Job) -> None:
    files = tuple(evolve(f, path=None) for f in job.claim.files)
    result = judged(job, job.claiming(evolve(job.claim, files=files)))
    assert [f.verdict for f in result.findings] == [Verdict.INCONCLUSIVE]


# --- giving up


def test_giving_up_without_need(job: Job) -> None:
    record = evolve(job.claiming(Claim(Outcome.FAILURE, reason="too late today")), deleted={})
    findings = judged(job, record).findings
    assert rules(findings) == ["ESE-BKP-DATA-005"]
    assert "too late today" in findings[0].text


def test_giving_up_where_it_may_be_needed(job: Job) -> None:
    record = evolve(
        job.claiming(Claim(Outcome.FAILURE, reason="disk error")), deleted={}, must_succeed=False
    )
    assert judged(job, record).findings == []


def test_a_failure_needs_a_reason(job: Job) -> None:
    record = job.claiming(Claim(Outcome.FAILURE))
    findings = dishonest(job, record)
    assert [(f.requirement, f.verdict) for f in findings] == [("ESE-BKP-HON-005", Verdict.WARN)]


# --- truncation


def with_deleted(job: Job, claim: Claim, *generations: int) -> JobRecord:
    return evolve(
        job.claiming(claim), deleted={job.group: frozenset(generations)}, must_succeed=False
    )


def test_logs_deleted_and_nowhere_kept_are_critical(job: Job) -> None:
    record = with_deleted(job, Claim(Outcome.FAILURE, reason="lost"), 1, 2)
    findings = judged(job, record).findings
    assert rules(findings) == ["ESE-BKP-TRN-004"]
    assert findings[0].critical
    assert "generation 1, 2" in findings[0].text


def test_logs_below_a_complete_full_set_are_not_needed(job: Job) -> None:
    assert judged(job, with_deleted(job, job.claim, 1)).findings == []


def test_logs_that_an_older_set_holds_are_not_lost(job: Job) -> None:
    record = with_deleted(job, Claim(Outcome.FAILURE, reason="lost"), 1)
    assert judge_data([record], job.facts, [job.record]).findings == []


# --- claims


def test_a_generation_too_high_is_a_lie(job: Job) -> None:
    high = job.claim.generation_claimed(job.group)
    assert high is not None
    record = job.claiming(evolve(job.claim, restorable_to=high + 1))
    findings = dishonest(job, record)
    assert [(f.requirement, f.verdict) for f in findings] == [("ESE-BKP-HON-003", Verdict.FAIL)]


def test_a_generation_too_low_is_told(job: Job) -> None:
    record = job.claiming(evolve(job.claim, restorable_to=1))
    assert [f.verdict for f in dishonest(job, record)] == [Verdict.INFO]


def test_sizes_must_be_those_of_the_files(job: Job) -> None:
    files = (evolve(job.claim.files[0], size=1), *job.claim.files[1:])
    assert rules(dishonest(job, job.claiming(evolve(job.claim, files=files)))) == [
        "ESE-BKP-HON-004"
    ]


# --- teardown


def test_a_clean_server_is_not_mentioned() -> None:
    left = Leftovers(0, (GroupState("G", held=False, file_open=False),))
    assert list(judge_teardown(left, 0)) == []


def test_everything_left_behind_is_named() -> None:
    left = Leftovers(
        2,
        (
            GroupState("G", held=True, file_open=True),
            GroupState("H", held=False, file_open=False),
        ),
    )
    findings = list(judge_teardown(left, 1, "after hrDiskIO at call 7"))
    assert rules(findings) == ["ESE-BKP-END-002", "ESE-BKP-END-003", "ESE-BKP-END-004"]
    assert {f.axis for f in findings} == {Axis.TEARDOWN}
    assert {f.verdict for f in findings} == {Verdict.FAIL}
    assert {f.job for f in findings} == {1}
    assert "after hrDiskIO at call 7" in findings[0].text
