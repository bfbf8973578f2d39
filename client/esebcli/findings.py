"""What is wrong with a saved file or a set, in words."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from attrs import frozen


class Layer(Enum):
    """At which layer damage was found, outermost first."""

    MANIFEST = "manifest"  # the set's own description
    STATE = "state"  # the set is no finished backup
    FILE = "file"  # missing, wrong size, wrong hash
    HEADER = "header"  # header of a database, a streaming file or a log
    PAGE = "page"  # page of a database
    TRAILER = "trailer"  # last page of a saved database
    LOG = "log"  # contents of a log
    CHAIN = "chain"  # how files belong together
    RANGE = "range"  # a database needs logs that are not beside it (another set may hold them)


@frozen
class Finding:
    """One problem. ``file`` is the name within the group's folder, None if it isn't about one."""

    layer: Layer
    text: str
    file: str | None = None

    def __str__(self) -> str:
        return f"{self.file}: {self.text}" if self.file else self.text


def summarise(findings: Iterable[Finding], shown_max: int = 3) -> str:
    """Findings in one line; those beyond ``shown_max`` are only counted."""
    texts = [str(finding) for finding in findings]
    more = len(texts) - shown_max
    return "; ".join(texts[:shown_max]) + (f"; and {more} more" if more > 0 else "")
