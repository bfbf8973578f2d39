"""Steps and logs as data; they are part of ``results.json``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum

from attrs import frozen

STEPS_MAX = 160
"""Steps of one job in the results; the transcript has them all."""

Ranges = tuple[tuple[int, int], ...]
"""Numbers as inclusive ranges, ascending."""


class StepKind(StrEnum):
    """What a step stands for."""

    CALL = "call"
    FILE = "file"
    """One file: OpenFile and all that followed without trouble."""
    READS = "reads"
    """Reads of a file whose opening, or an earlier read, is a step of its own."""
    LOGS = "logs"
    """Several logs, one after the other, each read to its end and closed."""
    LEFT_OUT = "left out"
    """Steps that were too many to keep."""


@frozen
class Step:
    """One row of the drawn sequence.

    Attributes:
        first, last: numbers of its first and last call; calls of other groups may lie between.
        calls: how many calls it stands for.
        call: the call's name without prefix; for whole files the calls that it stands for.
        kind: see :class:`StepKind`.
        group: the storage group, None outside of its backup.
        subject: what it was about: a file, a kind of backup, a flag.
        answer: what came back, in words.
        error: the error it failed with; empty when it succeeded.
        server: what the server did besides answering: rolled the log, deleted generations.
        fault: the faults that fired at it.
    """

    first: int
    last: int
    calls: int
    call: str
    kind: StepKind = StepKind.CALL
    group: str | None = None
    subject: str = ""
    answer: str = ""
    error: str = ""
    server: str = ""
    fault: str = ""


@frozen
class GroupLogs:
    """What became of a storage group's closed logs during one job, by generation.

    Attributes:
        before: were there when the job began.
        listed: the server listed them for this backup.
        saved: the client read all of them.
        deleted: were there and are no longer.
        after: are there when the job is over.
    """

    before: Ranges = ()
    listed: Ranges = ()
    saved: Ranges = ()
    deleted: Ranges = ()
    after: Ranges = ()


def ranges(numbers: Iterable[int]) -> Ranges:
    """Numbers as inclusive ranges."""
    result: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if result and result[-1][1] == number - 1:
            result[-1] = (result[-1][0], number)
        else:
            result.append((number, number))
    return tuple(result)


def range_text(pairs: Ranges) -> str:
    """Ranges for people: ``3-7, 9``."""
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in pairs)


def size_text(count: int) -> str:
    """A number of bytes for people."""
    size, unit = float(count), "bytes"
    for bigger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, bigger
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"


def capped(steps: Sequence[Step], remarkable: Collection[int] = ()) -> list[Step]:
    """At most STEPS_MAX steps: beginning, end, and those that stand out are kept."""
    if len(steps) <= STEPS_MAX:
        return list(steps)
    edge = STEPS_MAX // 4
    keep = set(range(edge)) | set(range(len(steps) - edge, len(steps)))
    for index, step in enumerate(steps):
        stands_out = (
            step.error or step.fault or any(step.first <= n <= step.last for n in remarkable)
        )
        if stands_out and len(keep) < STEPS_MAX - edge:
            keep.add(index)
    result: list[Step] = []
    for index, step in enumerate(steps):
        if index in keep:
            result.append(step)
        elif result and result[-1].kind is StepKind.LEFT_OUT:
            gap = result[-1]
            result[-1] = _gap(gap.first, step.last, gap.calls + step.calls)
        else:
            result.append(_gap(step.first, step.last, step.calls))
    return result


def _gap(first: int, last: int, calls: int) -> Step:
    text = f"{calls} calls left out; the transcript has them"
    return Step(first, last, calls, text, StepKind.LEFT_OUT)
