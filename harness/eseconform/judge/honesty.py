"""The honesty axis: does what the client claims match what is true?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

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


def _broken(talk: Conversation, rule: str, text: str, *, critical: bool = False) -> Finding:
    return broken(requirements()[rule], text, job=talk.job, critical=critical)


def _success(talk: Conversation, truth: Mapping[str, GroupTruth]) -> Iterator[Finding]:
    for group, found in truth.items():
        if found.measured and found.restorable_to is None:
            text = f"success is claimed, but {group} does not restore: {found.reason}"
            yield _broken(talk, "ESE-BKP-HON-001", text, critical=True)
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
