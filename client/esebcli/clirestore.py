"""``esebcli restore``: what is on the command line becomes a request."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from esebcli.clicommon import (
    EXIT_FAILED,
    SET_PATH,
    complain,
    echo_json,
    echo_lines,
    errors_in_one_line,
    server_option,
)

if TYPE_CHECKING:
    from esebcli.fileaccess import FileAccess
    from esebcli.restore import RestoreJob
    from esebcli.transports import Transport


@click.command()
@click.argument("sets", metavar="SET...", type=SET_PATH, nargs=-1, required=True)
@server_option
@click.option(
    "--group",
    "groups",
    multiple=True,
    help="Storage group, by its name at backup time; may be given more than once. Default: all "
    "that the sets hold.",
)
@click.option(
    "--database",
    "databases",
    multiple=True,
    help="Restore only this database of the one group: its display name or GUID; may be given "
    "more than once.",
)
@click.option(
    "--to",
    "last",
    metavar="SET",
    type=SET_PATH,
    help="Restore nothing newer than what this one of the sets holds. Default: to the end.",
)
@click.option(
    "--play-forward",
    is_flag=True,
    help="Then replay the logs that the storage group itself still has on the server.",
)
@click.option(
    "--system-path",
    help="Folder of the storage group's checkpoint, where it is not that of its logs; needed to "
    "play forward while the group does not run.",
)
@click.option(
    "--into", help="Restore into this storage group, for instance the recovery storage group."
)
@click.option(
    "--place",
    "places",
    metavar="NAME=PATH",
    multiple=True,
    help="Restore this database to this .edb on the server (its .stm goes beside it).",
)
@click.option("--mount/--no-mount", default=True, show_default=True, help="Mount afterwards.")
@click.option("--keep-logs", is_flag=True, help="Have the server keep the restored logs.")
@click.option(
    "--log-path", help="Folder on the server for the logs. Default: the server chooses one."
)
@click.option(
    "--files-root",
    type=SET_PATH,
    help="Folder that holds the server's drives (C:\\a is DIR/C/a), for a server that leaves the "
    "writing of files to the client.",
)
@click.option("--computer", help="Computer to restore to. Default: the one the sets are from.")
@click.option("--parallel", type=click.IntRange(1, 50), default=4, show_default=True)
@click.option(
    "--poll", is_flag=True, help="Ask how far recovery is, instead of waiting in one long call."
)
@click.option(
    "--check",
    type=click.Choice(["pages", "headers"]),
    default="pages",
    show_default=True,
    help="How closely to look at the sets before anything is overwritten.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="How many processes may share that work. Default: one for each core.",
)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on standard output.")
@click.option("--quiet", is_flag=True, help="No progress; only errors are shown.")
def restore(
    sets: tuple[Path, ...],
    address: str,
    groups: tuple[str, ...],
    databases: tuple[str, ...],
    last: Path | None,
    play_forward: bool,
    system_path: str | None,
    into: str | None,
    places: tuple[str, ...],
    mount: bool,
    keep_logs: bool,
    log_path: str | None,
    files_root: Path | None,
    computer: str | None,
    parallel: int,
    poll: bool,
    check: str,
    jobs: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Restore storage groups from sets: a full or copy, and what was saved after it.

    The stores have to be dismounted and marked as overwritable. Before anything is overwritten, all
    sets are verified; a chain that is damaged or has a hole is refused.
    """
    from esebcli.contents import Depth
    from esebcli.progress import ProgressBars, ignore_progress
    from esebcli.restore import RestoreJob, RestoreRequest
    from esebcli.restoretext import restore_lines, restore_plain
    from esebcli.transports import open_transport
    from esebcli.workers import available_cores

    job: RestoreJob | None = None
    with (
        errors_in_one_line(lambda: _interrupted(job)),
        contextlib.ExitStack() as stack,
    ):
        request = RestoreRequest(
            sets=sets,
            groups=groups,
            server=computer,
            databases=databases,
            last=last,
            into=into,
            places=_places(places),
            play_forward=play_forward,
            system_path=system_path,
            mount=mount,
            keep_logs=keep_logs,
            log_path=log_path,
            parallel=parallel,
            depth=Depth(check),
            jobs=jobs or available_cores(),
            poll=poll,
        )
        transport = stack.enter_context(contextlib.closing(open_transport(address)))
        silent = quiet or as_json
        on_progress = ignore_progress if silent else stack.enter_context(ProgressBars())
        files = _file_access(transport, files_root)
        job = RestoreJob(transport.session, request, on_progress, files)
        result = job.run()
    if as_json:
        echo_json(restore_plain(result))
    elif not quiet:
        echo_lines(restore_lines(result))
    if not result.ok:
        for reason in result.reasons:
            complain(reason)
        sys.exit(EXIT_FAILED)


def _interrupted(job: RestoreJob | None) -> str:
    """What to say after Ctrl-C."""
    names = ", ".join(map(repr, job.unfinished)) if job else ""
    if not names:
        return "interrupted; no database was left half restored"
    return f"interrupted; not recovered, and perhaps overwritten in part: {names}; restore again"


def _places(given: Iterable[str]) -> dict[str, str]:
    from esebcli.errors import UserError

    places: dict[str, str] = {}
    for text in given:
        name, equals, path = text.rpartition("=")
        if not equals or not name or not path:
            raise UserError(f"--place {text!r}: write NAME=PATH, as in Mailbox=C:\\x\\priv1.edb")
        if name in places:
            raise UserError(f"database {name!r} is given two places")
        places[name] = path
    return places


def _file_access(transport: Transport, root: Path | None) -> FileAccess | None:
    """Who writes files at file level: what the user named, the transport, this very computer."""
    from esebcli.fileaccess import FilesRoot, LocalFiles

    if root is not None:
        return FilesRoot(root)
    files: FileAccess | None = getattr(transport, "files", None)
    return LocalFiles() if files is None and os.name == "nt" else files
