"""The command line: ``esebcli nodes | backup | restore | verify | show``.

Exit codes: 0 done; 1 the job failed, or a set is damaged, incomplete or can't be read; 2 the
command can't be carried out as it was given. Errors are one line on standard error. Only click is
imported at the start; each command imports what it needs.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from esebcli import __version__
from esebcli.clicommon import (
    EXIT_FAILED,
    EXIT_USAGE,
    SET_PATH,
    complain,
    echo_json,
    echo_lines,
    errors_in_one_line,
    server_option,
)
from esebcli.clirestore import restore


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script: run a command and exit. What is wrong with the command is one line."""
    for stream in (sys.stdout, sys.stderr):
        # Names from a server may hold what the terminal's encoding has no form for.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(arguments, prog_name="esebcli", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = EXIT_USAGE
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "esebcli"
        complain(f"{error.format_message()} (see {command} --help)")
        code = EXIT_USAGE
    except OSError as error:
        complain(f"the output can't be written: {error.strerror or error}")
        code = EXIT_FAILED
    except click.Abort:
        complain("interrupted")
        code = EXIT_FAILED
    sys.exit(code or 0)


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(f"esebcli {__version__}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Back up and restore databases over the ESE streaming backup API, and check the backups."""


@cli.command()
@server_option
@click.option("--computer", help="Only this computer. Default: all that the server knows.")
@click.option("--json", "as_json", is_flag=True, help="The tree as JSON.")
def nodes(address: str, computer: str | None, as_json: bool) -> None:
    """Show what can be backed up: computers, services, storage groups, databases."""
    from esebcli.nodes import survey
    from esebcli.nodetree import print_survey, survey_plain
    from esebcli.transports import open_transport

    with errors_in_one_line(), contextlib.closing(open_transport(address)) as transport:
        found = survey(transport.session(), computer)
    if as_json:
        echo_json(survey_plain(found))
    else:
        print_survey(found)
    if found.problems:
        for problem in found.problems:
            complain(problem)
        sys.exit(EXIT_FAILED)


@cli.command()
@server_option
@click.option(
    "--kind",
    type=click.Choice(["full", "copy", "incremental", "differential", "full-with-all-logs"]),
    required=True,
    help="full and incremental let the server delete saved logs, copy and differential don't. "
    "full-with-all-logs is a full that also saves the older logs still on the server; no "
    "documentation says what it does, this is inferred from its name.",
)
@click.option(
    "--group",
    "groups",
    multiple=True,
    help="Storage group; may be given more than once. Default: all that run.",
)
@click.option(
    "--database",
    "databases",
    multiple=True,
    help="Save only this database of the one --group (a partial backup): its display name or "
    "GUID; may be given more than once.",
)
@click.option("--out", type=SET_PATH, required=True, help="Folder of the new set: new or empty.")
@click.option(
    "--previous", type=SET_PATH, help="The set that an incremental or differential continues."
)
@click.option("--computer", help="Computer to back up, where the server knows several.")
@click.option("--annotation", help="Service to back up. Default: the information store.")
@click.option("--parallel", type=click.IntRange(1, 50), default=4, show_default=True)
@click.option(
    "--check",
    type=click.Choice(["pages", "headers"]),
    default="pages",
    show_default=True,
    help="How closely to look at the files before logs are deleted.",
)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on standard output.")
@click.option("--quiet", is_flag=True, help="No progress; only errors are shown.")
def backup(
    address: str,
    kind: str,
    groups: tuple[str, ...],
    databases: tuple[str, ...],
    out: Path,
    previous: Path | None,
    computer: str | None,
    annotation: str | None,
    parallel: int,
    check: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Back up storage groups into a new set."""
    from eseback.constants import INFORMATION_STORE
    from esebcli.contents import Depth
    from esebcli.discovery import find_computer, find_groups
    from esebcli.errors import UserError
    from esebcli.job import BackupJob, BackupRequest
    from esebcli.manifest import Kind
    from esebcli.progress import ProgressBars, ignore_progress
    from esebcli.render import result_lines, result_plain
    from esebcli.sets import refuse_unless_new
    from esebcli.transports import open_transport

    with (
        errors_in_one_line(lambda: _what_is_saved(out)),
        contextlib.ExitStack() as stack,
    ):
        refuse_unless_new(out)
        if databases and len(groups) != 1:
            raise UserError("--database needs the storage group that it is of: one --group")
        transport = stack.enter_context(contextlib.closing(open_transport(address)))
        service = annotation or INFORMATION_STORE
        session = transport.session()
        server = computer or find_computer(session, service)
        request = BackupRequest(
            server=server,
            groups=groups or find_groups(session, server, service),
            kind=Kind(kind),
            folder=out,
            previous=previous,
            annotation=service,
            parallel=parallel,
            depth=Depth(check),
            databases=databases,
        )
        silent = quiet or as_json
        on_progress = ignore_progress if silent else stack.enter_context(ProgressBars())
        result = BackupJob(transport.session, request, on_progress).run()
    if as_json:
        echo_json(result_plain(result))
    elif not quiet:
        echo_lines(result_lines(result))
    if not result.ok:
        for reason in result.reasons:
            complain(reason)
        sys.exit(EXIT_FAILED)


@cli.command()
@click.argument("folders", metavar="DIR...", type=SET_PATH, nargs=-1, required=True)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="How many processes may share the work. Default: one for each core.",
)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def verify(folders: tuple[Path, ...], jobs: int | None, as_json: bool) -> None:
    """Check sets without a server, and say how far they can be restored together.

    Give all the sets of a chain: a full or copy, and what was saved after it.
    """
    from esebcli.render import report_lines, report_plain
    from esebcli.sets import refuse_twice
    from esebcli.verify import verify_sets
    from esebcli.workers import available_cores

    with errors_in_one_line():
        refuse_twice(folders)
        report = verify_sets(folders, jobs=jobs or available_cores())
    if as_json:
        echo_json(report_plain(report))
    else:
        echo_lines(report_lines(report))
    if not report.ok:
        sys.exit(EXIT_FAILED)


@cli.command()
@click.argument("folder", metavar="DIR", type=SET_PATH)
@click.option("--json", "as_json", is_flag=True, help="The manifest as JSON.")
def show(folder: Path, as_json: bool) -> None:
    """Show what a set holds; its files are not looked at."""
    from esebcli.render import set_lines, set_plain
    from esebcli.sets import open_set

    with errors_in_one_line():
        opened = open_set(folder)
    if as_json:
        echo_json(set_plain(opened))
    else:
        echo_lines(set_lines(opened))


def _what_is_saved(out: Path) -> str:
    """What to say after Ctrl-C: a group that was sealed before stays complete."""
    from esebcli.errors import SetError
    from esebcli.manifest import State
    from esebcli.sets import open_set

    try:
        groups = open_set(out).manifest.groups
    except SetError:
        groups = ()
    complete = ", ".join(repr(group.name) for group in groups if group.state is State.COMPLETE)
    if not complete:
        return "interrupted; the set is not complete"
    return (
        f"interrupted; complete in {out}: {complete}; keep this set, it may hold the only copy of "
        "deleted logs"
    )


cli.add_command(restore)

if __name__ == "__main__":
    main()
