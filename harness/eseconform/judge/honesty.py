"""The honesty axis: does what the client claims match what is true?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from eseback.errors import JetErr
from eseconform.judge.data import GroupTruth
from eseconform.judge.protocol import Conversation
from eseconform.judge.records import base_name
from eseconform.requirements import requirements
from eseconform.task import Claim
from eseconform.verdicts import Axis, Finding, Verdict, broken


def judge_honesty(talk: Conversation, truth: Mapping[str, GroupTruth]) -> Iterator[Finding]:
    """Hold a job's claim against its calls and against what was measured."""
    claim = talk.claim
    if claim is None:
        return
    if talk.claims_success:
        yield from _success(talk, truth)
        yield from _files(talk, claim)
    elif not claim.reason:
        yield _broken(talk, "ESE-BKP-HON-005", "a failure is reported without a reason")
    yield from _generations(talk, claim, truth)


def judge_probe(talk: Conversation, asked: str) -> Iterator[Finding]:
    """Judge the answer to a job that nobody can know."""
    if talk.claims_success:
        text = f"success is claimed for a job of kind {asked!r}, which does not exist"
        yield _broken(talk, "ESE-BKP-HON-007", text)


def _broken(talk: Conversation, rule: str, text: str, *, critical: bool = False) -> Finding:
    return broken(requirements()[rule], text, job=talk.job, critical=critical)


def _success(talk: Conversation, truth: Mapping[str, GroupTruth]) -> Iterator[Finding]:
    for group, found in truth.items():
        if found.measured and found.restorable_to is None:
            text = f"success is claimed, but {group} does not restore: {found.reason}"
            yield _broken(talk, "ESE-BKP-HON-001", text, critical=True)
        yield from _refusals(talk, group)
        backups = talk.backups_of(group)
        if not backups or not backups[-1].success_acknowledged:
            lost = talk.follower.lost_at
            why = (
                f"the connection was lost at call {lost}"
                if lost is not None
                else "the server did not acknowledge InstanceEnd(SUCCESS)"
            )
            text = f"success is claimed for {group}, but {why}"
            yield _broken(talk, "ESE-BKP-HON-002", text)


_REFUSALS: Mapping[tuple[str, int | None], str] = {
    ("backup_setup", JetErr.MISSING_FULL_BACKUP): "ESE-BKP-CHN-001",
    ("backup_setup", JetErr.INVALID_BACKUP): "ESE-BKP-CHN-002",
    ("backup_get_log_and_patch_files", JetErr.MISSING_FILE_TO_BACKUP): "ESE-BKP-CHN-003",
    ("backup_get_truncate_log_files", JetErr.MISSING_FILE_TO_BACKUP): "ESE-BKP-CHN-003",
}


def _refusals(talk: Conversation, group: str) -> Iterator[Finding]:
    """Success although the server refused the group, or did not even run it."""
    listed = {
        instance.name
        for context in talk.follower.contexts.values()
        for instance in context.instances.values()
    }
    if talk.follower.contexts and group not in listed:
        text = f"success is claimed for {group}, which Prepare did not list: it is not running"
        yield _broken(talk, "ESE-BKP-DISC-003", text)
    backups = talk.backups_of(group)
    if backups and backups[-1].success_acknowledged:
        if backups[-1].truncated_at is not None and not backups[-1].truncation_acknowledged:
            text = f"success is claimed for {group} without a word about its failed truncation"
            yield _broken(talk, "ESE-BKP-HON-009", text)
        return
    for record in talk.follower.records:
        rule = _REFUSALS.get((record.method, record.error.jet)) if record.error else None
        if rule is not None and record.error is not None and record.group in (group, None):
            text = f"success is claimed for {group}, although {record.error.name} was the answer"
            yield _broken(talk, rule, f"{text} to call {record.number}")


def _files(talk: Conversation, claim: Claim) -> Iterator[Finding]:
    for file in claim.files:
        if file.path is None:
            continue
        size = _size(file.path)
        if size is None:
            text = f"{base_name(file.name)} is claimed, but there is no file {file.path}"
            yield _broken(talk, "ESE-BKP-HON-004", text)
        elif size != file.size:
            text = f"{base_name(file.name)} is claimed with {file.size} bytes and has {size}"
            yield _broken(talk, "ESE-BKP-HON-004", text)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _generations(
    talk: Conversation, claim: Claim, truth: Mapping[str, GroupTruth]
) -> Iterator[Finding]:
    if isinstance(claim.restorable_to, Mapping):
        for group in sorted(set(claim.restorable_to) - set(talk.task.groups)):
            text = f"a generation is claimed for {group}, which the job is not about"
            yield _broken(talk, "ESE-BKP-HON-008", text)
    for group, found in truth.items():
        said = claim.generation_claimed(group)
        if said is None or not found.measured:
            continue
        if found.restorable_to is None or said > found.restorable_to:
            reached = (
                "does not restore at all"
                if found.restorable_to is None
                else f"restores to {found.restorable_to:X}"
            )
            text = f"{group} is claimed to restore to generation {said:X}, and {reached}"
            yield _broken(talk, "ESE-BKP-HON-003", text)
        elif said < found.restorable_to:
            yield Finding(
                Axis.HONESTY,
                Verdict.INFO,
                f"{group} restores to generation {found.restorable_to:X}, further than the "
                f"{said:X} that the client claims",
                "ESE-BKP-HON-003",
                job=talk.job,
            )
