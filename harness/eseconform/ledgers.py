"""The ledger: what is restorable of each storage group after a job, and why not further."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from eseconform.judge.chains import JobRecord
from eseconform.judge.data import GroupTruth
from eseconform.judge.restoreledger import wanted_of
from eseconform.results import LedgerEntry
from eseconform.task import Claim, Outcome

REPLAY: Final = "replay"
"""The harness restored the saved bytes itself."""
OWN: Final = "own restore"
"""The client restored its sets to a server with empty disks."""


def promises(chain: Sequence[JobRecord], bases: Mapping[str, str]) -> dict[str, int]:
    """The last generation that the sets of a chain hold, by storage group."""
    found = {group: wanted_of(chain, group, base) for group, base in bases.items() if chain}
    return {group: wanted.gen_high for group, wanted in found.items() if wanted is not None}


def ledger_of(
    groups: Iterable[str],
    promised: Mapping[str, int],
    truth: Mapping[str, GroupTruth],
    shown_by: str,
    claim: Claim | None,
) -> dict[str, LedgerEntry]:
    """The entries of a job."""
    entries = {}
    for group in groups:
        found = truth.get(group)
        if found is None:
            continue
        entries[group] = LedgerEntry(
            promised=promised.get(group),
            restorable_to=found.restorable_to,
            why=_why(found, promised.get(group), claim),
            shown_by=shown_by if found.measured else "",
        )
    return entries


def _why(found: GroupTruth, promised: int | None, claim: Claim | None) -> str:
    """Why a group is not restorable to what its sets promise; empty when it is."""
    if found.restorable_to is not None and found.restorable_to == promised:
        return ""
    if found.reason:
        return found.reason
    if found.unreadable:
        return "the saved bytes can't be read from here"
    if claim is None:
        return "the client crashed"
    if claim.outcome is Outcome.FAILURE:
        return f"the client calls the job a failure: {claim.reason or 'it gives no reason'}"
    return "" if found.restorable_to is not None else "nothing was tried"


def origin_of(chain: Sequence[int], *, own: bool) -> str:
    """What a restore starts from, in words."""
    numbers = ", ".join(str(job + 1) for job in chain)
    sets = f"the set of job {numbers}" if len(chain) == 1 else f"the sets of jobs {numbers}"
    return f"{sets}, to a server with empty disks" if own else sets
