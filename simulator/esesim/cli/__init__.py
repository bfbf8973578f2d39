"""The command ``esesim``: make a server's directory, look into servers.

Mistakes of the user end with one line on standard error and exit code 2. Everything heavy is
imported inside the commands, so that ``esesim --version`` is quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from esesim import __version__


class UserError(click.ClickException):
    """Something that the user can put right; the message says how."""

    exit_code = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="esesim")
def main() -> None:
    """A simulated Exchange server for the ESE streaming backup API."""


@main.command()
@click.argument("topology")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--steps",
    type=click.IntRange(0, 1_000_000),
    default=0,
    show_default=True,
    help="Steps of the mail workload to run in each storage group.",
)
def init(topology: str, directory: Path, steps: int) -> None:
    """Make a server in DIRECTORY from TOPOLOGY, a TOML file or a packaged name (demo, minimal).

    The directory must be new or empty. The databases are left in clean shutdown.
    """
    from ..engine.errors import JetError
    from ..server import create_directory_server
    from ..volume import VolumeError

    try:
        with create_directory_server(topology, directory) as server:
            for group in server.groups:
                group.run_workload(steps)
            names = ", ".join(group.name for group in server.groups) or "no storage group"
            summary = f"{server.topology.server.name} with {names}"
    except (ValueError, OSError, JetError, VolumeError) as error:
        _fail(error)
    click.echo(f"{directory}: {summary}")


@main.command()
@click.argument("target")
@click.option("--rows", is_flag=True, help="Also show the rows of every table.")
@click.option("--events", is_flag=True, help="Also show the event log.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON document, nothing shortened.")
def show(target: str, rows: bool, events: bool, as_json: bool) -> None:
    """Show a server: its storage groups, stores and files.

    TARGET is a directory made by `esesim init`, a topology (file or packaged name), or a single
    database file (.edb, with its .stm beside it).
    """
    from ..engine.errors import JetError
    from ..volume import VolumeError
    from .overview import overview_of
    from .render import as_text, to_json

    try:
        found = overview_of(target, with_rows=rows, with_events=events)
    except (ValueError, OSError, JetError, VolumeError) as error:
        _fail(error)
    click.echo(to_json(found) if as_json else as_text(found))


def _fail(error: Exception) -> NoReturn:
    raise UserError(" ".join(str(error).split())) from None
