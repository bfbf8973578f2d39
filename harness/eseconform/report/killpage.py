"""A kill matrix for people, of clients or of servers: a page of the documentation, a table for
the terminal.

Both matrices have one shape: specimens, most of them with a bug, against cases or checks. Each says
here what it has to show; how that looks is the same for both.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attrs import frozen
from rich.table import Table
from rich.text import Text

from eseconform.report.table import coloured
from eseconform.verdicts import Verdict

NOTHING = "·"
"""The cell of a test that noticed nothing."""
LEFT_OUT = " "
"""The cell of a test that a specimen was not put before."""


@frozen
class Entry:
    """A specimen and what became of it.

    Attributes:
        name: of the specimen.
        bug: what is wrong with it, or odd about it, in a sentence.
        place: the axis or rule where its bug has to show; empty when it has none.
        cells: one for each test, in order: how it was caught, ``NOTHING`` or ``LEFT_OUT``.
        right: how many tests caught it at the right place.
        passed: how many tests it passed.
        says: what the first test that caught it says.
        problem: what is wrong with the harness's judgement; empty when nothing is.
    """

    name: str
    bug: str
    place: str
    cells: tuple[str, ...]
    right: int
    passed: int
    says: str
    problem: str

    @property
    def tried(self) -> int:
        """How many tests it was put before."""
        return sum(cell != LEFT_OUT for cell in self.cells)


@frozen
class KillPage:
    """A kill matrix, ready to be shown.

    Attributes:
        file: name of the page.
        title: its heading.
        intro: paragraphs below it, of one line or more each.
        specimen, place, test: what these are called: client, axis, case; server, rule, check.
        tests: ids of the tests.
        entries: every specimen, in order.
        problems: everything that shows the harness to be wrong.
    """

    file: str
    title: str
    intro: tuple[str, ...]
    specimen: str
    place: str
    test: str
    tests: tuple[str, ...]
    entries: tuple[Entry, ...]
    problems: tuple[str, ...]

    @property
    def mutants(self) -> tuple[Entry, ...]:
        """Those with a bug."""
        return tuple(entry for entry in self.entries if entry.place)

    @property
    def correct(self) -> tuple[Entry, ...]:
        """Those without."""
        return tuple(entry for entry in self.entries if not entry.place)

    @property
    def summary(self) -> str:
        """What it all came to, in one line."""
        caught = sum(not entry.problem for entry in self.mutants)
        text = (
            f"{caught} of {len(self.mutants)} broken {self.specimen}s caught on the right "
            f"{self.place}"
        )
        if self.correct:
            passed = sum(not entry.problem for entry in self.correct)
            text += f", {passed} of {len(self.correct)} correct ones passed"
        text += f", {len(self.tests)} {self.test}s"
        return text + (f"; {len(self.problems)} problems" if self.problems else "")


def kill_markdown(page: KillPage) -> str:
    """The page as text."""
    lines = [f"# {page.title}", ""]
    for paragraph in (*page.intro, f"{page.summary[0].upper()}{page.summary[1:]}."):
        lines += [paragraph, ""]
    lines += [*_mutants(page), "", *_matrix(page), "", *_correct(page)]
    lines += ["", "## Problems", "", *([f"* {p}" for p in page.problems] or ["None."]), ""]
    return "\n".join(lines)


def _mutants(page: KillPage) -> Iterator[str]:
    yield f"| | mutant | its bug | {page.place} | caught by |"
    yield "|---|---|---|---|---|"
    for number, entry in enumerate(page.mutants, 1):
        caught = f"{entry.right} of {entry.tried}"
        yield f"| {number} | {entry.name} | {entry.bug} | {entry.place} | {caught} |"


def _matrix(page: KillPage) -> Iterator[str]:
    yield f"| {page.test} | {' | '.join(str(n) for n in range(1, len(page.mutants) + 1))} | all |"
    yield "|---|" + "---|" * (len(page.mutants) + 1)
    for index, test in enumerate(page.tests):
        cells = [entry.cells[index] for entry in page.mutants]
        caught = sum(cell not in (NOTHING, LEFT_OUT) for cell in cells)
        yield f"| {test} | {' | '.join(cells)} | {caught} |"


def _correct(page: KillPage) -> Iterator[str]:
    yield f"## Correct {page.specimen}s"
    yield ""
    yield f"| {page.specimen} | what is odd about it | {page.test}s passed |"
    yield "|---|---|---|"
    for entry in page.correct:
        yield f"| {entry.name} | {entry.bug} | {entry.passed} of {entry.tried} |"


def write_kill_page(page: KillPage, folder: Path) -> Path:
    """Write the page into a folder; returns its path."""
    path = folder / page.file
    path.write_text(kill_markdown(page), encoding="utf-8")
    return path


def kill_table(page: KillPage) -> Table:
    """One line a specimen: where it was caught, and what the harness says about it."""
    table = Table(title=f"{page.specimen}s of the zoo".capitalize(), title_justify="left")
    table.show_lines = True
    table.add_column(page.specimen, no_wrap=True)
    table.add_column("what is wrong with it", ratio=2)
    table.add_column("caught by")
    table.add_column("the harness says", ratio=3)
    for entry in page.entries:
        table.add_row(entry.name, entry.bug, _caught(entry), _says(entry))
    return table


def _caught(entry: Entry) -> Text:
    total = entry.tried
    if not entry.place:
        style = "green" if entry.passed == total else "red"
        return Text(f"passes {entry.passed} of {total}", style=style)
    style = "green" if entry.right else "bold red"
    return Text(f"{entry.right} of {total} on {entry.place}", style=style)


def _says(entry: Entry) -> Text:
    if entry.problem:
        return Text.assemble(coloured(Verdict.ERROR), f" {entry.problem}")
    return Text(entry.says)
