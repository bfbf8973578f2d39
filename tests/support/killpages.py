"""The committed kill matrices, read back."""

from __future__ import annotations

from typing import Self

from attrs import frozen

from tests.support.project import ROOT


@frozen
class CommittedPage:
    """What a page of docs/ says it is about.

    Attributes:
        mutants, correct: names of the specimens, in order.
        tests: ids of the cases or checks, in order.
        cells: how many columns each of them has.
        kills: by mutant, the tests that caught it on its own axis or by its own rule.
        problems: the text at the end.
    """

    mutants: list[str]
    correct: list[str]
    tests: list[str]
    cells: int
    kills: dict[str, list[str]]
    problems: str

    @classmethod
    def read(cls, name: str) -> Self:
        """Read a page. Raises FileNotFoundError where `make matrix` never ran."""
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        body, _, problems = text.partition("## Problems")
        mutants, tests, correct = [t for t in map(_rows, body.split("\n\n")) if t]
        widths = {len(row) for row in tests}
        assert len(widths) == 1, f"{name}: rows of {sorted(widths)} cells"
        names = [row[1] for row in mutants]
        return cls(
            mutants=names,
            correct=[row[0] for row in correct],
            tests=[row[0] for row in tests],
            cells=widths.pop() - 1,
            kills={
                name: [row[0] for row in tests if "**" in row[column]]
                for column, name in enumerate(names, 1)
            },
            problems=problems.strip(),
        )


def _rows(block: str) -> list[list[str]]:
    """The rows of a Markdown table below its heading; none if the block is something else."""
    lines = block.splitlines()
    if not lines or not lines[0].startswith("|"):
        return []
    return [
        [part.strip() for part in line.removeprefix("|").removesuffix("|").split(" | ")]
        for line in lines[2:]
    ]
