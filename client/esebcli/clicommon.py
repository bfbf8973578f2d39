"""What the commands have in common: exit codes, errors of one line, output.

Only click is imported at the start; each command imports what it needs.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import click

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

SET_PATH: Final = click.Path(path_type=Path)
"""Type of an argument that names a folder."""
server_option: Final = click.option(
    "--server",
    "address",
    required=True,
    help="SCHEME:ADDRESS, e.g. inproc:demo.toml, or rpc:HOST:PORT[,user=NAME,...].",
)


@contextlib.contextmanager
def errors_in_one_line(interrupted: Callable[[], str] = lambda: "interrupted") -> Iterator[None]:
    """Turn what may go wrong into a line and an exit code; anything else is a bug and is shown.

    ``interrupted`` gives what to say after Ctrl-C.
    """
    from eseback.errors import EseBackupError
    from esebcli.errors import EsebcliError, UserError
    from esebcli.hints import explain

    try:
        yield
    except UserError as error:
        complain(str(error))
        sys.exit(EXIT_USAGE)
    except (EsebcliError, EseBackupError, OSError) as error:
        complain(explain(error))
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        complain(interrupted())
        sys.exit(EXIT_FAILED)


def complain(text: str) -> None:
    """Say what is wrong, on standard error."""
    from esebcli.names import printable

    click.echo(f"esebcli: {printable(text)}", err=True)


def echo_lines(lines: Iterable[str]) -> None:
    """Lines on standard output."""
    for line in lines:
        click.echo(line)


def echo_json(thing: dict[str, Any]) -> None:
    """Plain data on standard output."""
    import json

    click.echo(json.dumps(thing, indent=2))
