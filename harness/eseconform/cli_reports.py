"""Commands that work on finished runs: ``report`` and ``expect``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from eseconform.errors import UsageError

_RESULTS = click.Path(path_type=Path)


@click.command()
@click.argument("results", metavar="RESULTS.json...", nargs=-1, required=True, type=_RESULTS)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Directory for the reports.",
)
@click.option("--html", "as_html", is_flag=True, help="Write index.html only.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Write summary.md only.")
def report(results: tuple[Path, ...], out: Path, as_html: bool, as_markdown: bool) -> None:
    """Render reports from results.json; of several, one matrix.

    Without --html and --markdown both are written.
    """
    from eseconform.report.html import write_html
    from eseconform.report.markdown import write_markdown
    from eseconform.report.matrix import Source
    from eseconform.results import read_results

    both = as_html == as_markdown
    # All are read before anything is written.
    sources = [Source(read_results(path), _beside(path, out)) for path in results]
    try:
        out.mkdir(parents=True, exist_ok=True)
        if both or as_html:
            click.echo(write_html(sources, out))
        if both or as_markdown:
            click.echo(write_markdown(sources, out))
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror or error}") from None


def _beside(results: Path, out: Path) -> str:
    """The folder of the results as seen from the report; empty when they share one."""
    try:
        folder = Path(os.path.relpath(results.resolve().parent, out.resolve())).as_posix()
    except ValueError:  # on another drive
        folder = results.resolve().parent.as_posix()
    return "" if folder == "." else folder


@click.group()
def expect() -> None:
    """Work on the file of expected failures."""


@expect.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("results", metavar="RESULTS.json", type=_RESULTS)
def update(file: Path, results: Path) -> None:
    """Bring FILE in step with a whole run: add, correct and remove lines.

    A partial run is refused.
    """
    from eseconform.dates import today
    from eseconform.expectation_update import update_file
    from eseconform.results import read_results

    done = update_file(file, read_results(results), str(results), today=today())
    changes = {"added": done.added, "changed": done.changed, "removed": done.removed}
    for what, cases in changes.items():
        for case in cases:
            click.echo(f"{what} {case}")
    click.echo(f"{file}: {len(done.lines)} lines")
