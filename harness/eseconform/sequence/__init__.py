"""A job's transcript in short: the steps that a report draws, and what became of the logs.

A transcript has a line for every call, and a client makes thousands of reads. Here reads, whole
files and runs of logs become one step each; a call that failed, that a fault hit or that a judge
had something to say about stays a step of its own. ``results.json`` carries the steps, so that
reports need no transcript.
"""

from eseconform.sequence.facts import answers, fault_marks, group_logs
from eseconform.sequence.folding import Drawing, draw, steps_of
from eseconform.sequence.model import (
    STEPS_MAX,
    GroupLogs,
    Ranges,
    Step,
    StepKind,
    range_text,
    ranges,
    size_text,
)

__all__ = [
    "STEPS_MAX",
    "Drawing",
    "GroupLogs",
    "Ranges",
    "Step",
    "StepKind",
    "answers",
    "draw",
    "fault_marks",
    "group_logs",
    "range_text",
    "ranges",
    "size_text",
    "steps_of",
]
