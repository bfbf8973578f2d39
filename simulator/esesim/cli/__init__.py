"""The command ``esesim``: make a server's directory, look into servers, serve them.

Mistakes of the user end with one line on standard error and exit code 2. Everything heavy is
imported inside the commands, so that ``esesim --version`` is quick.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from esesim import __version__

from .usererror import UserError

_F = TypeVar("_F", bound=Callable[..., Any])


class _Commands(click.Group):
    """The commands, of which `ctl` with all of its own is loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "ctl"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "ctl":
            from .ctl import ctl

            return ctl
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
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


def _limit(
    name: str, kind: click.IntRange | click.FloatRange, help_text: str
) -> Callable[[_F], _F]:
    """An option for a limit; what it is without it, only the limits know."""
    variable = f"ESESIM_{name.upper().replace('-', '_')}"
    return click.option(f"--{name}", type=kind, envvar=variable, help=help_text, show_envvar=True)


_COUNT = click.IntRange(min=1)
_SECONDS = click.FloatRange(min=0, min_open=True)


@main.command()
@click.argument("target")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--also",
    multiple=True,
    envvar="ESESIM_ALSO",
    metavar="TARGET",
    help="Another computer on the same endpoint; may be given more than once.",
)
@click.option("--host", default="127.0.0.1", show_default=True, envvar="ESESIM_HOST")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="a free one",
    envvar="ESESIM_PORT",
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="ESESIM_READY_FILE",
    help="Write the endpoint here as well, once clients are let in; deleted at the end.",
)
@click.option(
    "--json", "as_json", is_flag=True, envvar="ESESIM_JSON", help="Tell the endpoint as JSON."
)
@click.option("--quiet", is_flag=True, envvar="ESESIM_QUIET", help="Tell of serious errors only.")
@click.option(
    "--users",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="ESESIM_USERS",
    metavar="FILE",
    help="Who may use the server: TOML, a table [[user]] with name, password, domain, backup, "
    "admin.",
)
@click.option(
    "--min-auth-level",
    type=click.Choice(("none", "connect", "packet", "integrity", "privacy")),
    envvar="ESESIM_MIN_AUTH_LEVEL",
    help="How well calls have to be protected. With --users: connect.",
)
@click.option(
    "--admin",
    is_flag=True,
    envvar="ESESIM_ADMIN",
    help="With the administration interface, for `esesim ctl` and other programs.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 1_000_000),
    envvar="ESESIM_RATE",
    metavar="STEPS",
    help="Steps per second of each storage group's users, by the clock. Without it they take as "
    "many at each call as the topology says.",
)
@_limit("connections", _COUNT, "Connections at a time.")
@_limit("memory", _COUNT, "Bytes that all connections together may hold.")
@_limit("handles", _COUNT, "Contexts of one client.")
@_limit("read-max", _COUNT, "Bytes of one read; longer ones come short.")
@_limit("call-max", _COUNT, "Bytes of one request.")
@_limit("fragment-max", click.IntRange(1432, 65528), "Bytes of a fragment, a multiple of 8.")
@_limit("outstanding", _COUNT, "Requests of one connection that wait.")
@_limit("presentation-contexts", _COUNT, "Presentation contexts of one connection.")
@_limit("handshake-seconds", _SECONDS, "From connecting to the end of the bind.")
@_limit("stall-seconds", _SECONDS, "For one request to arrive, for one answer to be taken.")
@_limit("idle-seconds", _SECONDS, "Without a call, for clients that hold no context.")
@_limit("stop-seconds", _SECONDS, "How long running calls may go on at the end.")
def serve(
    target: str,
    command: tuple[str, ...],
    also: tuple[str, ...],
    host: str,
    port: int,
    ready_file: Path | None,
    as_json: bool,
    quiet: bool,
    users: Path | None,
    min_auth_level: str | None,
    admin: bool,
    rate: float | None,
    **limits: float | None,
) -> None:
    """Serve TARGET on the network: a topology (file or packaged name), or a server's directory.

    Prints one line, the endpoint for `esebcli --server`, and serves until SIGINT or SIGTERM. With
    `-- COMMAND...` it serves as long as that runs, with the endpoint in ESESIM_ENDPOINT, and exits
    with its status. Without --users everybody on this computer may use it, and nobody else.
    """
    # What is made before the server listens stays: it is not to be searched for garbage again and
    # again meanwhile. `run` lets the collector go on.
    gc.disable()
    from eseback.rpc import LocalProtocolError

    from ..engine.errors import JetError
    from ..volume import VolumeError
    from .serve import ServeOptions, make_limits, run

    try:
        options = ServeOptions(
            (target, *also),
            host,
            port,
            make_limits(limits),
            ready_file,
            as_json,
            quiet,
            users,
            min_auth_level,
            admin=admin,
            rate=rate,
        )
        code = run(options, command)
    except (ValueError, OSError, JetError, VolumeError, LocalProtocolError) as error:
        _fail(error)
    finally:
        gc.enable()
    sys.exit(code)


def _fail(error: Exception) -> NoReturn:
    raise UserError(" ".join(str(error).split())) from None
